"""SML binary encoding: type-length fields and what follows them.

A type-length byte is `M TTT LLLL`: M more such bytes follow, T the type, L four bits of the
length, which counts the type-length bytes themselves except in lists, where it counts elements.

    000 octet string -> bytes          `01`, the empty one, stands for an absent value
    100 boolean      -> bool
    101 integer      -> Number         two's complement, 1..8 bytes: also 3, 5, 6, 7
    110 unsigned     -> Number
    111 list         -> list
    `00`             -> None           end of message
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from firmware_profiles.codecs.cursor import malformed
from ohmesh.model.errors import DecodeError, DecodeErrorKind

DEPTH_MAX = 16
_ABSENT = 0x01


class Number(NamedTuple):
    """An integer and its type-length byte, which keeps sign and width; tuples build fastest."""

    value: int
    tag: int

    @property
    def unsigned(self) -> int:
        """The same bytes read as an unsigned integer."""
        return self.value % (1 << 8 * ((self.tag & 0x0F) - 1))


_BYTE_NUMBERS = {
    0x52: tuple(Number(v - 256 if v > 127 else v, 0x52) for v in range(256)),
    0x62: tuple(Number(v, 0x62) for v in range(256)),
}
_NUMBERS = frozenset({*range(0x53, 0x5A), *range(0x63, 0x6A)})
Tree: TypeAlias = "bytes | bool | Number | list[Tree] | None"


def parse(data: bytes, position: int) -> tuple[Tree, int]:
    """The element at a position, and the position after it. Raises DecodeError."""
    try:
        elements, position = _elements(data, position, 1, DEPTH_MAX + 1)
    except IndexError:
        raise _truncated(len(data)) from None
    return elements[0], position


def number(value: int, *, signed: bool, width: int) -> Number:
    """An integer of 1..8 bytes."""
    return Number(value, (0x50 if signed else 0x60) | width + 1)


def encode(tree: Tree) -> bytes:
    """The bytes of a tree, with the shortest type-length fields."""
    if isinstance(tree, bool):
        return b"\x42\x01" if tree else b"\x42\x00"
    if tree is None:
        return b"\x00"
    if isinstance(tree, bytes):
        return _length_field(0x00, len(tree), own=True) + tree
    if isinstance(tree, list):
        return _length_field(0x70, len(tree), own=False) + b"".join(map(encode, tree))
    width = (tree.tag & 0x0F) - 1
    return bytes((tree.tag,)) + tree.value.to_bytes(width, "big", signed=tree.tag < 0x60)


def _length_field(kind: int, length: int, *, own: bool) -> bytes:
    """The type-length bytes; `own` adds their number to the length."""
    count = 1
    while (total := length + count * own) >> 4 * count:
        count += 1
    nibbles = [total >> 4 * n & 0x0F for n in range(count - 1, -1, -1)]
    head = kind | nibbles[0] | (0x80 if count > 1 else 0)
    return bytes((head, *(n | 0x80 for n in nibbles[1:-1]), *nibbles[-1:] * (count > 1)))


def _truncated(offset: int) -> DecodeError:
    return DecodeError(DecodeErrorKind.TRUNCATED, "an element is cut off", offset=offset)


def _elements(data: bytes, position: int, count: int, depth: int) -> tuple[list[Tree], int]:
    """`count` elements; IndexError where the data end. The hot loop of the codec, flat for speed.

    The commonest elements come first: absent values, short strings, numbers of one byte.
    """
    if not depth:
        raise DecodeError(DecodeErrorKind.BUDGET, f"lists deeper than {DEPTH_MAX}", offset=position)
    elements: list[Tree] = []
    append = elements.append
    end = len(data)
    for _ in range(count):
        tag = data[position]
        if tag == _ABSENT:
            append(b"")
            position += 1
        elif tag < 0x10:
            stop = position + (tag or 1)
            if stop > end:
                raise _truncated(position)
            append(data[position + 1 : stop] if tag else None)
            position = stop
        elif tag in _BYTE_NUMBERS:
            append(_BYTE_NUMBERS[tag][data[position + 1]])
            position += 2
        elif 0x70 <= tag < 0x80:
            inner, position = _elements(data, position + 1, tag & 0x0F, depth - 1)
            append(inner)
        elif tag in _NUMBERS:
            stop = position + (tag & 0x0F)
            octets = data[position + 1 : stop]
            append(Number(int.from_bytes(octets, "big", signed=tag < 0x60), tag))
            if stop > end:
                raise _truncated(position)
            position = stop
        else:
            tree, position = _rare(data, position, depth)
            append(tree)
    return elements, position


def _rare(data: bytes, position: int, depth: int) -> tuple[Tree, int]:
    """An element that is seldom: a boolean, or one with a long type-length field."""
    tag = data[position]
    if tag >= 0x80:
        return _long(data, position, depth)
    if tag != 0x42:
        raise malformed(f"the type-length byte {tag:02X}", position)
    return data[position + 1] != 0, position + 2


def _long(data: bytes, start: int, depth: int) -> tuple[Tree, int]:
    """An element whose type-length field has several bytes: a list or an octet string."""
    kind, length, position = long_length(data, start)
    if kind == 0x70:
        return _elements(data, position, length, depth - 1)
    stop = start + length
    if not position <= stop <= len(data):
        raise _truncated(start) if stop > len(data) else malformed("a length too short", start)
    return data[position:stop], stop


def long_length(data: bytes, position: int) -> tuple[int, int, int]:
    """Type, length as written, and the position after a type-length field of several bytes."""
    start = position
    kind = data[position] & 0x70
    if kind not in (0x00, 0x70):
        raise malformed("a long length for a type of fixed size", start)
    length = data[position] & 0x0F
    more = True
    while more:
        position += 1
        octet = data[position]
        if octet & 0x70:
            raise malformed("a type inside a length", position)
        length = length << 4 | octet & 0x0F
        more = octet >= 0x80
        if length > len(data):
            raise _truncated(position)
    return kind, length, position + 1
