"""DL/T 698.45 link frames.

    offset  size
    0       1     68
    1       2     length, little-endian: bits 0..13 count all but the first 68 and the last 16
    3       1     control: D7 from the meter, D6 started by the client, D5 fragment,
                  D3 data scrambled by +33H, D2..D0 function (1 link, 3 user data)
    4       1+n   server address: flags (D7 D6 kind, D5 D4 logical address, D3..D0 n-1), n bytes,
                  lowest first
    5+n     1     client address
    6+n     2     HCS, CRC-16/X.25 from the length on, low byte first
    8+n     m     user data: the APDU
    8+n+m   2     FCS, CRC-16/X.25 from the length on
    10+n+m  1     16

Source: DL/T 698.45-2017, clause 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_profiles.codecs.crc import crc16_x25
from firmware_profiles.codecs.cursor import Cursor, bad_checksum, malformed, unsupported

START, STOP, WAKE = 0x68, 0x16, 0xFE
LINK, USER_DATA = 1, 3
_LENGTH_MASK, _KILO = 0x3FFF, 0x4000
_FROM_SERVER, _FRAGMENT, _SCRAMBLED, _FUNCTION = 0x80, 0x20, 0x08, 0x07
_MINUS_33 = bytes((byte - 0x33) & 0xFF for byte in range(256))
_PLUS_33 = bytes((byte + 0x33) & 0xFF for byte in range(256))


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        control: the control byte.
        flags: the first byte of the server address without its length.
        server: server address, digits as printed on the meter.
        client: client address.
        apdu: the user data, unscrambled.
    """

    control: int
    server: str
    client: int
    apdu: bytes
    flags: int = 0

    @property
    def function(self) -> int:
        """LINK or USER_DATA."""
        return self.control & _FUNCTION

    @property
    def is_answer(self) -> bool:
        """Whether the meter speaks."""
        return bool(self.control & _FROM_SERVER)


def fits(payload: bytes) -> bool:
    """Whether the length field and the end mark are those of such a frame."""
    body = payload.lstrip(bytes((WAKE,)))
    if len(body) < 12 or body[0] != START:
        return False
    length = int.from_bytes(body[1:3], "little") & _LENGTH_MASK
    return length + 2 <= len(body) and body[length + 1] == STOP


def decode(payload: bytes, *, verify: bool = True) -> Frame:
    """Decode one frame; FE bytes in front are passed over.

    Args:
        payload: the bytes.
        verify: False accepts wrong HCS and FCS.

    Raises:
        DecodeError: whatever the bytes.
    """
    cursor = Cursor(payload)
    while cursor.peek() == WAKE:
        cursor.skip(1)
    cursor.expect(bytes((START,)), "start")
    start = cursor.offset
    length = cursor.unsigned_le(2)
    if length & _KILO:
        raise unsupported("a length in kilobytes", start)
    stop = start + (length & _LENGTH_MASK)
    body = Cursor(payload, cursor.offset, stop)
    if stop >= len(payload):
        raise cursor.truncated(stop + 1 - cursor.offset)
    if payload[stop] != STOP:
        raise malformed("no end mark", stop)
    if stop + 1 != len(payload):
        raise malformed("bytes after the end mark", stop + 1)
    return _body(body, start, verify=verify)


def _body(cursor: Cursor, start: int, *, verify: bool) -> Frame:
    control, flags = cursor.u8(), cursor.u8()
    server = cursor.take((flags & 0x0F) + 1)[::-1].hex().upper()
    client = cursor.u8()
    _check(cursor, start, "HCS", verify=verify)
    if cursor.remaining < 2:
        raise cursor.truncated(2)
    apdu = cursor.take(cursor.remaining - 2)
    _check(cursor, start, "FCS", verify=verify)
    if control & _FRAGMENT:
        raise unsupported("a fragment of an APDU", start + 2)
    if control & _SCRAMBLED:
        apdu = apdu.translate(_MINUS_33)
    return Frame(control, server, client, apdu, flags & 0xF0)


def _check(cursor: Cursor, start: int, name: str, *, verify: bool) -> None:
    at = cursor.offset
    given = cursor.unsigned_le(2)
    if verify and given != crc16_x25(cursor.data[start:at]):
        raise bad_checksum(f"the {name} does not fit", at)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame, the inverse of `decode`."""
    address = bytes.fromhex(frame.server)[::-1]
    apdu = frame.apdu.translate(_PLUS_33) if frame.control & _SCRAMBLED else frame.apdu
    length = 2 + 1 + 1 + len(address) + 1 + 2 + len(apdu) + 2
    head = length.to_bytes(2, "little")
    head += (
        bytes((frame.control, frame.flags | len(address) - 1)) + address + bytes((frame.client,))
    )
    body = head + crc16_x25(head).to_bytes(2, "little") + apdu
    return bytes((START,)) + body + crc16_x25(body).to_bytes(2, "little") + bytes((STOP,))
