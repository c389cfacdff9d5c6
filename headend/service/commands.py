"""Commands as the API and the prepayment engine ask for them; `headend.commands` sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from headend.commands.floor import counter_floor
from headend.store.plan import Plan, Queries, first
from ohmesh.model.command import FINAL, CommandEvent, CommandKind, CommandState, advance
from ohmesh.model.errors import CommandError, Conflict

if TYPE_CHECKING:
    from datetime import datetime

    from headend.store.plan import Row

SQL: Final = Queries("headend.service", "commands.sql")
NAMESPACE: Final = UUID("6f686d65-7368-5000-8000-636f6d6d616e")
PRIORITY: Final = {
    CommandKind.RELAY_ON: 3,
    CommandKind.RELAY_OFF: 2,
    CommandKind.RELAY_READ: 2,
    CommandKind.CLOCK_SET: 1,
    CommandKind.READ_NOW: 1,
    CommandKind.TOKEN_ENTER: 2,
    CommandKind.FIRMWARE: 0,
}
"""The lane of each kind: restoring supply goes before everything; 1 where none is named."""


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command to queue.

    Attributes:
        meter: the meter's name.
        kind: what to do.
        not_after: UTC; nobody sends or executes it later.
        idempotency_key: the requester's key, unique per tenant, 1 to 200 characters.
        requested_by: who asked: a principal's name or `prepayment`.
        argument, body: meaning by kind (`ohmesh.model.command.Command`); the key of a KEY_CHANGE
            stands sealed in the body.
        account_id, decision_seq: of the prepaid account and decision that it carries out.
    """

    meter: str
    kind: CommandKind
    not_after: datetime
    idempotency_key: str
    requested_by: str
    argument: int = 0
    body: bytes = b""
    account_id: int | None = None
    decision_seq: int | None = None


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command as it stands in the store; `replayed`: an earlier request had the same key."""

    id: UUID
    meter: str
    kind: CommandKind
    argument: int
    sequence: int
    state: CommandState
    not_after: datetime
    created_at: datetime
    replayed: bool = False


def create_command(tenant_id: int, request: NewCommand, now: datetime) -> Plan[CommandRecord]:
    """Queue a command, or give back the one that was made with the same key.

    Raises:
        CommandError: `unknown_meter`; `no_key`, a meter without a key takes no commands;
            `expired`, the deadline has passed.
        Conflict: the key was used for another command.
    """
    meter = first((yield SQL("find_meter", tenant_id=tenant_id, meter=request.meter)))
    if meter is None:
        raise CommandError("unknown_meter", f"there is no meter {request.meter}")
    yield SQL("lock_sequence", meter_id=meter["id"])
    by_key = SQL("find_by_key", tenant_id=tenant_id, idempotency_key=request.idempotency_key)
    known = first((yield by_key))
    if known:
        return _replay(known, request)
    if not meter["has_key"]:
        raise CommandError("no_key", f"the meter {request.meter} has no key: it takes no commands")
    if request.not_after <= now:
        raise CommandError("expired", f"the deadline {request.not_after.isoformat()} has passed")
    command_id = uuid5(NAMESPACE, f"{tenant_id}/{request.idempotency_key}")
    body = request.body
    if request.kind is CommandKind.KEY_CHANGE:
        pending = yield SQL("pend_key", meter_id=meter["id"], command=command_id, key=body)
        body = bytes(pending[0]["next_key_sealed"])
    made = yield SQL(
        "insert_command",
        id=command_id,
        tenant_id=tenant_id,
        meter_id=meter["id"],
        kind=request.kind.value,
        argument=request.argument,
        body=body,
        priority=PRIORITY.get(request.kind, 1),
        not_after=request.not_after,
        idempotency_key=request.idempotency_key,
        requested_by=request.requested_by,
        account_id=request.account_id,
        decision_seq=request.decision_seq,
        floor=counter_floor(now),
        now=now,
    )
    if not made:  # the same key at the same time, for another meter
        return _replay((yield by_key)[0], request)
    return _record(made[0], request.meter, replayed=False)


def find_by_key(tenant_id: int, request: NewCommand) -> Plan[CommandRecord | None]:
    """The command that was made with the request's key. Raises Conflict."""
    by_key = SQL("find_by_key", tenant_id=tenant_id, idempotency_key=request.idempotency_key)
    known = first((yield by_key))
    return None if known is None else _replay(known, request)


def _replay(known: Row, request: NewCommand) -> CommandRecord:
    same = (known["meter"], known["kind"], known["argument"]) == (
        request.meter,
        request.kind,
        request.argument,
    )
    if request.kind is not CommandKind.KEY_CHANGE:  # its key is new with every request
        same = same and bytes(known["body"]) == request.body
    if not same:
        raise Conflict(
            f"the idempotency key {request.idempotency_key!r} belongs to another command"
        )
    return _record(known, known["meter"], replayed=True)


def _record(row: Row, meter: str, *, replayed: bool) -> CommandRecord:
    return CommandRecord(
        id=row["id"],
        meter=meter,
        kind=CommandKind(row["kind"]),
        argument=row["argument"],
        sequence=row["sequence"],
        state=CommandState(row["state"]),
        not_after=row["not_after"],
        created_at=row["created_at"],
        replayed=replayed,
    )


def cancel_command(tenant_id: int, command_id: UUID, now: datetime) -> Plan[CommandRecord]:
    """Cancel a command that was not sent yet.

    Raises: CommandError: `unknown_command`, or `bad_transition` when it was sent or has ended.
    """
    row = first((yield SQL("find_command", tenant_id=tenant_id, id=command_id)))
    if row is None:
        raise CommandError("unknown_command", f"there is no command {command_id}")
    state = advance(CommandState(row["state"]), CommandEvent.CANCEL)
    yield SQL("set_state", id=command_id, state=state, resolved_at=now, detail="cancelled")
    return _record({**row, "state": state}, row["meter"], replayed=False)


def supersede(tenant_id: int, command_id: UUID, now: datetime) -> Plan[None]:
    """End a command because a newer decision replaces it; one that has ended stays as it is.

    It may be executed still when it is on the air: the meter's fence and the reading back of the
    relay settle that, not this row.
    """
    row = first((yield SQL("find_command", tenant_id=tenant_id, id=command_id)))
    if row is None or CommandState(row["state"]) in FINAL:
        return
    state = CommandState(row["state"])
    event = CommandEvent.CANCEL if state is CommandState.QUEUED else CommandEvent.EXPIRE
    yield SQL(
        "set_state",
        id=command_id,
        state=advance(state, event),
        resolved_at=now,
        detail="superseded by a newer decision",
    )
