"""The supply of one account between the store and `cutoff`: facts in, decisions carried out.

Theory of operation. `look` is given a locked account. It first tells `cutoff` what the store has
heard since the last look: the answer to the decision's command, a relay that was read back, a
notice that was accepted, a command without an answer. Then come the events of the caller. What the
state machine decided becomes rows in the same transaction: a command with the decision's number
(`decision_seq`, the fence), the old one withdrawn, notices, journal, webhooks, and the instant of
the next look (`next_eval_at`).

The command's own retries are the dispatcher's; a new command is made here only when the last one
ended without the wanted relay state. A reconnection does not wait for a disconnection on air: the
meter refuses the older sequence number.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from headend.prepayment import contract, cutoff, notices, outbox
from headend.prepayment.contract import EffectKind, Event, Supply
from headend.prepayment.outbox import Kind, Status
from headend.prepayment.states import State
from headend.prepayment.terms import policy
from headend.service.commands import NewCommand, create_command, supersede
from headend.store.plan import Plan, Queries
from ohmesh.model.command import FINAL, CommandKind, CommandState, RelayState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from headend.prepayment.contract import Effect, Policy
    from headend.prepayment.outbox import SupplyCommand
    from headend.store.plan import Row

SQL: Final = Queries("headend.prepayment", "engine.sql")
REQUESTER: Final = "prepayment"
ANSWER_TIMEOUT: Final = timedelta(seconds=60)
NEVER: Final = timedelta(days=3650)
"""A reconnection has no deadline; the wire needs one."""
READ_LIFE: Final = timedelta(minutes=15)
LOOK_AGAIN: Final = timedelta(minutes=5)
"""Where nothing tells that a cut has become possible: the breaker, a hold, the temperature."""
_KINDS: Final = {Kind.DISCONNECT: CommandKind.RELAY_OFF, Kind.RECONNECT: CommandKind.RELAY_ON}
_NO_ANSWER: Final = frozenset({None, RelayState.UNKNOWN.value})
_DARK: Final = frozenset({RelayState.DISCONNECTED, RelayState.READY_FOR_RECONNECTION})
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Supply)


def supply_of(kept: str) -> Supply:
    """A supply as the store keeps it."""
    return _decoder.decode(kept)


def policy_of(account: Row) -> Policy:
    """The account's policy. Raises ConfigError."""
    return policy(account["name"], account["terms"], account["zone"])


def look(
    account: Row,
    events: Sequence[Event],
    now: datetime,
    *,
    asked: NewCommand | None = None,
) -> Plan[Supply]:
    """Take in what happened and carry out what follows.

    Args:
        account: locked, as `engine.lock_account` gives it, with the wallet after the events.
        events: in order; none is a look at the clock.
        now: UTC.
        asked: the request of a person whose key and name a disconnection of this look bears.

    Raises:
        PrepaymentError: a refused request (`emergency_active`, `two_people`, ...).
    """
    agreed, before = policy_of(account), supply_of(account["kept"])
    heard, supply = _heard(account, before, now)
    stopped = account["breaker_open"] or account["stopped"]
    effects: list[Effect] = []
    for event in [*heard, *events] or [contract.Tick()]:
        supply, more = cutoff.apply(
            agreed, supply, event, account["wallet_mu"], now, breaker_open=stopped
        )
        effects += more
    supply = replace(supply, commands=_worth_keeping(supply))
    yield from _carry_out(account, before, supply, now, asked=asked)
    for effect in effects:
        yield from _tell(account, supply, effect, now)
    return supply


# -- what the store has heard -------------------------------------------------------------------


def _heard(account: Row, supply: Supply, now: datetime) -> tuple[list[Event], Supply]:
    """Events that stand in the store, and the supply with its commands as far as they came."""
    events: list[Event] = []
    command = next((c for c in supply.commands if c.seq == account["command_seq"]), None)
    answered = False
    if command is not None and command.is_open and account["command_state"] is not None:
        supply, events, answered = _heard_of(account, supply, command, now)
    if account["relay_counter"] is not None and account["relay_counter"] > account["relay_taken"]:
        relay = RelayState(account["relay"])
        if not answered and relay is not RelayState.UNKNOWN:
            events.append(contract.RelayRead(relay))
    accepted = account["notice_accepted_at"] is not None
    if accepted and supply.zero_sent and supply.notice_at is None:
        events.append(contract.NoticeAccepted())
    return events, supply


