"""Telegrams as they came: the archive of all, and quarantine of those that gave nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from headend.ingest.decode import DIRECT_SOURCE, clean, received_at, received_us
from headend.ingest.effects import NO_GATEWAY, Gateway, Item
from headend.ingest.rows import Telegrams
from headend.ingest.statements import SQL
from headend.store import db
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headend.ingest.effects import Held
    from headend.ingest.work import Direct, Refused
    from headend.store.db import Connection
    from headend.store.plan import Row

EVIDENCE_BYTES_MAX: Final = 4096
"""Kept of a message that is none of ours."""


def number_direct(connection: Connection, direct: Sequence[Direct], now_ms: int) -> list[Item]:
    """Messages of meters with their own modem as numbered telegrams.

    Such a meter numbers nothing itself, so a resend is archived again; its readings are stored
    once by their key, and once by the seal's counter when they have no time of their own.
    """
    if not direct:
        return []
    (row,) = db.rows(connection, SQL("direct_number"))
    return [
        Item(
            Telegram(TelegramKind.METER, DIRECT_SOURCE, Address(meter), "", now_ms, payload),
            gateway=None,
            epoch=0,
            seq=seq,
        )
        for seq, (meter, payload) in enumerate(direct, row["first"])
    ]


def write(connection: Connection, items: Sequence[Item]) -> None:
    """Archive telegrams."""
    if not items:
        return
    rows = Telegrams()
    for item in items:
        telegram = item.telegram
        rows.append(
            received_us=received_us(telegram),
            gateway_id=item.gateway.id if item.gateway else NO_GATEWAY,
            epoch=item.epoch,
            seq=item.seq,
            kind=telegram.kind,
            meter_id=item.meter.id if item.meter else None,
            texts=(telegram.source, telegram.meter, telegram.profile),
            payload=telegram.payload,
        )
    db.copy(connection, SQL.sql("copy_telegrams"), rows.stream())


def quarantine(connection: Connection, held: Sequence[Held]) -> None:
    """Keep telegrams that gave nothing, with the reason, to be decoded again later."""
    if not held:
        return
    _insert(
        connection,
        [
            {
                "received_at": received_at(item.telegram),
                "gateway_id": item.gateway.id if item.gateway else None,
                "epoch": item.epoch,
                "seq": item.seq,
                "kind": item.telegram.kind.value,
                "source": item.telegram.source,
                "meter_id": item.meter.id if item.meter else None,
                "address": item.telegram.meter,
                "profile": item.telegram.profile,
                "meter_version": item.meter.version if item.meter else 0,
                "reason": reason.code,
                "message": reason.message,
                "payload": item.telegram.payload,
            }
            for item, reason in held
        ],
    )


def quarantine_refused(connection: Connection, refused: Sequence[Refused], now_ms: int) -> None:
    """Keep evidence of messages that are none of ours, cut; nothing can decode them later."""
    if not refused:
        return
    at = datetime.fromtimestamp(now_ms / 1000, UTC)
    _insert(
        connection,
        [
            {
                "received_at": at,
                "gateway_id": None,
                "epoch": None,
                "seq": None,
                "kind": TelegramKind.METER.value,
                "source": "mqtt",
                "meter_id": None,
                "address": "",
                "profile": "",
                "meter_version": 0,
                "reason": one.reason,
                "message": clean(f"{one.topic}: {one.message}"),
                "payload": one.payload[:EVIDENCE_BYTES_MAX],
            }
            for one in refused
        ],
    )


def take_quarantined(connection: Connection, limit: int) -> list[tuple[int, Item]]:
    """Telegrams worth another try, by their number in quarantine; locked."""
    rows = db.rows(connection, SQL("take_quarantined", limit=limit))
    return [(row["id"], _item(row)) for row in rows]


def _item(row: Row) -> Item:
    gateway = None
    if row["gateway_id"] is not None:
        gateway = Gateway(row["gateway_id"], row["gateway_tenant"], "")
    telegram = Telegram(
        TelegramKind(row["kind"]),
        row["source"],
        Address(row["address"]),
        row["profile"],
        int(row["received_at"].timestamp() * 1000),
        bytes(row["payload"]),
    )
    return Item(telegram, gateway, row["epoch"] or 0, row["seq"] or 0)


def settle(connection: Connection, taken: Sequence[int], still: Sequence[tuple[int, Held]]) -> None:
    """Resolve what was taken, except what is held again: that gets its new reason."""
    again = {number for number, _ in still}
    db.execute(connection, SQL("resolve", ids=[n for n in taken if n not in again]))
    if still:
        db.execute(
            connection,
            SQL(
                "still_quarantined",
                ids=[number for number, _ in still],
                reasons=[held.reason.code for _, held in still],
                messages=[held.reason.message for _, held in still],
            ),
        )


def _insert(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    db.execute(connection, SQL("quarantine", **columns))
