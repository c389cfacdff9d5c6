"""The wired frame of EN 13757-2: format class FT 1.2.

offset 0   68       start
       1   L        octets from C to the last of the user data
       2   L        again
       3   68
       4   C        08 with ACD and DFC bits: an answer to a request for user data
       5   A        primary address
       6   CI ...   user data, L - 2 octets
       L+4 CS       sum of the L octets
       L+5 16       stop
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_profiles.codecs.cursor import bad_checksum, malformed, unsupported
from firmware_profiles.codecs.mbus.records import truncated

START, STOP = 0x68, 0x16
_SHORT_START, _ACKNOWLEDGE = 0x10, 0xE5
_RSP_UD = 0x08
_RSP_UD_FLAGS = 0x30
"""ACD and DFC: access demand and data flow control."""
_OVERHEAD = 6
_LENGTH_MIN, _LENGTH_MAX = 3, 255


@dataclass(frozen=True, slots=True)
class LongFrame:
    """A checked long frame.

    Attributes:
        control: the C field.
        address: the primary address.
        start: offset of the CI field in the frame.
        end: one past the user data.
    """

    control: int
    address: int
    start: int
    end: int


def _check_shape(frame: bytes) -> int:
    """The length field of a long frame whose markers are right."""
    if frame[:1] in {bytes([_SHORT_START]), bytes([_ACKNOWLEDGE])}:
        raise unsupported("a short frame carries no readings")
    if len(frame) < _OVERHEAD + _LENGTH_MIN:
        raise truncated("a long frame has 9 bytes at least", len(frame))
    length = frame[1]
    if frame[0] != START or frame[3] != START:
        raise malformed("no start 68 L L 68")
    if frame[2] != length or length < _LENGTH_MIN:
        raise malformed(f"lengths {length} and {frame[2]} of a frame", 1)
    if len(frame) < length + _OVERHEAD:
        raise truncated(f"{length + _OVERHEAD} bytes wanted, {len(frame)} given", len(frame))
    if len(frame) > length + _OVERHEAD or frame[-1] != STOP:
        raise malformed("no stop 16 at the end", length + _OVERHEAD - 1)
    return length


def read_long_frame(frame: bytes, *, verify: bool = True) -> LongFrame:
    """Check a long frame: markers, both lengths, checksum and C field.

    Args:
        frame: from 68 to 16.
        verify: False accepts a wrong checksum.

    Raises:
        DecodeError: TRUNCATED, MALFORMED, CHECKSUM, or UNSUPPORTED for a frame that is no answer.
    """
    length = _check_shape(frame)
    end = length + 4
    if verify and sum(frame[4:end]) & 0xFF != frame[end]:
        raise bad_checksum(f"the checksum is {frame[end]:02X}", end)
    if frame[4] & ~_RSP_UD_FLAGS != _RSP_UD:
        raise unsupported(f"a C field of {frame[4]:02X} is no answer", 4)
    return LongFrame(control=frame[4], address=frame[5], start=6, end=end)


def write_long_frame(control: int, address: int, user_data: bytes) -> bytes:
    """A long frame around its user data (CI field and what follows), at most 253 bytes."""
    body = bytes((control, address)) + user_data
    length = len(body)
    head = bytes((START, length, length, START))
    return head + body + bytes((sum(body) & 0xFF, STOP))
