"""DL/T 698.45 data: a tag byte and the value, like A-XDR with more types.

Source: DL/T 698.45-2017, clause 7.3.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from firmware_profiles.codecs.cursor import unsupported
from ohmesh.model.errors import DecodeError, DecodeErrorKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.codecs.cursor import Cursor

DEPTH_MAX = 16
ITEMS_MAX = 4096
Data: TypeAlias = "int | bool | bytes | str | datetime | list[Data] | None"
_ARRAY, _STRUCTURE = 0x01, 0x02
_FIXED: dict[int, tuple[int, bool]] = {
    0x05: (4, True),
    0x06: (4, False),
    0x0F: (1, True),
    0x10: (2, True),
    0x11: (1, False),
    0x12: (2, False),
    0x14: (8, True),
    0x15: (8, False),
    0x16: (1, False),
    0x50: (2, False),
    0x51: (4, False),
    0x53: (4, False),
}
"""Tag -> size and sign: integers, enum, OI, OAD, OMD."""
_OPAQUE = {0x17: 4, 0x18: 8, 0x19: 10, 0x1A: 5, 0x1B: 3, 0x54: 3, 0x59: 2}
"""Tag -> size of floats, date-time, date, time, TI, scaler with unit, kept as bytes."""
_STAMP = 0x1C


class Budget:
    """How many items an APDU may still have."""

    def __init__(self) -> None:
        self._left = ITEMS_MAX

    def spend(self, count: int, cursor: Cursor) -> None:
        """Take from the budget; each item has a byte, so more than the bytes left is a lie."""
        self._left -= count
        if count > cursor.remaining:
            raise cursor.truncated(count)
        if self._left < 0:
            raise DecodeError(
                DecodeErrorKind.BUDGET, f"over {ITEMS_MAX} items", offset=cursor.offset
            )


def read(cursor: Cursor, budget: Budget, depth: int = DEPTH_MAX) -> Data:
    """The next data element. Raises DecodeError."""
    tag = cursor.u8()
    if tag in _FIXED:
        size, signed = _FIXED[tag]
        return cursor.signed(size) if signed else cursor.unsigned(size)
    if tag in (_ARRAY, _STRUCTURE):
        return _list(cursor, budget, depth)
    if tag in _OPAQUE:
        return cursor.take(_OPAQUE[tag])
    reader = _READERS.get(tag)
    if reader is None:
        raise unsupported(f"the data type {tag:02X}", cursor.offset - 1)
    return reader(cursor)


def _list(cursor: Cursor, budget: Budget, depth: int) -> list[Data]:
    count = cursor.short_length()
    budget.spend(count, cursor)
    if not depth:
        raise DecodeError(DecodeErrorKind.BUDGET, f"deeper than {DEPTH_MAX}", offset=cursor.offset)
    return [read(cursor, budget, depth - 1) for _ in range(count)]


def _null(_cursor: Cursor) -> Data:
    return None


def _boolean(cursor: Cursor) -> Data:
    return cursor.u8() != 0


def _bits(cursor: Cursor) -> Data:
    return cursor.take((cursor.short_length() + 7) // 8)


def _octets(cursor: Cursor) -> Data:
    return cursor.take(cursor.short_length())


def _text(cursor: Cursor) -> Data:
    return cursor.take(cursor.short_length()).decode("utf-8", "replace")


def stamp(cursor: Cursor) -> datetime | None:
    """date_time_s: year 2, month, day, hour, minute, second, meter-local; None when no time."""
    octets = cursor.take(7)
    try:
        return datetime(int.from_bytes(octets[:2], "big"), *octets[2:])  # noqa: DTZ001 - meter-local
    except ValueError:
        return None


_READERS: dict[int, Callable[[Cursor], Data]] = {
    0x00: _null,
    0x03: _boolean,
    0x04: _bits,
    0x09: _octets,
    0x0A: _text,
    0x0C: _text,
    _STAMP: stamp,
}