def _heard_of(
    account: Row, supply: Supply, command: SupplyCommand, now: datetime
) -> tuple[Supply, list[Event], bool]:
    """What became of the decision's command."""
    state = CommandState(account["command_state"])
    if state is CommandState.QUEUED:
        return supply, [], False
    sent = account["command_sent_at"]
    if state not in FINAL:
        on_air = _mark(supply, command, Status.SENT)
        late = sent is not None and now - sent >= ANSWER_TIMEOUT and not supply.unreachable
        return on_air, [contract.Timeout(command.seq)] if late else [], False
    answered = account["command_relay"] not in _NO_ANSWER
    if answered:
        on_air = _mark(supply, command, Status.SENT)
        return on_air, [contract.Ack(command.seq, RelayState(account["command_relay"]))], True
    if command.kind is Kind.DISCONNECT:
        return _mark(supply, command, Status.EXPIRED), [], False
    return _given_up(account, supply, command, now), [], False


def _mark(supply: Supply, command: SupplyCommand, status: Status) -> Supply:
    if command.status is status or (command.status is Status.UNKNOWN and status is Status.SENT):
        return supply
    marked = replace(command, status=status, attempts=max(1, command.attempts))
    commands = tuple(marked if c.seq == command.seq else c for c in supply.commands)
    return replace(supply, commands=commands)


def _given_up(account: Row, supply: Supply, command: SupplyCommand, now: datetime) -> Supply:
    """A reconnection whose command ended without an answer is due again after a pause."""
    if command.status is Status.UNKNOWN:
        return supply
    sent = _mark(supply, command, Status.SENT)
    return replace(
        sent, commands=outbox.timed_out(sent.commands, command.seq, now, account["name"])
    )


def _worth_keeping(supply: Supply) -> outbox.Commands:
    return tuple(c for c in supply.commands if c.is_open or c.seq == supply.decision_seq)[-4:]


# -- what was decided ---------------------------------------------------------------------------


def _carry_out(
    account: Row, before: Supply, after: Supply, now: datetime, *, asked: NewCommand | None
) -> Plan[None]:
    command_id: UUID | None = account["command_id"]
    known = {c.seq for c in before.commands}
    new = next((c for c in after.commands if c.seq not in known and c.is_open), None)
    new = new or _again(account, after, now)
    decided = after.decision_seq != before.decision_seq
    if decided and command_id is not None:
        yield from supersede(account["tenant_id"], command_id, now)
        command_id = None
    if new is not None:
        made = yield from create_command(
            account["tenant_id"], _command(account, new, now, asked), now
        )
        command_id = made.id
    if new is not None and not decided:
        commands = tuple(
            replace(c, status=Status.QUEUED, next_try=None) if c.seq == new.seq else c
            for c in after.commands
        )
        after = replace(after, commands=commands)
    if after == before and command_id == account["command_id"] and not _has_read(account):
        return
    reason = _reason(before, after, decided=decided) or account["reason"]
    yield SQL(
        "save_supply",
        account_id=account["id"],
        state=after.state.value,
        desired=(RelayState.CONNECTED if after.desired_on else RelayState.DISCONNECTED).value,
        decision_seq=after.decision_seq,
        kept=_encode(after).decode(),
        next_eval_at=next_look(policy_of(account), after, now),
        reason=reason,
        decided_at=now if decided else account["decided_at"],
        command_id=command_id,
        relay_counter=max(account["relay_taken"], account["relay_counter"] or -1),
    ).silently()
    if decided or after.state is not before.state:
        detail = {
            "decision_seq": after.decision_seq,
            "wallet_mu": account["wallet_mu"],
            "state": after.state.value,
            "command": None if command_id is None else str(command_id),
        }
        yield from notices.note(account, now, f"supply.{reason}", detail)
    yield from _tell_supply(account, before, after, now)


def _has_read(account: Row) -> bool:
    """Whether there is something beside the supply's state to keep: a relay state, a time."""
    return bool(account["due"]) or (account["relay_counter"] or -1) > account["relay_taken"]


def _again(account: Row, supply: Supply, now: datetime) -> SupplyCommand | None:
    """The decision's command once more, when its last one has ended and its pause is over."""
    ended = account["command_state"] is None or CommandState(account["command_state"]) in FINAL
    last = next((c for c in supply.commands if c.seq == supply.decision_seq), None)
    if last is None or not ended or account["command_seq"] != supply.decision_seq:
        return None
    waits = last.status is Status.UNKNOWN and last.due(now) and not last.expired(now)
    return last if waits else None


