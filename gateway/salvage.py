"""What can still be read of a damaged outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.admission import check_telegram
from ohmesh.model.errors import StoreError
from ohmesh.model.telegram import Telegram, TelegramKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Row = tuple[Any, ...]
_FAILURES_MAX = 2000
"""Failed reads after which the rest counts as unreadable: a start must not take for ever."""


def readable_rows(
    read: Callable[[int, int], Sequence[Row]], low: int, high: int
) -> Iterator[list[Telegram]]:
    """Every sound telegram in low <= seq < high, in order.

    A range that cannot be read is halved until the unreadable row is alone.

    Args:
        read: the rows of a range in the order of `Telegram`'s fields; raises StoreError.
        low: first number.
        high: one past the last number.
    """
    ranges, failures = [(low, high)], 0
    while ranges and failures < _FAILURES_MAX:
        low, high = ranges.pop()
        try:
            rows = read(low, high)
        except StoreError:
            failures += 1
            middle = (low + high) // 2
            if low < middle:
                ranges += [(middle, high), (low, middle)]
            continue
        yield [t for t in (_sound(row) for row in rows) if t is not None]


def _sound(row: Row) -> Telegram | None:
    """The telegram of a row, None when the damage shows in its values."""
    try:
        kind, source, meter, profile, received_at_ms, payload = row
        telegram = Telegram(TelegramKind(kind), source, meter, profile, received_at_ms, payload)
        check_telegram(telegram)
    except (ValueError, TypeError):
        return None
    return telegram
