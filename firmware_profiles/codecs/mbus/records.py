"""Application data of EN 13757-3: one data record after the other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from firmware_profiles.codecs.cursor import malformed
from firmware_profiles.codecs.mbus import value as values
from firmware_profiles.codecs.mbus.header import Coding, Function, Header, header
from firmware_profiles.codecs.mbus.quantity import Kind, Quantity
from ohmesh.model.errors import DecodeError, DecodeErrorKind

if TYPE_CHECKING:
    from collections.abc import Iterable

RECORDS_MAX = 512
FILLER = 0x2F
_MAKER_DATA, _MORE_FOLLOWS = 0x0F, 0x1F
_PLAIN_TEXT = frozenset({0x7C, 0xFC})
_CHAIN = re.compile(rb"[\x80-\xff]{0,10}[\x00-\x7f]")
"""A field and at most ten extensions: each but the last has bit 7 set."""
_SPECIAL = bytes(range(0x0F, 0x100, 0x10))
_HEADER = re.compile(
    rb"(?![" + re.escape(_SPECIAL) + rb"])[\x80-\xff]{0,10}[\x00-\x7f]"
    rb"(?![\x7c\xfc])[\x80-\xff]{0,10}[\x00-\x7f]"
)
"""DIB and VIB at once, for an ordinary DIF and a VIF that is no plain text."""


class Record(NamedTuple):
    """One data record.

    Attributes:
        header: what it is.
        data: the data field as sent; an LVAR octet included.
        value: a number to be read with the header's exponent, a text, a stamp, or None.
    """

    header: Header
    data: bytes
    value: values.Value


def _maker_header(dif: int) -> Header:
    return Header(
        octets=bytes([dif]),
        coding=Coding.NONE,
        size=0,
        variable=False,
        function=Function.INSTANT,
        storage=0,
        tariff=0,
        subunit=0,
        quantity=Quantity("maker", None, kind=Kind.LABEL),
        exponent=0,
        read=values.label,
    )


_MAKER_HEADERS = {dif: _maker_header(dif) for dif in (_MAKER_DATA, _MORE_FOLLOWS)}
MAKER_BLOCKS = frozenset(head.octets for head in _MAKER_HEADERS.values())
"""Headers of a block that is its maker's own and goes to the end of the telegram."""


def truncated(message: str, offset: int) -> DecodeError:
    """The error for a record that goes on beyond the end."""
    return DecodeError(DecodeErrorKind.TRUNCATED, message, offset=offset)


def _chain_end(data: bytes, start: int, end: int, what: str) -> int:
    """One past the chain of a field and its extensions."""
    match = _CHAIN.match(data, start, end)
    if match:
        return match.end()
    if end - start <= 10:
        raise truncated(f"the {what} has no end", start)
    raise malformed(f"more than ten extensions of a {what}", start)


def _vib_end(data: bytes, start: int, end: int) -> int:
    """One past the VIB; a unit in plain text stands between the VIF and its VIFEs."""
    if start >= end:
        raise truncated("a record has no VIF", start)
    if data[start] not in _PLAIN_TEXT:
        return _chain_end(data, start, end, "VIF")
    stop = start + 2 + (data[start + 1] if start + 1 < end else 0)
    if stop > end:
        raise truncated("a plain-text unit goes beyond the end", start)
    return _chain_end(data, stop, end, "VIF") if data[start] & 0x80 else stop


def header_end(data: bytes, start: int, end: int) -> int:
    """Where the header of the record at `start` ends. Raises DecodeError."""
    match = _HEADER.match(data, start, end)
    return match.end() if match else _vib_end(data, _chain_end(data, start, end, "DIF"), end)


def data_end(head: Header, data: bytes, start: int, end: int) -> int:
    """Where the data field of a record ends. Raises DecodeError."""
    stop = start + head.size
    if head.variable:
        if start >= end:
            raise truncated("a variable record has no length", start)
        stop = start + 1 + values.variable_size(data[start], start)
    if stop > end:
        raise truncated(f"{stop - start} bytes of data wanted, {end - start} left", start)
    return stop


def _special(data: bytes, start: int, end: int) -> Record:
    """Maker's data to the end (0F, 1F); other special functions are not for a meter to send."""
    head = _MAKER_HEADERS.get(data[start])
    if head is None:
        raise malformed(f"a DIF of {data[start]:02X}", start)
    rest = data[start + 1 : end]
    return Record(head, rest, rest.hex().upper())


def _read(
    data: bytes, start: int, end: int, manufacturer: int, *, high_first: bool
) -> tuple[Record, int]:
    """The record at `start`, whatever its form, and where it ends."""
    if data[start] in _SPECIAL:
        return _special(data, start, end), end
    at = header_end(data, start, end)
    head = header(data[start:at], manufacturer)
    stop = data_end(head, data, at, end)
    octets = data[at:stop]
    ordered = octets[::-1] if high_first and not head.variable else octets
    return Record(head, octets, head.read(ordered)), stop


def read_records(
    data: bytes,
    start: int = 0,
    end: int | None = None,
    *,
    manufacturer: int = 0,
    high_first: bool = False,
    leftover: int = 0,
) -> list[Record]:
    """The records of `data[start:end]`.

    Args:
        data: the telegram; offsets in errors count from its start.
        start: first byte of the records.
        end: one past their last byte, None for the end of the data.
        manufacturer: the maker's code, for its own VIFs.
        high_first: mode 2, multi-byte values with the high byte first (CI 76).
        leftover: up to so many octets at the end may be no record: receivers leave the check of
            the last radio block there.

    Raises:
        DecodeError: TRUNCATED, MALFORMED, UNSUPPORTED, or BUDGET above RECORDS_MAX records.
    """
    end = len(data) if end is None else end
    found: list[Record] = []
    while start < end:
        if len(found) >= RECORDS_MAX:
            raise DecodeError(DecodeErrorKind.BUDGET, "too many records", offset=start)
        match = _HEADER.match(data, start, end)
        if match and not high_first:
            at = match.end()
            head = header(data[start:at], manufacturer)
            stop = at + head.size
            if stop <= end and not head.variable:
                octets = data[at:stop]
                found.append(Record(head, octets, head.read(octets)))
                start = stop
                continue
        if data[start] == FILLER:
            start += 1
            continue
        try:
            record, start = _read(data, start, end, manufacturer, high_first=high_first)
        except DecodeError:
            if found and end - start <= leftover:
                break
            raise
        found.append(record)
    return found


def write_records(records: Iterable[Record]) -> bytes:
    """The records as application data, byte for byte as they were read (fillers apart)."""
    return b"".join(record.header.octets + record.data for record in records)
