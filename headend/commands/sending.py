"""From the command table to messages for gateways, as plans.

A send is two steps with a commit between: first the attempt and the counter of the seal are in
the store, then the message leaves. A crash between them costs one attempt and never a counter
that is used twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headend.commands.dispatcher import Due, choose, has_expired, next_try, sent
from headend.store.plan import Plan, Queries, Row, first
from ohmesh.model.command import CommandEvent, CommandKind, CommandState, advance
from ohmesh.wire.downlink import DownMessage, encode_down
from ohmesh.wire.metercommand import encode_command
from ohmesh.wire.sealed import kind_of_command, seal

if TYPE_CHECKING:
    from datetime import datetime

SQL: Final = Queries("headend.commands", "commands.sql")
LIMIT: Final = 500


@dataclass(frozen=True, slots=True)
class Attempt:
    """A send that is in the store: the command and the counter for its seal."""

    due: Due
    counter: int


def look(now: datetime) -> Plan[list[Due]]:
    """What to send now."""
    rows = yield SQL("due", now=now, limit=LIMIT)
    if not rows:
        return []
    counts = yield SQL("under_way", now=now)
    under_way = {row["gateway_id"]: row["commands"] for row in counts}
    return choose([_due(row) for row in rows], under_way)


def _due(row: Row) -> Due:
    return Due(
        **{
            **row,
            "key_sealed": bytes(row["key_sealed"]),
            "kind": CommandKind(row["kind"]),
            "state": CommandState(row["state"]),
        }
    )


def begin(due: Due, now: datetime, chance: float) -> Plan[Attempt | None]:
    """Note the attempt; None when somebody else has changed the command meanwhile."""
    counter = (yield SQL("next_counter", meter_id=due.meter_id))[0]["down_counter"]
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
    return Attempt(due, counter) if marked else None


def message(attempt: Attempt, key: bytes) -> bytes:
    """The DownMessage of an attempt, sealed for its meter."""
    due = attempt.due
    body = encode_command(due.command())
    sealed = seal(key, due.address, kind_of_command(due.kind), attempt.counter, body)
    return encode_down(
        DownMessage(due.id.bytes, due.address, due.not_after_s, due.priority, sealed)
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
        yield SQL("expire", id=command_id, state=advance(state, CommandEvent.EXPIRE), now=now)
    return len(expired)
