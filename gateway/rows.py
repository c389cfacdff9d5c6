"""A telegram as a row of the outbox, with a check on its content.

SQLite's own check sees a broken structure and not an altered value; a row that was altered on the
card could hold up all that follow it, or go to another meter's account.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from gateway.admission import check_telegram
from ohmesh.model.telegram import Telegram, TelegramKind

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = tuple[Any, ...]
"""Row number, the fields of `Telegram` in their order, CRC-32 of all of these."""


def pack_row(number: int, telegram: Telegram) -> Row:
    """The row of a telegram."""
    t = telegram
    fields = (number, int(t.kind), t.source, t.meter, t.profile, t.received_at_ms, t.payload)
    return (*fields, _crc(fields))


def unpack_row(row: Sequence[Any]) -> Telegram | None:
    """The telegram of a row, None when the row is not what was packed."""
    *fields, crc = row
    try:
        if _crc(fields) != crc:
            return None
        _, kind, source, meter, profile, received_at_ms, payload = fields
        telegram = Telegram(TelegramKind(kind), source, meter, profile, received_at_ms, payload)
        check_telegram(telegram)
    except (ValueError, TypeError):
        return None
    return telegram


def checksum(*fields: int | str) -> int:
    """CRC-32 of the fields of a row."""
    return zlib.crc32("\n".join(map(str, fields)).encode())


def _crc(fields: Sequence[Any]) -> int:
    *head, payload = fields
    return zlib.crc32(payload, checksum(*head))
