"""What is agreed, kept and heard of one contract's supply: the types of `cutoff`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from headend.prepayment.outbox import Commands  # noqa: TC001 - msgspec reads it at run time
from headend.prepayment.states import State
from ohmesh.model.command import RelayState  # noqa: TC001 - msgspec reads it at run time
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from headend.prepayment.rules import RulePack


@dataclass(frozen=True, slots=True)
class Policy:
    """What a contract agreed to; money in mu."""

    contract: str
    pack: RulePack
    zone: ZoneInfo
    low_mu: int = 0
    disablement_mu: int = 0
    reconnect_mu: int = 0
    emergency_limit_mu: int = 0
    emergency_auto: bool = False
    notice_minutes: int | None = 30
    stale_after: timedelta = timedelta(hours=24)
    grace_days: int = 30
    takes_tokens: bool = True

    def __post_init__(self) -> None:
        if self.reconnect_mu < self.disablement_mu:
            raise PrepaymentError("policy", "reconnection below the disablement threshold")


class EffectKind(StrEnum):
    """To whom an effect goes: the customer, the operator, the field, the meter."""

    NOTICE = "notice"
    ALARM = "alarm"
    ACTION = "action"


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to do outside, such as NOTICE `zero`, ALARM `relay_bypass`, ACTION `read_relay`."""

    kind: EffectKind
    name: str


@dataclass(frozen=True, slots=True)
class Supply:
    """All that is kept of one contract's supply.

    Attributes:
        state: by name.
        desired_on: the last decision.
        decision_seq: its number, the fence.
        actual: relay as read back; None: never.
        dark_at: when it was first read back open; None: it is not known to be open.
        commands: all of them, oldest first; an adapter may drop closed ones.
        ec_active: whether emergency credit lowers the floor.
        hold: why an operator holds it off; None: nobody does.
        exempt: never to be cut.
        flags: of the customer, such as `medical_dependency`.
        low_sent, zero_sent: the notice of this downward crossing has gone out.
        notice_at: when the gateway accepted the zero notice.
        data_at: END of the newest actual reading.
        grace_until: end of the grace after a migration.
        unreachable: no answer to the last command.
        reason: why a cut is not permitted, in PROTECTED.
        next_eval_at: when to look again.
        alarms: that stand, oldest first.
        restore_since: since when the relay should be on and is not.
        cuts_at: decisions to cut of late.
        unexpected_reads: of a relay that should be on.
    """

    state: State = State.ACTIVE
    desired_on: bool = True
    decision_seq: int = 0
    actual: RelayState | None = None
    dark_at: datetime | None = None
    commands: Commands = ()
    ec_active: bool = False
    hold: str | None = None
    exempt: bool = False
    flags: frozenset[str] = frozenset()
    low_sent: bool = False
    zero_sent: bool = False
    notice_at: datetime | None = None
    data_at: datetime | None = None
    grace_until: datetime | None = None
    unreachable: bool = False
    reason: str | None = None
    next_eval_at: datetime | None = None
    alarms: tuple[str, ...] = ()
    restore_since: datetime | None = None
    cuts_at: tuple[datetime, ...] = ()
    unexpected_reads: int = 0

    def is_stale(self, now: datetime, stale_after: timedelta) -> bool:
        """Whether actual readings have stopped coming."""
        return self.data_at is not None and now - self.data_at > stale_after


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed, or something was posted."""


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """A top-up was booked."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An actual reading was rated: its END, and the most that an interval used, Wh.

    An interval that began before the relay was read back open proves nothing and does not count.
    """

    until: datetime
    wh: int


@dataclass(frozen=True, slots=True)
class Ack:
    """The meter answered a command with the relay state it read back."""

    seq: int
    relay: RelayState


@dataclass(frozen=True, slots=True)
class RelayRead:
    """The relay was read without a command of ours."""

    relay: RelayState


@dataclass(frozen=True, slots=True)
class Timeout:
    """No answer to a sent command within its time."""

    seq: int


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The meter is reachable again."""


@dataclass(frozen=True, slots=True)
class NoticeAccepted:
    """The gateway has accepted the zero notice."""


@dataclass(frozen=True, slots=True)
class HoldSet:
    """An operator holds supply off."""

    reason: str


@dataclass(frozen=True, slots=True)
class HoldReleased:
    """Two people let it go."""

    by: str
    approved_by: str


@dataclass(frozen=True, slots=True)
class EmergencyTaken:
    """The customer takes emergency credit."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """The contract came over from postpaid; its grace begins."""


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    """The customer's protection was set or lifted."""

    flags: frozenset[str]
    exempt: bool = False


@dataclass(frozen=True, slots=True)
class ClockSkewed:
    """The meter's clock is too far off: its intervals are in quarantine."""


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The meter's clock has been set."""


Event: TypeAlias = (
    Tick
    | ToppedUp
    | Reading
    | Ack
    | RelayRead
    | Timeout
    | LinkUp
    | NoticeAccepted
    | HoldSet
    | HoldReleased
    | EmergencyTaken
    | Migrated
    | FlagsChanged
    | ClockSkewed
    | ClockSet
)
