"""The village's telegram.

offset  size
0       2     56 57, "VW"
2       4     meter number, big-endian
6       4     UTC seconds since 1970, big-endian
10      4     volume in litres, big-endian
14      2     flow in litres an hour, big-endian, signed: backwards is negative
16      2     temperature in 0.1 degrees Celsius, big-endian, signed
18      2     CRC-16/X.25 of all before it, low byte first
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_profiles.codecs.crc import crc16_x25
from firmware_profiles.codecs.cursor import Cursor, bad_checksum, malformed

_MARK = b"VW"
_CHECKED = 18


@dataclass(frozen=True, slots=True)
class Telegram:
    """What a meter says: number, UTC seconds, litres, litres an hour, tenths of a degree."""

    meter: int
    seconds: int
    volume_l: int
    flow_l_per_h: int
    temperature_dc: int


def decode(payload: bytes, *, verify: bool = True) -> Telegram:
    """Read a telegram. Raises DecodeError, whatever the bytes: the cursor cannot run over the end.

    The checksum comes first, because the rest of a damaged telegram means nothing.
    """
    cursor = Cursor(payload)
    cursor.skip(_CHECKED)
    if verify and cursor.unsigned_le(2) != crc16_x25(payload[:_CHECKED]):
        raise bad_checksum("the CRC does not fit", _CHECKED)
    if len(payload) != _CHECKED + 2:
        raise malformed(f"{len(payload)} bytes, not {_CHECKED + 2}", _CHECKED)
    cursor = Cursor(payload)
    cursor.expect(_MARK, "mark")
    return Telegram(
        cursor.unsigned(4),
        cursor.unsigned(4),
        cursor.unsigned(4),
        cursor.signed(2),
        cursor.signed(2),
    )


def encode(telegram: Telegram) -> bytes:
    """Write a telegram. Raises OverflowError for a number that has no room."""
    body = _MARK
    body += telegram.meter.to_bytes(4, "big")
    body += telegram.seconds.to_bytes(4, "big")
    body += telegram.volume_l.to_bytes(4, "big")
    body += telegram.flow_l_per_h.to_bytes(2, "big", signed=True)
    body += telegram.temperature_dc.to_bytes(2, "big", signed=True)
    return body + crc16_x25(body).to_bytes(2, "little")
