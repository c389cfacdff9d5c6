"""Who sends more than it should, counted by the sender's own minutes. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000


class Flood(NamedTuple):
    """A sender beyond its bound: what it took in one minute of its clock."""

    sender: int
    telegrams: int


class Rates:
    """Telegrams of each sender in the minute that it is in.

    By the sender's clock, so that a backlog of days that is drained in minutes is none: only what
    was really taken so densely counts. A sender is told of once an hour.

    Args:
        limit: telegrams in a minute, beyond which a sender floods.
        senders_max: senders watched; one more and all begin anew.
    """

    def __init__(self, limit: int, senders_max: int = 100_000) -> None:
        self._limit = limit
        self._senders_max = senders_max
        self._seen: dict[int, tuple[int, int]] = {}
        self._told_ms: dict[int, int] = {}

    def note(self, sender: int, at_ms: int, telegrams: int, now_ms: int) -> Flood | None:
        """Count telegrams of a minute; a flood when it is time to tell of one."""
        minute = at_ms // _MINUTE_MS
        known, count = self._seen.get(sender, (minute, 0))
        count = telegrams + (count if known == minute else 0)
        if sender not in self._seen and len(self._seen) >= self._senders_max:
            self.forget()
        self._seen[sender] = (minute, count)
        if count <= self._limit or now_ms - self._told_ms.get(sender, -_HOUR_MS) < _HOUR_MS:
            return None
        self._told_ms[sender] = now_ms
        return Flood(sender, count)

    def forget(self) -> None:
        """Begin anew: what was told may not have been written."""
        self._seen.clear()
        self._told_ms.clear()
