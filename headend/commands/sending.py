"""From the command table to messages for gateways, as plans.

A send is three steps with commits between: `look` takes a lease on what is due, `begin` writes the
attempt and the counter of the seal down, and then the message leaves. A crash between them costs
an attempt or a lease and never a counter that is used twice.

What takes supply away goes another way: `cuts` names those with a valid release of the gate, and
`begin_cut` looks once more, under the lock of the account, whether the decision still holds, the
hours are open and the notice stands. What is no longer right ends there and does not leave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

import msgspec

from headend.commands.dispatcher import (
    SOFT_WINDOW,
    Area,
    Due,
    choose,
    has_expired,
    next_try,
    sent,
    soften,
)
from headend.commands.floor import counter_floor
from headend.prepayment import cutoff, engine, supplying
from headend.prepayment.outbox import Status
from headend.store.plan import Plan, Queries, Row, first
from ohmesh.model.command import (
    NEEDS_RELEASE,
    Command,
    CommandEvent,
    CommandKind,
    CommandState,
    advance,
)
from ohmesh.model.errors import WireError
from ohmesh.wire.commandbody import BLOCK_BYTES, decode_offer, decode_wanted
from ohmesh.wire.downlink import DownMessage, encode_down
from ohmesh.wire.metercommand import encode_command
from ohmesh.wire.sealed import kind_of_command, seal

if TYPE_CHECKING:
    from collections.abc import Callable

SQL: Final = Queries("headend.commands", "commands.sql")
LIMIT: Final = 500
LEASE: Final = timedelta(seconds=10)
FLIGHT_MAX: Final = timedelta(minutes=10)
"""How long a gateway may try; the command itself may live longer."""
CLOCK_FLIGHT_MAX: Final = timedelta(seconds=30)
"""The same for a time of day, which is wrong by as much as it was under way."""
BLOCKS_AT_ONCE: Final = 16
"""Of a firmware, before the meter is asked again what it wants."""
_GUARDED: Final = [kind.value for kind in NEEDS_RELEASE]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A send that is in the store: the command, when it leaves, and what leaves with it.

    Attributes:
        due: the command.
        counter: the last of its counters of the seal: its blocks have those before it.
        at: when it leaves.
        blocks: of a firmware: number and octets of those that the meter wants.
    """

    due: Due
    counter: int
    at: datetime
    blocks: tuple[tuple[int, bytes], ...] = ()


def look(now: datetime) -> Plan[list[Due]]:
    """What to send now, leased."""
    rows = yield SQL("due", now=now, limit=LIMIT, guarded=_GUARDED)
    if not rows:
        return []
    counts = yield SQL("under_way", now=now)
    under_way = {row["gateway_id"]: row["commands"] for row in counts}
    due = [_due(row) for row in rows]
    ready, later = soften(due, (yield from _areas(due, now)), now)
    chosen = choose(ready, under_way)
    leases = later | {one.id: now + LEASE for one in chosen}
    yield SQL("lease", ids=list(leases), until=list(leases.values()))
    return chosen


def _areas(due: list[Due], now: datetime) -> Plan[dict[tuple[int, str], Area]]:
    on = CommandKind.RELAY_ON
    places = sorted({(d.tenant_id, d.area) for d in due if d.kind is on and not d.attempts})
    if not places:
        return {}
    rows = yield SQL(
        "areas",
        kind=on.value,
        since=now - SOFT_WINDOW,
        tenants=[tenant for tenant, _ in places],
        areas=[area for _, area in places],
    )
    return {(row["tenant_id"], row["area"]): Area(row["meters"], row["recent"]) for row in rows}


def _due(row: Row) -> Due:
    return Due(
        **{
            **row,
            "key_sealed": bytes(row["key_sealed"]),
            "kind": CommandKind(row["kind"]),
            "state": CommandState(row["state"]),
            "release": bytes(row.get("release") or b""),
            "body": bytes(row["body"]),
            "proof": bytes(row["proof"] or b""),
            "approvals": tuple(map(_approval, row.get("approvals") or ())),
        }
    )


def _approval(text: str) -> tuple[str, int, bytes]:
    name, not_after_s, signature = msgspec.json.decode(text, type=tuple[str, int, str])
    return name, not_after_s, bytes.fromhex(signature)


def begin(due: Due, now: datetime, chance: float) -> Plan[Attempt | None]:
    """Note the attempt; None when somebody else has changed the command meanwhile."""
    blocks = yield from _blocks(due)
    counters = yield SQL(
        "next_counter", meter_id=due.meter_id, count=1 + len(blocks), floor=counter_floor(now)
    )
    marked = first(
        (
            yield SQL(
                "mark_sent",
                id=due.id,
                was=due.state,
                state=sent(due),
                attempts=due.attempts,
                next_try_at=next_try(now, due.attempts + 1, chance),
                now=now,
            )
        )
    )
    return Attempt(due, counters[0]["down_counter"], now, blocks) if marked else None


