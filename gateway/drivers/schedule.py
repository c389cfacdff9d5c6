"""Which meter of a line is asked next: pure, with the time given.

Theory of operation. Each meter is due once a period. A meter that has failed `DEAD_AFTER` times in
a row is dead: its time-outs would eat the line's time, so its period doubles with each failure up
to `PROBE_CAP_MS`, and it is asked only when no living meter is due. On a line that is never idle
a dead meter still gets a turn when it is overdue by `OVERDUE_MS`, one at a time with living ones
between, so that a meter that was mended is found. The first answer makes it living.
"""

from __future__ import annotations

from dataclasses import dataclass

DEAD_AFTER = 3
PROBE_CAP_MS = 15 * 60_000
OVERDUE_MS = 5 * 60_000


@dataclass(slots=True)
class _Place:
    due_ms: int
    failures: int = 0

    @property
    def dead(self) -> bool:
        return self.failures >= DEAD_AFTER


class Schedule:
    """The turns of the meters on one line, by their index from 0."""

    def __init__(self, count: int, period_ms: int, now_ms: int) -> None:
        """All are due at once, in their order."""
        self._period_ms = period_ms
        self._places = [_Place(now_ms) for _ in range(count)]
        self._probed = False

    def next(self, now_ms: int) -> int | None:
        """Whom to ask now, None when nobody is due."""
        due = [index for index, place in enumerate(self._places) if place.due_ms <= now_ms]
        living = [index for index in due if not self._places[index].dead]
        dead = [index for index in due if self._places[index].dead]
        overdue = [i for i in dead if now_ms - self._places[i].due_ms >= OVERDUE_MS]
        chosen = overdue if overdue and living and not self._probed else living or dead
        self._probed = bool(chosen) and chosen is not living
        return min(chosen, key=lambda index: self._places[index].due_ms, default=None)

    def next_due_ms(self) -> int:
        """When somebody is due."""
        return min(place.due_ms for place in self._places)

    def answered(self, index: int, now_ms: int) -> bool:
        """A meter answered; True when it was dead before."""
        place = self._places[index]
        revived, place.failures = place.dead, 0
        place.due_ms = self._later(place.due_ms, now_ms)
        return revived

    def failed(self, index: int, now_ms: int) -> bool:
        """A meter did not answer; True when it is dead from now on."""
        place = self._places[index]
        place.failures += 1
        if not place.dead:
            place.due_ms = self._later(place.due_ms, now_ms)
            return False
        doublings = min(place.failures - DEAD_AFTER + 1, 16)
        place.due_ms = now_ms + max(
            self._period_ms, min(self._period_ms << doublings, PROBE_CAP_MS)
        )
        return place.failures == DEAD_AFTER

    @property
    def dead(self) -> int:
        """How many meters do not answer."""
        return sum(place.dead for place in self._places)

    def _later(self, due_ms: int, now_ms: int) -> int:
        """One period after it was due; periods that have passed meanwhile are left out."""
        missed = max(0, now_ms - due_ms) // self._period_ms
        return due_ms + (missed + 1) * self._period_ms
