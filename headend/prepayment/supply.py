"""The supply reconciler: desired against actual, pure (facts and `now` in, a decision out).

Theory of operation. The wallet decides what is desired; the relay state that the meter read back
is what is actual. A change of mind is a new decision (`decision_seq` rises) with a new command;
the command's own sequence number is the fence at the meter, so an older command that arrives late
is refused there. While actual differs from desired and no command is under way, the command is
issued anew: a disconnection after a pause, a reconnection without end.

Any doubt keeps supply on: an account that was never charged is not cut, and without readings
there are no charges.

    wallet <= 0 and charged   -> desired DISCONNECTED     RELAY_OFF, gives up after CUT_LIFE
    wallet >  0               -> desired CONNECTED        RELAY_ON, issued again until read back
    READY_FOR_RECONNECTION    -> nothing to send: the customer presses the meter's button
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ohmesh.model.command import FINAL, CommandKind, CommandState, RelayState

CUT_LIFE: Final = timedelta(minutes=15)
RESTORE_LIFE: Final = timedelta(hours=1)
"""How long one command lives; the decision lives on and issues the next."""
RETRY_PAUSE, RETRY_PAUSE_MAX = timedelta(seconds=30), timedelta(hours=1)
"""After a command ended without the wanted state; it doubles with each try."""


AGAIN: Final = "relay_differs"


@dataclass(frozen=True, slots=True)
class LastCommand:
    """The command of the last decision: its state and when it ended, if it has."""

    state: CommandState
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one account.

    Attributes:
        wallet_mu: posted balance, 1e-5 currency units.
        charged: whether energy was ever charged to it.
        desired: the last decision.
        actual: relay as last read back; None: never.
        command: the last decision's command; None: none was needed.
        tries: commands issued again since the last change of mind.
    """

    wallet_mu: int
    charged: bool
    desired: RelayState
    actual: RelayState | None
    command: LastCommand | None
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Issue a command.

    Attributes:
        desired: relay state wanted from now on.
        kind: RELAY_OFF or RELAY_ON.
        not_after: the command's deadline.
        reason: `credit_exhausted`, `credit_restored` or `relay_differs`.
    """

    desired: RelayState
    kind: CommandKind
    not_after: datetime
    reason: str


def decide(facts: Facts, now: datetime) -> Decision | None:
    """What to do about one account now; None: nothing."""
    wanted = _wanted(facts)
    if wanted is not facts.desired:
        exhausted = wanted is RelayState.DISCONNECTED
        return _issue(wanted, now, "credit_exhausted" if exhausted else "credit_restored")
    if _settled(facts) or _under_way(facts, now):
        return None
    return _issue(wanted, now, AGAIN)


def _wanted(facts: Facts) -> RelayState:
    if facts.wallet_mu > 0:
        return RelayState.CONNECTED
    return RelayState.DISCONNECTED if facts.charged else facts.desired


def _settled(facts: Facts) -> bool:
    """The meter is where it should be, as far as it has been read back."""
    if facts.desired is RelayState.DISCONNECTED:
        return facts.actual in {RelayState.DISCONNECTED, RelayState.READY_FOR_RECONNECTION}
    if facts.actual is None:
        return facts.command is None
    return facts.actual in {RelayState.CONNECTED, RelayState.READY_FOR_RECONNECTION}


def pause(tries: int) -> timedelta:
    """How long after a command that ended without the wanted state the next may follow."""
    return min(RETRY_PAUSE_MAX, RETRY_PAUSE * (1 << min(tries, 10)))


def _under_way(facts: Facts, now: datetime) -> bool:
    command = facts.command
    if command is None:
        return False
    if command.state not in FINAL or command.resolved_at is None:
        return True
    return now < command.resolved_at + pause(facts.tries)


def _issue(wanted: RelayState, now: datetime, reason: str) -> Decision:
    if wanted is RelayState.DISCONNECTED:
        return Decision(wanted, CommandKind.RELAY_OFF, now + CUT_LIFE, reason)
    return Decision(wanted, CommandKind.RELAY_ON, now + RESTORE_LIFE, reason)