def _blocks(due: Due) -> Plan[tuple[tuple[int, bytes], ...]]:
    """What a meter wants of a firmware, by its last answer; so many as a gateway carries well."""
    if due.kind is not CommandKind.FIRMWARE or not due.proof:
        return ()
    try:
        wanted = decode_wanted(due.proof)
    except WireError:  # a meter that does not say what it wants is asked again
        return ()
    rows = yield SQL(
        "image_blocks",
        tenant_id=due.tenant_id,
        sha256=decode_offer(due.body).sha256,
        numbers=wanted[:BLOCKS_AT_ONCE],
        size=BLOCK_BYTES,
    )
    return tuple((row["number"], bytes(row["octets"])) for row in rows if row["octets"])


@dataclass(frozen=True, slots=True)
class Cut:
    """A command that takes supply away, and the account whose decision it carries out."""

    id: UUID
    account_id: int | None


def cuts(now: datetime) -> Plan[list[Cut]]:
    """Released commands that are due."""
    rows = yield SQL("due_cuts", now=now, limit=LIMIT, guarded=_GUARDED)
    return [Cut(row["id"], row["account_id"]) for row in rows]


def begin_cut(cut: Cut, now: datetime, chance: float) -> Plan[Attempt | None]:
    """Look once more and note the attempt; None when it must not leave, or not from here."""
    account = None
    if cut.account_id is not None:
        account = yield from engine.lock_account(cut.account_id)
    row = first((yield SQL("one_cut", id=cut.id, now=now)))
    if row is None:
        return None
    decision_seq, requester = row.pop("decision_seq"), row.pop("requested_by")
    due = _due(row)
    if account is not None:
        refusal = _refusal(
            account, decision_seq, now, decided_here=requester == supplying.REQUESTER
        )
        if refusal is not None:
            state = advance(due.state, CommandEvent.EXPIRE)
            yield SQL("expire", id=due.id, state=state, now=now, detail=refusal)
            return None
    return (yield from begin(due, now, chance))


def _refusal(account: Row, decision_seq: int, now: datetime, *, decided_here: bool) -> str | None:
    """Why a decision to cut must not be carried out any more."""
    supply = supplying.supply_of(account["kept"])
    if decision_seq != supply.decision_seq:
        return "superseded by a newer decision"
    if not decided_here:  # a person's order stands as long as the hold that came with it
        return None if supply.hold is not None else "the hold was released"
    stopped = account["breaker_open"] or account["stopped"]
    after = cutoff.send(
        supplying.policy_of(account), supply, account["wallet_mu"], now, breaker_open=stopped
    )
    command = next((c for c in after.commands if c.seq == decision_seq), None)
    if command is None or command.status in {Status.EXPIRED, Status.SUPERSEDED}:
        return "cutting is not permitted any more"
    return None


def messages(
    attempt: Attempt, key: bytes, open_key: Callable[[bytes], bytes], now: datetime
) -> list[bytes]:
    """The DownMessages of an attempt, sealed for its meter, blocks before the command itself.

    None when its time has ended while the store took it: nothing leaves behind its deadline.

    Args:
        attempt: what to send.
        key: of the meter's seal.
        open_key: opens a key that stands sealed in the store.
        now: when they leave.
    """
    if attempt.due.not_after <= now:
        return []
    due, first = attempt.due, attempt.counter - len(attempt.blocks)
    made = []
    for place, (number, octets) in enumerate(attempt.blocks):
        block = replace(
            due.command(), kind=CommandKind.FIRMWARE_BLOCK, argument=number, body=octets
        )
        flight = uuid5(due.id, str(number)).bytes
        made.append(_message(attempt, flight, block, (key, first + place)))
    command = due.command()
    if due.kind is CommandKind.CLOCK_SET:
        command = replace(command, argument=int(attempt.at.timestamp()))
    if due.kind is CommandKind.KEY_CHANGE:
        command = replace(command, body=open_key(due.body))
    return [*made, _message(attempt, due.id.bytes, command, (key, attempt.counter))]


def _message(attempt: Attempt, flight: bytes, command: Command, under: tuple[bytes, int]) -> bytes:
    """One DownMessage. Args: flight: its id at the gateway. under: key and counter of the seal."""
    due, (key, counter) = attempt.due, under
    octets = encode_command(command)
    sealed = seal(key, due.address, kind_of_command(command.kind), counter, octets)
    longest = CLOCK_FLIGHT_MAX if due.kind is CommandKind.CLOCK_SET else FLIGHT_MAX
    return encode_down(
        DownMessage(
            flight,
            due.address,
            min(due.not_after_s, int((attempt.at + longest).timestamp())),
            due.priority,
            sealed,
            due.release,
            due.approvals,
        )
    )


def expire(now: datetime) -> Plan[int]:
    """End commands whose deadline has passed without a result; their number."""
    rows = yield SQL("overdue", now=now, limit=LIMIT)
    expired = [
        (row["id"], CommandState(row["state"]))
        for row in rows
        if has_expired(CommandState(row["state"]), row["not_after"], now)
    ]
    for command_id, state in expired:
        ended = advance(state, CommandEvent.EXPIRE)
        yield SQL(
            "expire", id=command_id, state=ended, now=now, detail="no result before the deadline"
        )
    return len(expired)
