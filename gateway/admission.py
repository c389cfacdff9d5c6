"""What may enter the outbox: one row that cannot travel would hold up all that follow it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ohmesh.model.errors import ModelError
from ohmesh.wire.uplink import MAX_TELEGRAM_BYTES

if TYPE_CHECKING:
    from ohmesh.model.telegram import Telegram

_TEXT_ID = re.compile(r"[A-Za-z0-9_-]{0,64}")
_SHOWN = 80


def check_telegram(telegram: Telegram) -> None:
    """Refuse what the wire could not carry.

    Raises:
        ModelError: an id, the time or the length is out of range.
    """
    for text in (telegram.source, telegram.meter, telegram.profile):
        if not _TEXT_ID.fullmatch(text):
            raise ModelError(f"{text[:_SHOWN]!r} is not 0 to 64 of A-Z a-z 0-9 _ -")
    if not 0 <= telegram.received_at_ms < 2**63:
        raise ModelError(f"a telegram of the time {telegram.received_at_ms} ms")
    if len(telegram.payload) > MAX_TELEGRAM_BYTES:
        raise ModelError(
            f"a telegram of {len(telegram.payload)} bytes; the limit is {MAX_TELEGRAM_BYTES}"
        )
