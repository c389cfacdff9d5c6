"""Which numbers of a gateway's outbox are committed: exact sets, never a high-water mark."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from headend.ingest.effects import Gateway, Item
from headend.ingest.statements import SQL
from headend.store import db
from ohmesh.wire.uplink import Again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headend.store.db import Connection
    from ohmesh.wire.uplink import UplinkBatch

    Placed = tuple[Gateway, UplinkBatch]


class Ack(NamedTuple):
    """What to tell a gateway after the commit: all of `epoch` below `through` is stored.

    Attributes:
        again: what is wanted once more, because the gateway was told more than is here.
    """

    gateway: str
    epoch: int
    through: int
    again: Again = Again.NOTHING


def gateways(connection: Connection, names: set[str]) -> dict[str, Gateway]:
    """The registered ones of these gateways."""
    if not names:
        return {}
    rows = db.rows(connection, SQL("gateways", names=sorted(names)))
    return {row["name"]: Gateway(row["id"], row["tenant_id"], row["name"]) for row in rows}


def fresh(connection: Connection, batches: Sequence[Placed]) -> list[Item]:
    """Telegrams that are not committed yet, each once; locks the progress of their gateways."""
    if not batches:
        return []
    columns = _columns(batches)
    outboxes = sorted(set(zip(columns["gateways"], columns["epochs"], strict=True)))
    keys = {"gateways": [g for g, _ in outboxes], "epochs": [e for _, e in outboxes]}
    db.execute(connection, SQL("open_progress", **keys))
    db.execute(connection, SQL("lock_progress", **keys))
    committed: dict[int, set[int]] = {}
    numbers = list(range(len(batches)))
    for row in db.rows(connection, SQL("committed", batches=numbers, **columns)):
        committed.setdefault(row["i"], set()).update(range(row["low"], row["high"]))
    items: list[Item] = []
    taken: dict[tuple[int, int], list[range]] = {}
    for number, (gateway, batch) in enumerate(batches):
        mine = range(batch.first_seq, batch.end_seq)
        before = taken.setdefault((gateway.id, batch.epoch), [])
        known = committed.get(number, set()).union(*(_common(mine, one) for one in before))
        before.append(mine)
        numbered = list(zip(mine, batch.telegrams(), strict=True))
        if known:
            numbered = [(seq, telegram) for seq, telegram in numbered if seq not in known]
        items += [Item(telegram, gateway, batch.epoch, seq) for seq, telegram in numbered]
    return items


def _common(one: range, other: range) -> range:
    return range(max(one.start, other.start), min(one.stop, other.stop))


def advance(connection: Connection, batches: Sequence[Placed]) -> list[Ack]:
    """Mark the batches committed; what to acknowledge once the transaction is."""
    if not batches:
        return []
    names = {gateway.id: gateway.name for gateway, _ in batches}
    rows = db.rows(connection, SQL("advance_progress", **_columns(batches)))
    told: dict[tuple[int, int], int] = {}
    for gateway, batch in batches:
        outbox = (gateway.id, batch.epoch)
        told[outbox] = max(batch.acked, told.get(outbox, 0))
    return sorted(
        Ack(
            names[row["gateway_id"]],
            row["epoch"],
            row["through"],
            _again(row["through"], told[row["gateway_id"], row["epoch"]]),
        )
        for row in rows
    )


def _again(through: int, told: int) -> Again:
    """What to ask of a gateway that was told of the commit of all below `told`.

    A store that has less was restored from a back-up. Of an epoch that it knows, it has all that
    was acknowledged before that epoch began, because commits come back in their order.
    """
    if told <= through:
        return Again.NOTHING
    return Again.FROM_HERE if through else Again.ALL


def _columns(batches: Sequence[Placed]) -> dict[str, list[int]]:
    return {
        "gateways": [gateway.id for gateway, _ in batches],
        "epochs": [batch.epoch for _, batch in batches],
        "firsts": [batch.first_seq for _, batch in batches],
        "ends": [batch.end_seq for _, batch in batches],
    }
