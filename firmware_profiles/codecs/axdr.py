"""A-XDR data of DLMS/COSEM (IEC 61334-6; IEC 62056-5-3, type Data): bytes <-> Python values.

    tag  type                    value here
    0    null-data               None
    1    array                   tuple
    2    structure               tuple
    3    boolean                 bool
    4    bit-string              BitString
    5    double-long             int        6   double-long-unsigned   int
    9    octet-string            bytes
    10   visible-string          str        12  utf8-string            str
    13   bcd                     int
    15   integer                 int        16  long                   int
    17   unsigned                int        18  long-unsigned          int
    19   compact-array           tuple
    20   long64                  int        21  long64-unsigned        int
    22   enum                    int
    23   float32                 Decimal    24  float64                Decimal
    25   date-time               bytes      26  date       27  time    bytes
    255  don't-care              None

Every list is bounded: its length must fit the bytes that are left, and depth, number of items and
size of the whole have limits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Final, NamedTuple, TypeAlias

from firmware_profiles.codecs.cursor import malformed, unsupported
from ohmesh.model.errors import DecodeError, DecodeErrorKind

DEPTH_MAX = 16
ITEMS_MAX = 4096
BYTES_MAX = 64 * 1024
_ITEMS_PER_BYTE, _ITEMS_FREE = 4, 64
"""Null-data and lists take no byte in a compact array: a few bytes could claim many thousands."""

NULL: Final = 0
ARRAY: Final = 1
STRUCTURE: Final = 2
BOOLEAN: Final = 3
BIT_STRING: Final = 4
INT32: Final = 5
UINT32: Final = 6
OCTETS: Final = 9
VISIBLE: Final = 10
UTF8: Final = 12
BCD: Final = 13
INT8: Final = 15
INT16: Final = 16
UINT8: Final = 17
UINT16: Final = 18
COMPACT_ARRAY: Final = 19
INT64: Final = 20
UINT64: Final = 21
ENUM: Final = 22
FLOAT32: Final = 23
FLOAT64: Final = 24
DATE_TIME: Final = 25
DATE: Final = 26
TIME: Final = 27
DONT_CARE: Final = 255

INTEGERS = {
    INT32: (4, True),
    UINT32: (4, False),
    BCD: (1, True),
    INT8: (1, True),
    INT16: (2, True),
    UINT8: (1, False),
    UINT16: (2, False),
    INT64: (8, True),
    UINT64: (8, False),
    ENUM: (1, False),
}
"""Tag -> size in bytes, signed."""
_TEXTS = {VISIBLE: "latin-1", UTF8: "utf-8"}
_FIXED_OCTETS = {DATE_TIME: 12, DATE: 5, TIME: 4}
_FLOATS = {FLOAT32: (4, ">f"), FLOAT64: (8, ">d")}


@dataclass(frozen=True, slots=True)
class BitString:
    """Bits, the first one highest.

    Attributes:
        length: number of bits.
        octets: the bits from the left, the rest of the last byte is padding.
    """

    length: int
    octets: bytes


Value: TypeAlias = "bool | int | str | bytes | Decimal | BitString | tuple[Value, ...] | None"


def decode(
    data: bytes, offset: int = 0, *, items_max: int = ITEMS_MAX, bytes_max: int = BYTES_MAX
) -> tuple[Value, int]:
    """Read one value.

    Args:
        data: the bytes.
        offset: where the value begins.
        items_max: budget of list items, all levels together; there is another by the bytes.
        bytes_max: budget of bytes.

    Returns:
        The value and the offset behind it.

    Raises:
        DecodeError: TRUNCATED, MALFORMED, UNSUPPORTED (an unknown tag), BUDGET.
    """
    if len(data) - offset > bytes_max:
        raise DecodeError(DecodeErrorKind.BUDGET, f"above {bytes_max} bytes", offset=offset)
    budget = _ITEMS_FREE + _ITEMS_PER_BYTE * (len(data) - offset)
    reader = Reader(data, offset, min(items_max, budget))
    return reader.value(0), reader.offset


def decode_whole(data: bytes, *, items_max: int = ITEMS_MAX, bytes_max: int = BYTES_MAX) -> Value:
    """Read the one value that the bytes are. Raises DecodeError, MALFORMED for bytes behind it."""
    value, offset = decode(data, items_max=items_max, bytes_max=bytes_max)
    if offset != len(data):
        raise malformed(f"{len(data) - offset} bytes behind the value", offset)
    return value


class Reader:
    """Reads values one after the other; `offset` is the next byte."""

    __slots__ = ("data", "end", "items", "offset")

    def __init__(self, data: bytes, offset: int = 0, items_max: int = ITEMS_MAX) -> None:
        self.data = data
        self.offset = offset
        self.end = len(data)
        self.items = items_max

    def value(self, depth: int) -> Value:
        """The next value. Raises DecodeError."""
        start = self.offset
        if start >= self.end:
            raise self._truncated(1)
        tag = self.data[start]
        self.offset = start + 1
        fixed = INTEGERS.get(tag)
        if fixed is None:
            return self.untagged(tag, depth)
        size, signed = fixed  # most values are integers: this path is the fast one
        stop = start + 1 + size
        if stop > self.end:
            raise self._truncated(size)
        self.offset = stop
        return int.from_bytes(self.data[start + 1 : stop], "big", signed=signed)

    def untagged(self, tag: int, depth: int) -> Value:
        """The next value of a known tag. Raises DecodeError."""
        if tag == OCTETS:
            return self._take(self.length())
        if tag in {STRUCTURE, ARRAY}:
            return self._items(depth)
        if tag in INTEGERS:
            size, signed = INTEGERS[tag]
            return int.from_bytes(self._take(size), "big", signed=signed)
        if tag in {NULL, DONT_CARE}:
            return None
        return self._rare(tag, depth)

    def length(self) -> int:
        """A length: one byte below 0x80, otherwise 0x81 to 0x84 and so many bytes."""
        start = self.offset
        if start >= self.end:
            raise self._truncated(1)
        first = self.data[start]
        self.offset = start + 1
        if first < 0x80:
            return first
        if not 1 <= first & 0x7F <= 4:
            raise malformed(f"a length of {first & 0x7F} bytes", self.offset - 1)
        return int.from_bytes(self._take(first & 0x7F), "big")

    def _take(self, count: int) -> bytes:
        start = self.offset
        stop = start + count
        if stop > self.end:
            raise self._truncated(count)
        self.offset = stop
        return self.data[start:stop]

    def _truncated(self, count: int) -> DecodeError:
        return DecodeError(
            DecodeErrorKind.TRUNCATED,
            f"{count} bytes wanted, {self.end - self.offset} left",
            offset=self.offset,
        )

    def _items(self, depth: int) -> tuple[Value, ...]:
        count = self.length()
        if count > self.end - self.offset:
            raise self._truncated(count)
        self._spend(count, depth)
        value = self.value
        return tuple([value(depth + 1) for _ in range(count)])

    def _spend(self, count: int, depth: int) -> None:
        self.items -= count
        if self.items < 0 or depth >= DEPTH_MAX:
            raise DecodeError(
                DecodeErrorKind.BUDGET,
                f"too many items, or more than {DEPTH_MAX} levels",
                offset=self.offset,
            )

    def _rare(self, tag: int, depth: int) -> Value:
        if tag in _TEXTS:
            return self._take(self.length()).decode(_TEXTS[tag], "replace")
        if tag == BOOLEAN:
            return self._take(1) != b"\0"
        if tag == BIT_STRING:
            bits = self.length()
            return BitString(bits, self._take((bits + 7) // 8))
        if tag in _FIXED_OCTETS:
            return self._take(_FIXED_OCTETS[tag])
        if tag in _FLOATS:
            return self._float(*_FLOATS[tag])
        if tag == COMPACT_ARRAY:
            return self._compact_array(depth)
        raise unsupported(f"the type tag {tag}", self.offset - 1)

    def _float(self, size: int, form: str) -> Decimal:
        number: float = struct.unpack(form, self._take(size))[0]
        if not isfinite(number):
            raise unsupported("a float that is no number", self.offset - size)
        return shortest_decimal(number, form)

    def _compact_array(self, depth: int) -> tuple[Value, ...]:
        """Type description once, then contents without tags."""
        description = self._description(depth)
        size = self.length()
        stop = self.offset + size
        if stop > self.end:
            raise self._truncated(size)
        values: list[Value] = []
        while self.offset < stop:
            before = self.offset
            self._spend(1, depth)
            values.append(self._described(description, depth + 1))
            if self.offset == before or self.offset > stop:
                raise malformed("contents of a compact array that do not fit its type", before)
        return tuple(values)

    def _description(self, depth: int) -> Description:
        tag = self._take(1)[0]
        if tag == ARRAY:
            count = int.from_bytes(self._take(2), "big")
            self._spend(1, depth)
            return Description(tag, (self._description(depth + 1),), count)
        if tag == STRUCTURE:
            count = self.length()
            if count > self.end - self.offset:
                raise self._truncated(count)
            self._spend(count, depth)
            parts = tuple([self._description(depth + 1) for _ in range(count)])
            return Description(tag, parts, count)
        return Description(tag, (), 1)

    def _described(self, description: Description, depth: int) -> Value:
        tag, parts, size = description
        if tag == STRUCTURE:
            self._spend(size, depth)
            return tuple([self._described(part, depth + 1) for part in parts])
        if tag == ARRAY:
            self._spend(size, depth)
            return tuple([self._described(parts[0], depth + 1) for _ in range(size)])
        return self.untagged(tag, depth)


class Description(NamedTuple):
    """The type of a compact array's elements: tag, element types, number of elements."""

    tag: int
    parts: tuple[Description, ...]
    size: int


