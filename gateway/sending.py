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

Two lanes pass a backlog, because the head-end takes numbers in any order. *Urgent* telegrams (the
answer to a relay command, an event) go ahead, once per round; they travel again in their place,
which changes nothing. *Live* ones, committed since the backlog was found, go beside it, one batch
for each progress of the head-end, so that a drain of days never starves the present; the cursor
skips them when it gets there. What was lost on a lane holds the acknowledgement back where it is
missing, and is then sent again in order like anything else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """How much and how often.

    Attributes:
        batch_telegrams: most telegrams in one batch.
        linger_ms: least time between two incomplete batches of a lane.
        window: most batches that wait for the head-end.
        resend_ms: how long a batch waits for the head-end at first.
        resend_cap_ms: how long it waits at most.
    """

    batch_telegrams: int = 500
    linger_ms: int = 200
    window: int = 16
    resend_ms: int = 3000
    resend_cap_ms: int = 30_000


_BACKLOG_BATCHES = 2
"""A backlog of more than this many batches gets a live lane beside it."""


class Lane(Enum):
    """Why a batch is sent now."""

    ORDERED = "ordered"
    LIVE = "live"
    URGENT = "urgent"


@dataclass(frozen=True, slots=True)
class Send:
    """Send a batch now: telegrams from `first_seq` on, at most `limit`."""

    first_seq: int
    limit: int
    lane: Lane = Lane.ORDERED


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until_ms`, or before something happens if None."""

    until_ms: int | None


@dataclass(slots=True)
class _Flight:
    end_seq: int
    due_ms: int


@dataclass(slots=True)
class _LiveLane:
    """Numbers beside the backlog: of `start` <= number those below `cursor` were sent."""

    start: int
    cursor: int
    allowed: bool = False
    quiet_until_ms: int = 0


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
        self._live: _LiveLane | None = None
        self._urgent: Sequence[int] = ()
        self._urgent_from = 0
        self._urgent_quiet_until_ms = 0

    def observe(
        self, epoch: int, acked_through: int, next_seq: int, urgent: Sequence[int] = ()
    ) -> None:
        """Take the outbox's state; another epoch starts from its first unacknowledged number.

        Args:
            epoch: the outbox's.
            acked_through: all numbers below it are acknowledged.
            next_seq: all numbers below it are committed.
            urgent: unacknowledged numbers that go ahead, ascending.
        """
        self._next_seq = next_seq
        self._urgent = urgent
        if epoch != self._epoch:
            self._epoch, self._acked = epoch, acked_through
            self.restart()
        elif acked_through > self._acked:
            self._progress(acked_through)

    def restart(self) -> None:
        """A new connection: nothing that was sent counts."""
        self._live = None
        self._begin_again()
        self._window = self._limits.window
        self._repeats = 0

    def step(self, now_ms: int) -> Send | Wait:
        """What to do at `now_ms`; after a Send, call `sent` before the next step."""
        if self._flights and now_ms >= self._flights[0].due_ms:
            self._fall_back()
        steps = (self._urgent_step(now_ms), self._live_step(now_ms), self._ordered_step(now_ms))
        sends = [step for step in steps if isinstance(step, Send)]
        if sends:
            return sends[0]
        times = [step.until_ms for step in steps if isinstance(step, Wait)]
        times += [flight.due_ms for flight in self._flights]
        return Wait(min((at_ms for at_ms in times if at_ms is not None), default=None))

    def sent(self, epoch: int, step: Send, count: int, now_ms: int) -> None:
        """The broker has taken the first `count` telegrams of a step."""
        if epoch != self._epoch:
            return
        end_seq, quiet_until_ms = step.first_seq + count, now_ms + self._limits.linger_ms
        if step.lane is Lane.URGENT:
            self._urgent_from, self._urgent_quiet_until_ms = end_seq, quiet_until_ms
        elif step.lane is Lane.ORDERED:
            self._quiet_until_ms = quiet_until_ms
            # Otherwise it was acknowledged, or a new connection began, while it was on its way.
            if step.first_seq <= self._cursor < end_seq:
                self._advance(end_seq, now_ms)
        elif self._live and step.first_seq == self._live.cursor:
            self._live.cursor, self._live.quiet_until_ms = end_seq, quiet_until_ms
            self._live.allowed = False

    def _ordered_step(self, now_ms: int) -> Send | Wait | None:
        waiting = (self._live.start if self._live else self._next_seq) - self._cursor
        if waiting <= 0 or len(self._flights) >= self._window:
            return None
        batch = self._limits.batch_telegrams
        if waiting >= batch or now_ms >= self._quiet_until_ms:
            return Send(self._cursor, min(waiting, batch))
        return Wait(self._quiet_until_ms)

    def _live_step(self, now_ms: int) -> Send | Wait | None:
        live = self._live
        if not live or not live.allowed or live.cursor >= self._next_seq:
            return None
        waiting, batch = self._next_seq - live.cursor, self._limits.batch_telegrams
        if waiting >= batch or now_ms >= live.quiet_until_ms:
            return Send(live.cursor, min(waiting, batch), Lane.LIVE)
        return Wait(live.quiet_until_ms)

    def _urgent_step(self, now_ms: int) -> Send | Wait | None:
        """The first urgent number that its own lane would not carry soon."""
        soon = len(self._flights) < self._window
        low = max(self._urgent_from, self._cursor + soon * self._limits.batch_telegrams)
        for at in range(bisect_left(self._urgent, low), len(self._urgent)):
            seq = self._urgent[at]
            if self._live and self._live.start <= seq < self._live.cursor:
                continue
            if now_ms < self._urgent_quiet_until_ms:
                return Wait(self._urgent_quiet_until_ms)
            return Send(seq, self._run_length(at), Lane.URGENT)
        return None

    def _run_length(self, at: int) -> int:
        """How many urgent numbers follow each other without a gap."""
        first, length = self._urgent[at], 1
        limit = min(self._limits.batch_telegrams, len(self._urgent) - at)
        while length < limit and self._urgent[at + length] == first + length:
            length += 1
        return length

    def _advance(self, end_seq: int, now_ms: int) -> None:
        wait_ms = self._limits.resend_ms * 2**self._repeats
        self._cursor = end_seq
        self._join_live()
        due_ms = now_ms + min(wait_ms, self._limits.resend_cap_ms)
        self._flights.append(_Flight(self._cursor, due_ms))

    def _join_live(self) -> None:
        """The backlog is sent: go on behind what the live lane has sent."""
        if self._live and self._cursor >= self._live.start:
            self._cursor = max(self._cursor, self._live.cursor)
            self._live = None

    def _progress(self, acked_through: int) -> None:
        self._acked = acked_through
        self._cursor = max(self._cursor, acked_through)
        while self._flights and self._flights[0].end_seq <= acked_through:
            self._flights.popleft()
        self._window = min(self._window * 2, self._limits.window)
        self._repeats = 0
        if self._live and self._live.start <= acked_through:
            self._live = None
        elif self._live:
            self._live.allowed = True

    def _fall_back(self) -> None:
        """The oldest flight got no answer: send it again, alone, and all others after it."""
        self._begin_again()
        self._window = 1
        if self._limits.resend_ms * 2**self._repeats < self._limits.resend_cap_ms:
            self._repeats += 1

    def _begin_again(self) -> None:
        self._flights.clear()
        self._cursor = self._urgent_from = self._acked
        backlog = self._next_seq - self._acked
        if self._live and self._live.cursor == self._live.start:
            self._live = None
        if not self._live and backlog > _BACKLOG_BATCHES * self._limits.batch_telegrams:
            self._live = _LiveLane(self._next_seq, self._next_seq)
