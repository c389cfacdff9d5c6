"""Which commands to send now, and when to try again. Pure.

Theory of operation. A command stays in its table until the meter's result has come up or the
deadline has passed; the broker and the gateway may lose it at any time. So it is sent again with
growing, jittered pauses; the meter executes an id once and repeats its result. Urgent lanes go
first, and a gateway has so many permits: commands under way that have not been answered.

When many are switched on at once, such as after an outage, supply comes back softly: in any
SOFT_WINDOW so many meters of an area are switched on as its transformer bears, and the rest wait
for their turn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ohmesh.model.command import Command, CommandEvent, CommandKind, CommandState, advance
from ohmesh.program.backoff import full_jitter_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

PERMITS: Final = 8
"""Commands under way at one gateway."""
RETRY_FLOOR_S, RETRY_BASE_S, RETRY_CAP_S = 2.0, 4.0, 60.0
SOFT_WINDOW: Final = timedelta(seconds=10)
SOFT_PERCENT: Final = 5
"""Of an area's meters, switched on in any SOFT_WINDOW; one at least."""
SOFT_DELAY_MAX: Final = timedelta(seconds=600)
RESULT_GRACE: Final = timedelta(seconds=30)
"""A result of a command that was executed in time may come this much after the deadline."""


@dataclass(frozen=True, slots=True)
class Due:
    """A command that may be sent now, and where to."""

    id: UUID
    meter_id: int
    meter: str
    address: str
    key_sealed: bytes
    gateway_id: int
    gateway: str
    kind: CommandKind
    argument: int
    sequence: int
    priority: int
    not_after: datetime
    attempts: int
    state: CommandState
    next_try_at: datetime
    tenant_id: int = 0
    area: str = ""
    release: bytes = b""
    approvals: tuple[tuple[str, int, bytes], ...] = ()
    body: bytes = b""
    proof: bytes = b""

    @property
    def not_after_s(self) -> int:
        """The deadline in seconds since 1970, rounded down: never later than promised."""
        return int(self.not_after.timestamp())

    def command(self) -> Command:
        """The command as it stands in the table."""
        ident, deadline_s = self.id.bytes, self.not_after_s
        return Command(ident, self.kind, self.sequence, deadline_s, self.argument, self.body)


def choose(due: Iterable[Due], under_way: Mapping[int, int], permits: int = PERMITS) -> list[Due]:
    """What to send now: most urgent first, then longest waiting; one command a meter.

    Args:
        due: commands whose time to try has come.
        under_way: gateway -> commands sent to it that wait for an answer.
        permits: commands under way at one gateway, at most.
    """
    used = Counter(under_way)
    meters: set[int] = set()
    chosen = []
    for one in sorted(due, key=lambda d: (-d.priority, d.next_try_at, d.sequence)):
        if used[one.gateway_id] >= permits or one.meter_id in meters:
            continue
        used[one.gateway_id] += 1
        meters.add(one.meter_id)
        chosen.append(one)
    return chosen


@dataclass(frozen=True, slots=True)
class Area:
    """An area now: its meters, and how many were switched on within SOFT_WINDOW."""

    meters: int
    recent: int

    @property
    def room(self) -> int:
        """How many more may be switched on now."""
        return max(0, max(1, self.meters * SOFT_PERCENT // 100) - self.recent)


def soften(
    due: Iterable[Due], areas: Mapping[tuple[int, str], Area], now: datetime
) -> tuple[list[Due], dict[UUID, datetime]]:
    """Let supply come back softly.

    Args:
        due: what may be sent now, most urgent first.
        areas: (tenant, area) -> how it is.
        now: UTC.

    Returns:
        What may go now, and for the first sends that wait: when their turn comes.
    """
    waiting: Counter[tuple[int, str]] = Counter()
    go: list[Due] = []
    later: dict[UUID, datetime] = {}
    for one in due:
        if one.kind is not CommandKind.RELAY_ON or one.attempts:
            go.append(one)
            continue
        place = (one.tenant_id, one.area)
        area = areas.get(place, Area(1, 0))
        turn = waiting[place]
        waiting[place] += 1
        if turn < area.room:
            go.append(one)
            continue
        windows = 1 + (turn - area.room) // max(1, area.meters * SOFT_PERCENT // 100)
        later[one.id] = now + min(SOFT_WINDOW * windows, SOFT_DELAY_MAX)
    return go, later


def sent(one: Due) -> CommandState:
    """The state after sending."""
    return advance(one.state, CommandEvent.SEND)


def next_try(now: datetime, attempts: int, chance: float) -> datetime:
    """When to send again; `attempts`: sends so far, this one included; `chance`: 0 <= x < 1."""
    pause_s = RETRY_FLOOR_S + full_jitter_s(
        attempts, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S, chance=chance
    )
    return now + timedelta(seconds=pause_s)


def has_expired(state: CommandState, not_after: datetime, now: datetime) -> bool:
    """Whether to give up: nobody executes it any more, and a result would have come."""
    grace = timedelta(0) if state is CommandState.QUEUED else RESULT_GRACE
    return now >= not_after + grace
