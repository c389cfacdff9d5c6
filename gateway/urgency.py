"""Which telegrams pass a backlog: what somebody waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ohmesh.model.telegram import TelegramKind

if TYPE_CHECKING:
    from ohmesh.model.telegram import Telegram

URGENT_HEADS = (b"\x12", b"\x14")
"""First byte of a sealed result and of a sealed event (`ohmesh.wire.sealed`): it is not secret.
A telegram of a profile that begins alike only goes ahead of others."""


URGENT_KINDS = (TelegramKind.DELIVERY, TelegramKind.POWER)


def is_urgent(telegram: Telegram) -> bool:
    """True for reports on commands and on supply, results of commands and events."""
    return telegram.kind in URGENT_KINDS or (
        telegram.kind is TelegramKind.METER and telegram.payload.startswith(URGENT_HEADS)
    )
