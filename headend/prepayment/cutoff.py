"""The cut-off of one contract: facts and an event in, the new supply state and effects out. Pure.

Theory of operation. `apply` takes in what an event says (an answer, a hold, a notice that was
accepted), then looks at the contract: the verdict goes through the table in `states`, its actions
queue commands and make a new decision (`decision_seq` rises). `send` is the outbox's turn and is
called apart, because a top-up may come between queueing and sending. What the relay is was read
back; what it should be was decided; nothing else is believed.

    exhausted   wallet <= disablement threshold - (emergency limit while it is active)
    restorable  wallet > reconnect threshold (exactly equal stays off), or emergency credit left

Any doubt keeps supply on: no cut without fresh actual data, an accepted notice, an open window and
a closed breaker. Emergency credit ends when the wallet is above the reconnect threshold again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from headend.prepayment import contract, outbox
from headend.prepayment.contract import EffectKind
from headend.prepayment.outbox import Kind, Status
from headend.prepayment.states import SUPPLIED, State, Trigger
from headend.prepayment.turn import Turn
from ohmesh.model.command import RelayState
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from headend.prepayment.contract import Effect, Event, Policy, Supply

RECONNECT_LATE = timedelta(minutes=15)
RECONNECT_BREACH = timedelta(minutes=120)
"""Uttar Pradesh compensates a reconnection later than two hours."""
USAGE_WHILE_OFF_WH = 20


def apply(
    policy: Policy,
    supply: Supply,
    event: Event,
    wallet_mu: int,
    now: datetime,
    *,
    breaker_open: bool = False,
) -> tuple[Supply, tuple[Effect, ...]]:
    """Take in an event and look at the contract.

    Args:
        policy: of the contract.
        supply: as the last call left it.
        event: what happened.
        wallet_mu: posted balance from actual readings, after the event.
        now: UTC.
        breaker_open: whether all cuts are stopped.

    Raises:
        PrepaymentError: `emergency_active`, `emergency_none`, `two_people`: a refused request.
    """
    turn = Turn(policy, wallet_mu, now, breaker_open, supply)
    _take_in(turn, event)
    _end_emergency(turn)
    _expire_cut(turn)
    _notify(turn)
    turn.fire(turn.verdict())
    if turn.supply.state in SUPPLIED:  # where a relay read led back to supply, once more
        turn.fire(turn.verdict())
    if turn.supply.state is not State.PROTECTED:
        turn.set(reason=None)
    _watch_restore(turn)
    return turn.supply, tuple(turn.effects)


def send(
    policy: Policy, supply: Supply, wallet_mu: int, now: datetime, *, breaker_open: bool = False
) -> Supply:
    """The outbox's turn: mark what goes on air now as sent."""
    turn = Turn(policy, wallet_mu, now, breaker_open, supply)
    may_cut = turn.permission(deciding=False).ok
    commands = outbox.send_due(supply.commands, supply.decision_seq, now, may_cut=may_cut)
    return replace(supply, commands=commands)


def _take_in(turn: Turn, event: Event) -> None:
    """What the event itself says."""
    _INTAKE[type(event)](turn, event)


def _take_top_up(turn: Turn, _: contract.ToppedUp) -> None:
    turn.tell(EffectKind.NOTICE, "topup_receipt")


def _take_reading(turn: Turn, event: contract.Reading) -> None:
    known = turn.supply.data_at
    turn.set(data_at=event.until if known is None else max(event.until, known))
    if turn.supply.actual is RelayState.DISCONNECTED and event.wh > USAGE_WHILE_OFF_WH:
        turn.alarm("usage_while_off")


def _take_relay_read(turn: Turn, event: contract.RelayRead) -> None:
    turn.set(unreachable=False)
    _take_relay(turn, event.relay, asked=False)


def _take_timeout(turn: Turn, event: contract.Timeout) -> None:
    commands = outbox.timed_out(turn.supply.commands, event.seq, turn.now, turn.policy.contract)
    turn.set(unreachable=True, commands=commands)


def _take_link_up(turn: Turn, _: contract.LinkUp) -> None:
    turn.set(commands=outbox.retry_now(turn.supply.commands, turn.now))
    turn.tell(EffectKind.ACTION, "read_relay")


def _take_notice(turn: Turn, _: contract.NoticeAccepted) -> None:
    if turn.supply.notice_at is None:
        turn.set(notice_at=turn.now)


def _take_hold(turn: Turn, event: contract.HoldSet) -> None:
    turn.set(hold=event.reason)


def _take_release(turn: Turn, event: contract.HoldReleased) -> None:
    if not event.by or not event.approved_by or event.by == event.approved_by:
        raise PrepaymentError("two_people", "releasing a hold takes two people")
    turn.set(hold=None)


def _take_migration(turn: Turn, _: contract.Migrated) -> None:
    days = max(turn.policy.grace_days, turn.policy.pack.grace_days)
    turn.set(grace_until=turn.now + timedelta(days=days))


def _take_flags(turn: Turn, event: contract.FlagsChanged) -> None:
    turn.set(flags=event.flags, exempt=event.exempt)


def _take_skew(turn: Turn, _: contract.ClockSkewed) -> None:
    turn.alarm("clock_skew")
    turn.tell(EffectKind.ACTION, "set_clock")


def _take_clock_set(turn: Turn, _: contract.ClockSet) -> None:
    turn.clear("clock_skew")