def shortest_decimal(number: float, form: str = ">f") -> Decimal:
    """The decimal of fewest digits that is this float: 230.2, not 230.19999694824219.

    Args:
        number: finite.
        form: `struct` format of the float's size: `>f` or `>d`.
    """
    if form == ">f":
        packed = struct.pack(form, number)
        for digits in range(1, 9):
            text = f"{number:.{digits}g}"
            if _packs_to(text, form, packed):
                return Decimal(text)
        return Decimal(f"{number:.9g}")
    return Decimal(repr(number))


def _packs_to(text: str, form: str, packed: bytes) -> bool:
    """Whether a decimal is this float; near the largest one it may be rounded beyond all floats."""
    try:
        return struct.pack(form, float(text)) == packed
    except OverflowError:
        return False


def length_bytes(length: int) -> bytes:
    """A length as it stands on the wire."""
    if length < 0x80:
        return bytes((length,))
    size = (length.bit_length() + 7) // 8
    return bytes((0x80 | size,)) + length.to_bytes(size, "big")


def integer(tag: int, value: int) -> bytes:
    """An integer of a tag. Raises OverflowError when it does not fit."""
    size, signed = INTEGERS[tag]
    return bytes((tag,)) + value.to_bytes(size, "big", signed=signed)


def null() -> bytes:
    """null-data."""
    return b"\0"


