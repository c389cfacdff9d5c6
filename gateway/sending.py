"""What the uplink sends next: pure, with the time given.

Theory of operation. Numbers are sent in order from a cursor, in batches; a batch that the broker
has taken waits as a *flight* until the head-end's cumulative acknowledgement has passed its end.
At most `window` flights wait at a time. The head-end may be slow, dead or deaf without the broker
saying so: when the oldest flight has waited its time, everything after it counts as unsent again,
the window falls to one and that flight is sent again after a time that doubles up to a cap; each
acknowledgement that brings progress doubles the window and resets the time. So a dead head-end
costs one batch every `resend_cap_ms`, and a living one is never asked to keep what it has not
committed. A new connection starts at the first unacknowledged number.

A lone telegram leaves at once; while telegrams keep coming, an incomplete batch leaves at most
every `linger_ms`. The time to wait for an acknowledgement starts when the broker has taken the
batch, so that a slow line is not filled with repetitions.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """How much and how often.

    Attributes:
        batch_telegrams: most telegrams in one batch.
        linger_ms: least time between two incomplete batches.
        window: most batches that wait for the head-end.
        resend_ms: how long a batch waits for the head-end at first.
        resend_cap_ms: how long it waits at most.
    """

    batch_telegrams: int = 500
    linger_ms: int = 200
    window: int = 16
    resend_ms: int = 3000
    resend_cap_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Send:
    """Send a batch now: telegrams from `first_seq` on, at most `limit`."""

    first_seq: int
    limit: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until_ms`, or before something happens if None."""

    until_ms: int | None


@dataclass(slots=True)
class _Flight:
    end_seq: int
    due_ms: int


class Sender:
    """The window over one epoch's numbers."""

    def __init__(self, limits: SendingLimits) -> None:
        self._limits = limits
        self._epoch = 0
        self._acked = 0
        self._next_seq = 0
        self._cursor = 0
        self._window = limits.window
        self._repeats = 0
        self._flights: deque[_Flight] = deque()
        self._quiet_until_ms = 0

    def observe(self, epoch: int, acked_through: int, next_seq: int) -> None:
        """Take the outbox's state; another epoch starts from its first unacknowledged number."""
        if epoch != self._epoch:
            self._epoch, self._acked = epoch, acked_through
            self.restart()
        elif acked_through > self._acked:
            self._progress(acked_through)
        self._next_seq = next_seq

    def restart(self) -> None:
        """A new connection: nothing that was sent counts."""
        self._flights.clear()
        self._cursor = self._acked
        self._window = self._limits.window
        self._repeats = 0

    def step(self, now_ms: int) -> Send | Wait:
        """What to do at `now_ms`; after a Send, call `sent` before the next step."""
        if self._flights and now_ms >= self._flights[0].due_ms:
            self._fall_back()
        waiting = self._next_seq - self._cursor
        if waiting and len(self._flights) < self._window:
            full = waiting >= self._limits.batch_telegrams
            if full or now_ms >= self._quiet_until_ms:
                return Send(self._cursor, min(waiting, self._limits.batch_telegrams))
            due_ms = self._flights[0].due_ms if self._flights else self._quiet_until_ms
            return Wait(min(self._quiet_until_ms, due_ms))
        return Wait(self._flights[0].due_ms if self._flights else None)

    def sent(self, epoch: int, first_seq: int, end_seq: int, now_ms: int) -> None:
        """The broker has taken the telegrams first_seq <= number < end_seq of an epoch."""
        self._quiet_until_ms = now_ms + self._limits.linger_ms
        if epoch != self._epoch or not first_seq <= self._cursor < end_seq:
            return  # acknowledged, or a new connection began, while it was on its way
        wait_ms = self._limits.resend_ms * 2**self._repeats
        due_ms = now_ms + min(wait_ms, self._limits.resend_cap_ms)
        self._flights.append(_Flight(end_seq, due_ms))
        self._cursor = end_seq

    def _progress(self, acked_through: int) -> None:
        self._acked = acked_through
        self._cursor = max(self._cursor, acked_through)
        while self._flights and self._flights[0].end_seq <= acked_through:
            self._flights.popleft()
        self._window = min(self._window * 2, self._limits.window)
        self._repeats = 0

    def _fall_back(self) -> None:
        """The oldest flight got no answer: send it again, alone, and all others after it."""
        self._flights.clear()
        self._cursor = self._acked
        self._window = 1
        if self._limits.resend_ms * 2**self._repeats < self._limits.resend_cap_ms:
            self._repeats += 1
