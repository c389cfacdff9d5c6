"""What can still be read of a damaged outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.rows import unpack_row
from ohmesh.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.rows import Row
    from ohmesh.model.telegram import Telegram

_FAILURES_MAX = 2000
"""Failed reads after which the rest counts as unreadable: a start must not take for ever."""
_CHUNK_ROWS = 1000
"""Rows in memory at a time."""
_ROWS_MAX = 2**24
"""Rows looked at; an outbox has fewer, but its newest number may be what was altered."""


def readable_rows(
    read: Callable[[int, int], Sequence[Row]], low: int, high: int
) -> Iterator[list[Telegram]]:
    """Every sound telegram in low <= row < high, in order.

    A range that cannot be read is halved until the unreadable row is alone.

    Args:
        read: the rows of a range; raises StoreError.
        low: first row.
        high: one past the last row.
    """
    failures = 0
    high = min(high, low + _ROWS_MAX)
    for start in range(low, high, _CHUNK_ROWS):
        ranges = [(start, min(start + _CHUNK_ROWS, high))]
        while ranges and failures < _FAILURES_MAX:
            begin, end = ranges.pop()
            try:
                rows = read(begin, end)
            except StoreError:
                failures += 1
                middle = (begin + end) // 2
                ranges += [(middle, end), (begin, middle)] if begin < middle else []
                continue
            if rows:
                yield [telegram for telegram in map(unpack_row, rows) if telegram is not None]