def boolean(value: int) -> bytes:
    """A boolean, true unless 0."""
    return b"\x03\x01" if value else b"\x03\x00"


def int8(value: int) -> bytes:
    """An integer of one byte."""
    return integer(INT8, value)


def int16(value: int) -> bytes:
    """A long."""
    return integer(INT16, value)


def int32(value: int) -> bytes:
    """A double-long."""
    return integer(INT32, value)


def int64(value: int) -> bytes:
    """A long64."""
    return integer(INT64, value)


def uint8(value: int) -> bytes:
    """An unsigned."""
    return integer(UINT8, value)


def uint16(value: int) -> bytes:
    """A long-unsigned."""
    return integer(UINT16, value)


def uint32(value: int) -> bytes:
    """A double-long-unsigned."""
    return integer(UINT32, value)


def uint64(value: int) -> bytes:
    """A long64-unsigned."""
    return integer(UINT64, value)


def enum(value: int) -> bytes:
    """An enum."""
    return integer(ENUM, value)


def octets(value: bytes) -> bytes:
    """An octet-string."""
    return b"\x09" + length_bytes(len(value)) + value


def visible(value: str) -> bytes:
    """A visible-string."""
    return b"\x0a" + length_bytes(len(value)) + value.encode("latin-1")


def bits(value: BitString) -> bytes:
    """A bit-string."""
    return b"\x04" + length_bytes(value.length) + value.octets


def structure(*items: bytes) -> bytes:
    """A structure of encoded items."""
    return b"\x02" + length_bytes(len(items)) + b"".join(items)


def array(*items: bytes) -> bytes:
    """An array of encoded items."""
    return b"\x01" + length_bytes(len(items)) + b"".join(items)
