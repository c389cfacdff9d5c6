"""IEC 62056-21 data readout (modes A-D): ASCII data sets, with or without a block check.

    / XXX Z ident CR LF  [CR LF]           identification line, absent in a bare data block
    [STX] data lines  ! CR LF  [ETX BCC]   BCC: XOR after STX up to and including ETX

A data line holds one or more data sets `address(value*unit)(value*unit)...`. A line that begins
with a bracket goes on with the values of the set before it. Addresses and values stay text: what
is a number is decided by the reader, and `encode` gives the same bytes back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from firmware_profiles.codecs.cursor import bad_checksum, malformed
from ohmesh.model.errors import DecodeError, DecodeErrorKind

BYTES_MAX = 65536
SETS_MAX = 4096
VALUES_MAX = 4096
_STX, _ETX = 0x02, 0x03
_SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))
_IDENTIFICATION = re.compile(r"/([!-~]{1,64}[ -~]{0,64})\r?\n((?:\r?\n)?)")
_FILL = "\r\n\x00\x7f "
"""What a line may carry before the telegram; idle FF without its parity bit is 7F."""
_ADDRESS = re.compile(r"[^()/!\x00-\x1f\x7f]{1,32}")
_BRACKET = re.compile(r"\(([^()\x00-\x1f\x7f]{0,128})\)([\r\n]*)")


class Value(NamedTuple):
    """The content of one pair of brackets: its text and its unit text, None without `*`.

    A tuple, as DataSet, because a readout has dozens of them.
    """

    text: str
    unit: str | None = None

    def __str__(self) -> str:
        return self.text if self.unit is None else f"{self.text}*{self.unit}"


class DataSet(NamedTuple):
    """One data set.

    Attributes:
        address: as written, `1-1:1.8.0*62` or `F.F`.
        values: one or more bracketed values.
        offset: byte position of the set in the telegram.
        line_end: what follows it, empty when another set stands on the same line.
    """

    address: str
    values: tuple[Value, ...]
    offset: int = 0
    line_end: str = "\r\n"


@dataclass(frozen=True, slots=True)
class Readout:
    """A whole data message.

    Attributes:
        identification: the text after `/`, None for a bare data block.
        data: the data sets in order.
        checked: whether the message carries a block check.
        blank_line: whether an empty line follows the identification, as in mode D.
    """

    identification: str | None
    data: tuple[DataSet, ...]
    checked: bool = False
    blank_line: bool = False


def block_check(octets: bytes) -> int:
    """The longitudinal parity of clause 6.3.3: XOR of all octets.

    One half is laid over the other until a single octet is left.
    """
    value, size = int.from_bytes(octets, "big"), len(octets)
    while size > 1:
        size = (size + 1) // 2
        value = value >> 8 * size ^ value & (1 << 8 * size) - 1
    return value


def decode(telegram: bytes, *, verify: bool = True) -> Readout:
    """Decode a readout.

    Args:
        telegram: identification line and data, or a data block; parity bits are ignored.
        verify: False accepts a wrong block check.

    Raises:
        DecodeError: whatever the bytes.
    """
    if len(telegram) > BYTES_MAX:
        raise DecodeError(DecodeErrorKind.BUDGET, f"more than {BYTES_MAX} bytes", offset=BYTES_MAX)
    # 7E1 read as 8N1 leaves the parity bit; the block check is over the seven data bits.
    octets = telegram.translate(_SEVEN_BITS)
    start = octets.find(_STX)
    checked = start >= 0
    if checked:
        end = _check_block(octets, start, verify=verify)
    else:
        start, end = 0, len(octets)
    text = octets.decode("ascii")
    identification, blank_line, head_end = _identification(text)
    begin = start + 1 if checked else head_end
    data = _data(text, begin, end, checked=checked)
    return Readout(identification, data, checked, blank_line)


def encode(readout: Readout) -> bytes:
    """The bytes of a readout, the inverse of `decode`."""
    head = "" if readout.identification is None else f"/{readout.identification}\r\n"
    body = "".join(
        data.address + "".join(f"({value})" for value in data.values) + data.line_end
        for data in readout.data
    )
    if readout.blank_line:
        head += "\r\n"
    if not readout.checked:
        return f"{head}{body}!\r\n".encode("ascii")
    block = f"{body}!\r\n\x03".encode("ascii")
    return head.encode("ascii") + b"\x02" + block + bytes((block_check(block),))


def _check_block(octets: bytes, start: int, *, verify: bool) -> int:
    """Verify the block check; the position of ETX."""
    end = octets.find(_ETX, start)
    if end < 0 or end + 1 >= len(octets):
        raise DecodeError(
            DecodeErrorKind.TRUNCATED, "no end of text and block check", offset=len(octets)
        )
    if verify and block_check(octets[start + 1 : end + 1]) != octets[end + 1]:
        raise bad_checksum("the block check does not fit", end + 1)
    return end


def _identification(text: str) -> tuple[str | None, bool, int]:
    """The identification, whether an empty line follows it, and where the data begin."""
    lead = len(text) - len(text.lstrip(_FILL))
    if not text.startswith("/", lead):
        return None, False, lead
    match = _IDENTIFICATION.match(text, lead)
    if not match:
        raise malformed("no identification line", lead)
    return match.group(1), bool(match.group(2)), match.end()


def _data(text: str, position: int, end: int, *, checked: bool) -> tuple[DataSet, ...]:
    sets: list[DataSet] = []
    while position < end and text[position] != "!":
        if len(sets) >= SETS_MAX:
            raise DecodeError(DecodeErrorKind.BUDGET, f"over {SETS_MAX} sets", offset=position)
        data, position = _data_set(text, position, end)
        sets.append(data)
    if position >= end and not checked:
        # The answer to a single read (R5) is a checked block without an end mark.
        raise DecodeError(DecodeErrorKind.TRUNCATED, "no end mark", offset=end)
    return tuple(sets)


def _data_set(text: str, start: int, end: int) -> tuple[DataSet, int]:
    """The set at a position with all brackets that belong to it, and the position after it."""
    match = _ADDRESS.match(text, start, end)
    if not match:
        raise _broken(text, start, end)
    position, line_end = match.end(), ""
    values: list[Value] = []
    while bracket := _BRACKET.match(text, position, end):
        if len(values) >= VALUES_MAX:
            raise DecodeError(DecodeErrorKind.BUDGET, f"over {VALUES_MAX} values", offset=position)
        content, line_end = bracket.groups()
        head, star, unit = content.rpartition("*")
        values.append(Value(head, unit) if star else Value(content))
        position = bracket.end()
    if not values:
        raise _broken(text, position, end)
    return DataSet(match.group(), tuple(values), start, line_end), position


def _broken(text: str, position: int, end: int) -> DecodeError:
    """A set that does not end is cut off when no bracket closes it any more."""
    if text.find(")", position, end) < 0:
        return DecodeError(DecodeErrorKind.TRUNCATED, "a data set is cut off", offset=position)
    return malformed("no data set", position)
