"""HDLC frames, type 3 (IEC 62056-46; ISO/IEC 13239): bytes <-> frames.

    offset  size  field
    0       1     flag 7E (may be shared with the frame before)
    1       2     format: 1010, segmentation bit, length of 11 bits (without the flags)
    3       1-4   destination address, the last byte has its lowest bit set
    .       1-4   source address
    .       1     control
    .       2     HCS, CRC-16/X.25 over format to control; absent when there is no information
    .       n     information
    .       2     FCS, CRC-16/X.25 over everything between the flags, low byte first
    .       1     flag 7E

7E stands in information unescaped: the length says where a frame ends, the flag does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_profiles.codecs.crc import crc16_x25
from firmware_profiles.codecs.cursor import Cursor, bad_checksum, malformed
from ohmesh.model.errors import DecodeError, DecodeErrorKind

FLAG = 0x7E
LLC_COMMAND = b"\xe6\xe6\x00"
LLC_RESPONSE = b"\xe6\xe7\x00"
LENGTH_MAX = 0x7FF
_TYPE_3 = 0xA
_SEGMENTED = 0x0800
_ADDRESS_BYTES_MAX = 4
_FRAMES_MAX = 256
_CRC_SIZE = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        destination: address bytes as on the wire, 1 to 4.
        source: address bytes as on the wire, 1 to 4.
        control: control byte; 0x13 is UI, 0x10 is I with N(S) = N(R) = 0 and final.
        information: what it carries, empty for none.
        segmented: more frames of the same message follow.
    """

    destination: bytes
    source: bytes
    control: int
    information: bytes = b""
    segmented: bool = False

    def to_bytes(self) -> bytes:
        """The frame with its flags and checks. Raises ValueError above 2047 bytes."""
        addresses = self.destination + self.source
        checks = _CRC_SIZE * (2 if self.information else 1)
        length = 2 + len(addresses) + 1 + len(self.information) + checks
        if length > LENGTH_MAX:
            raise ValueError(f"a frame of {length} bytes; {LENGTH_MAX} is the most")
        form = _TYPE_3 << 12 | (_SEGMENTED if self.segmented else 0) | length
        body = form.to_bytes(2, "big") + addresses + bytes((self.control,))
        if self.information:
            body += crc16_x25(body).to_bytes(_CRC_SIZE, "little") + self.information
        flag = bytes((FLAG,))
        return flag + body + crc16_x25(body).to_bytes(_CRC_SIZE, "little") + flag


def parse_frames(data: bytes, *, verify: bool = True) -> tuple[Frame, ...]:
    """All frames in the bytes; flags between them may be one, two or more.

    Args:
        data: whole frames.
        verify: False accepts checks that fail.

    Raises:
        DecodeError: TRUNCATED, CHECKSUM, MALFORMED (no frame type 3), BUDGET above 256 frames.
    """
    frames: list[Frame] = []
    offset = 0
    while offset < len(data):
        if data[offset] == FLAG:
            offset += 1
            continue
        if len(frames) == _FRAMES_MAX:
            raise DecodeError(DecodeErrorKind.BUDGET, "too many frames", offset=offset)
        frame, offset = _parse_frame(data, offset, verify=verify)
        frames.append(frame)
    if not frames:
        raise DecodeError(DecodeErrorKind.TRUNCATED, "no HDLC frame", offset=offset)
    return tuple(frames)


def _parse_frame(data: bytes, start: int, *, verify: bool) -> tuple[Frame, int]:
    """The frame whose format field is at `start`, and the offset behind it."""
    cursor = Cursor(data, start)
    form = cursor.unsigned(2)
    if form >> 12 != _TYPE_3:
        raise malformed("no HDLC frame of type 3", start)
    end = start + (form & LENGTH_MAX)
    if end > len(data):
        raise DecodeError(
            DecodeErrorKind.TRUNCATED,
            f"a frame of {form & LENGTH_MAX} bytes, {len(data) - start} are there",
            offset=start,
        )
    if end < len(data) and data[end] != FLAG:
        raise malformed("no flag behind the frame", end)
    cursor.end = end - _CRC_SIZE
    destination, source = _address(cursor), _address(cursor)
    control = cursor.u8()
    information = b""
    if cursor.remaining:
        _check(data, start, cursor.offset, verify=verify)
        cursor.skip(_CRC_SIZE)
        information = cursor.rest()
    _check(data, start, end - _CRC_SIZE, verify=verify)
    return Frame(destination, source, control, information, bool(form & _SEGMENTED)), end


def _address(cursor: Cursor) -> bytes:
    start = cursor.offset
    for _ in range(_ADDRESS_BYTES_MAX):
        if cursor.u8() & 1:
            return cursor.data[start : cursor.offset]
    raise malformed("an address of more than four bytes", start)


def _check(data: bytes, start: int, at: int, *, verify: bool) -> None:
    """Compare the check at `at` with the bytes from `start` to there."""
    sent = int.from_bytes(data[at : at + _CRC_SIZE], "little")
    if verify and sent != crc16_x25(data[start:at]):
        raise bad_checksum("a check sequence of the HDLC frame", at)


def messages_of(frames: tuple[Frame, ...]) -> list[bytes]:
    """The messages that frames carry: segments joined, LLC header taken off.

    Raises:
        DecodeError: TRUNCATED when the last segment is missing.
    """
    messages: list[bytes] = []
    parts: list[bytes] = []
    for frame in frames:
        if frame.information:
            parts.append(frame.information)
        if parts and not frame.segmented:
            messages.append(without_llc(b"".join(parts)))
            parts = []
    if parts:
        raise DecodeError(DecodeErrorKind.TRUNCATED, "the last segment is missing")
    return messages


def without_llc(message: bytes) -> bytes:
    """The APDU behind an LLC header, or the message itself when it has none."""
    return message[3:] if message[:3] in {LLC_COMMAND, LLC_RESPONSE} else message