def _command(
    account: Row, command: SupplyCommand, now: datetime, asked: NewCommand | None
) -> NewCommand:
    kind = _KINDS[command.kind]
    mine = asked if asked is not None and asked.kind is kind else None
    # With the time: a decision of the same number, made again after a restore, is another command.
    key = f"supply:{account['id']}:{command.seq}:{command.attempts}:{now.timestamp():.0f}"
    return NewCommand(
        meter=account["meter"],
        kind=kind,
        not_after=mine.not_after if mine else command.not_after or now + NEVER,
        idempotency_key=mine.idempotency_key if mine else key,
        requested_by=mine.requested_by if mine else REQUESTER,
        account_id=account["id"],
        decision_seq=command.seq,
    )


def _reason(before: Supply, after: Supply, *, decided: bool) -> str | None:
    """Why the supply is as it is, in one word; None: as before."""
    if after.hold is not None:
        return "hold"
    if after.state is State.PROTECTED:
        return f"protected_{after.reason or 'again'}"
    if after.state in {State.CUT_PENDING, State.OFF}:
        return "credit_exhausted" if decided or before.hold is not None else None
    if decided or before.state is State.PROTECTED:
        if "relay_unexpected" in after.alarms:
            return "relay_differs"
        return "emergency_credit" if after.ec_active else "credit_restored"
    return None


def next_look(agreed: Policy, supply: Supply, now: datetime) -> datetime | None:
    """When time alone may change something."""
    waits = [supply.next_eval_at]
    if supply.reason in {"breaker", "temperature"} or supply.state is State.HOLD:
        waits.append(now + LOOK_AGAIN)
    if supply.state is State.PROTECTED and supply.notice_at and agreed.notice_minutes:
        waits.append(supply.notice_at + timedelta(minutes=agreed.notice_minutes))
    if supply.restore_since is not None:
        alarms = (cutoff.RECONNECT_LATE, cutoff.RECONNECT_BREACH)
        waits += [supply.restore_since + after for after in alarms]
    for command in supply.commands:
        if command.is_open:
            waits += [command.not_after, command.next_try]
            waits.append(None if supply.unreachable else now + ANSWER_TIMEOUT)
    return min((at for at in waits if at is not None and at > now), default=None)


# -- what is told -------------------------------------------------------------------------------


def _tell_supply(account: Row, before: Supply, after: Supply, now: datetime) -> Plan[None]:
    if after.actual is before.actual or after.actual is None:
        return
    kind = "supply.off" if after.actual in _DARK else "supply.on"
    if before.actual is not None or kind == "supply.off":
        detail = {"decision_seq": after.decision_seq, "state": after.state.value}
        key = f"{after.decision_seq}/{account['relay_counter']}"
        yield from notices.publish(account, kind, detail, now, key=key)


def _tell(account: Row, supply: Supply, effect: Effect, now: datetime) -> Plan[None]:
    detail = {"balance_mu": account["wallet_mu"], "currency": account["currency"]}
    match effect.kind:
        case EffectKind.NOTICE:
            yield from notices.give_notice(account, effect.name, detail, now)
        case EffectKind.ALARM:
            yield from _alarm(account, supply, effect.name, now)
        case EffectKind.ACTION:
            yield from _act(account, supply, effect.name, now)


def _alarm(account: Row, supply: Supply, name: str, now: datetime) -> Plan[None]:
    detail = {"alarm": name, "decision_seq": supply.decision_seq}
    yield from notices.note(account, now, f"alarm.{name}", detail)
    kind = "supply.late" if name.startswith("reconnect") else "exception.opened"
    key = f"{name}/{supply.decision_seq}/{now.isoformat()}"
    yield from notices.publish(account, kind, detail, now, key=key)


def _act(account: Row, supply: Supply, name: str, now: datetime) -> Plan[None]:
    if name != "read_relay":
        yield from notices.note(account, now, f"action.{name}", {})
        return
    request = NewCommand(
        meter=account["meter"],
        kind=CommandKind.RELAY_READ,
        not_after=now + READ_LIFE,
        idempotency_key=f"read:{account['id']}:{supply.decision_seq}:{now.timestamp():.0f}",
        requested_by=REQUESTER,
    )
    yield from create_command(account["tenant_id"], request, now)