def _take_tick(_turn: Turn, _: contract.Tick) -> None:
    """Nothing but time."""


def _take_ack(turn: Turn, event: contract.Ack) -> None:
    """An answer settles its command; a repeated answer says nothing new."""
    seq, relay = event.seq, event.relay
    command = next((c for c in turn.supply.commands if c.seq == seq), None)
    if command is None or command.status is Status.CONFIRMED:
        return
    turn.set(unreachable=False)
    off = relay is not RelayState.CONNECTED
    ready = relay is RelayState.READY_FOR_RECONNECTION
    if off == (command.kind is Kind.DISCONNECT) or ready:
        turn.clear("relay_stuck")
        commands = outbox.set_status(turn.supply.commands, seq, Status.CONFIRMED)
    else:
        turn.alarm("relay_stuck")
        commands = outbox.timed_out(turn.supply.commands, seq, turn.now, turn.policy.contract)
    turn.set(commands=commands)
    _take_relay(turn, relay, asked=True)


_RELAY_TRIGGERS = {
    RelayState.CONNECTED: Trigger.RELAY_ON,
    RelayState.READY_FOR_RECONNECTION: Trigger.RELAY_READY,
    RelayState.DISCONNECTED: Trigger.RELAY_OFF,
}


def _take_relay(turn: Turn, relay: RelayState, *, asked: bool) -> None:
    """What was read back; an unasked one that contradicts is read again before it counts."""
    trigger = _RELAY_TRIGGERS.get(relay)
    if trigger is None:
        return
    surprising = turn.supply.state in SUPPLIED and trigger is Trigger.RELAY_OFF
    if surprising and not asked and turn.supply.unexpected_reads == 0:
        turn.set(unexpected_reads=1)
        turn.tell(EffectKind.ACTION, "read_relay")
        return
    dark = relay is RelayState.DISCONNECTED
    turn.set(
        actual=relay,
        dark_at=(turn.supply.dark_at or turn.now) if dark else None,
        unexpected_reads=0 if trigger is Trigger.RELAY_ON else 1,
    )
    if trigger is Trigger.RELAY_ON:
        turn.clear("reconnect_late", "reconnect_sla_breach", "relay_unexpected")
    if surprising and not asked:
        turn.alarm("relay_unexpected")
    turn.fire(trigger)


def _take_emergency(turn: Turn, _: contract.EmergencyTaken) -> None:
    if turn.supply.ec_active:
        raise PrepaymentError("emergency_active", "emergency credit is not paid back yet")
    if turn.policy.emergency_limit_mu <= 0:
        raise PrepaymentError("emergency_none", "the contract has no emergency credit")
    turn.set(ec_active=True)


def _end_emergency(turn: Turn) -> None:
    """It ends when it is paid back, and begins by itself where that was agreed."""
    if turn.supply.ec_active and turn.wallet_mu > turn.policy.reconnect_mu:
        turn.set(ec_active=False)
    auto = turn.policy.emergency_auto and turn.policy.emergency_limit_mu > 0
    if auto and not turn.supply.ec_active and turn.exhausted:
        turn.set(ec_active=True)


def _expire_cut(turn: Turn) -> None:
    if turn.supply.state is not State.CUT_PENDING:
        return
    seq = turn.supply.decision_seq
    last = next((c for c in turn.supply.commands if c.seq == seq), None)
    if last is not None and (last.status is Status.EXPIRED or last.expired(turn.now)):
        turn.fire(Trigger.WINDOW_CLOSED)


def _notify(turn: Turn) -> None:
    """Low and zero notices, once a downward crossing."""
    low = turn.wallet_mu <= turn.policy.low_mu
    if low and not turn.supply.low_sent:
        turn.tell(EffectKind.NOTICE, "low")
    zero = turn.exhausted
    if zero and not turn.supply.zero_sent:
        turn.tell(EffectKind.NOTICE, "zero")
    turn.set(low_sent=low, zero_sent=zero)
    if not zero:
        turn.set(notice_at=None)


def _watch_restore(turn: Turn) -> None:
    """A customer who paid and is in the dark: alarm, then a field order and an offline token."""
    if turn.supply.state is not State.RECONNECT_PENDING:
        turn.set(restore_since=None)
        return
    since = turn.supply.restore_since or turn.now
    turn.set(restore_since=since)
    if turn.now - since >= RECONNECT_LATE:
        turn.alarm("reconnect_late")
    if turn.now - since >= RECONNECT_BREACH and "reconnect_sla_breach" not in turn.supply.alarms:
        turn.alarm("reconnect_sla_breach")
        turn.tell(EffectKind.ACTION, "field_order")
        if turn.policy.takes_tokens:
            turn.tell(EffectKind.ACTION, "offline_token_sms")


_INTAKE: dict[type, Callable[[Turn, Any], None]] = {
    contract.Tick: _take_tick,
    contract.ToppedUp: _take_top_up,
    contract.Reading: _take_reading,
    contract.Ack: _take_ack,
    contract.RelayRead: _take_relay_read,
    contract.Timeout: _take_timeout,
    contract.LinkUp: _take_link_up,
    contract.NoticeAccepted: _take_notice,
    contract.HoldSet: _take_hold,
    contract.HoldReleased: _take_release,
    contract.EmergencyTaken: _take_emergency,
    contract.Migrated: _take_migration,
    contract.FlagsChanged: _take_flags,
    contract.ClockSkewed: _take_skew,
    contract.ClockSet: _take_clock_set,
}
