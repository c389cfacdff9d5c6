"""DL/T 645-2007 frames.

    offset  size
    0       n     FE, any number, to wake the receiver
    n       1     68
    n+1     6     address: 12 BCD digits, lowest byte first; AA stands for any
    n+7     1     68
    n+8     1     control: D7 answer, D6 refusal, D5 more frames follow, D4..D0 function
    n+9     1     length L of the data
    n+10    L     data, each byte 33H higher on the line
    n+10+L  1     check: sum of all bytes from the first 68, modulo 256
    n+11+L  1     16

Source: DL/T 645-2007, clause 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_profiles.codecs.cursor import bad_checksum, malformed
from ohmesh.model.errors import DecodeError, DecodeErrorKind

FRAMES_MAX = 256
WAKE, START, STOP = 0xFE, 0x68, 0x16
READ_DATA = 0x11
READ_MORE = 0x12
_ANSWER, _REFUSAL, _FUNCTION = 0x80, 0x40, 0x1F
_WAKE, _START = bytes((WAKE,)), bytes((START,))
_HEAD_BYTES = 10
_PLUS_33 = bytes((byte + 0x33) & 0xFF for byte in range(256))
_MINUS_33 = bytes((byte - 0x33) & 0xFF for byte in range(256))


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        address: twelve digits as printed on the meter, `A` in a wildcard.
        control: the control byte.
        data: the data without the offset of 33H.
        wake: count of FE bytes in front.
    """

    address: str
    control: int
    data: bytes
    wake: int = 0

    @property
    def is_answer(self) -> bool:
        """Whether the meter speaks."""
        return bool(self.control & _ANSWER)

    @property
    def is_refusal(self) -> bool:
        """Whether the meter refuses; the data are then an error word."""
        return bool(self.control & _REFUSAL)

    @property
    def function(self) -> int:
        """The function, READ_DATA ..."""
        return self.control & _FUNCTION


def decode(payload: bytes, *, verify: bool = True) -> tuple[Frame, ...]:
    """Decode one or more frames in a row.

    Args:
        payload: the bytes of the line.
        verify: False accepts a wrong check.

    Raises:
        DecodeError: whatever the bytes.
    """
    frames: list[Frame] = []
    position = 0
    while position < len(payload) or not frames:
        if len(frames) >= FRAMES_MAX:
            raise DecodeError(DecodeErrorKind.BUDGET, f"over {FRAMES_MAX} frames", offset=position)
        frame, position = _frame(payload, position, verify=verify)
        frames.append(frame)
    return tuple(frames)


def encode(frames: tuple[Frame, ...]) -> bytes:
    """The bytes of frames, the inverse of `decode`."""
    return b"".join(map(_encode_frame, frames))


def _frame(payload: bytes, position: int, *, verify: bool) -> tuple[Frame, int]:
    """The frame at a position, and the position after it."""
    start = position
    while payload[start : start + 1] == _WAKE:
        start += 1
    if payload[start : start + 1] not in (_START, b""):
        raise malformed("no start", start)
    if len(payload) < start + _HEAD_BYTES:
        raise _truncated(payload)
    if payload[start + 7] != START:
        raise malformed("no second start", start + 7)
    check = start + _HEAD_BYTES + payload[start + 9]
    if len(payload) < check + 2:
        raise _truncated(payload)
    if payload[check + 1] != STOP:
        raise malformed("no end mark", check + 1)
    if verify and payload[check] != sum(payload[start:check]) & 0xFF:
        raise bad_checksum("the sum does not fit", check)
    address = payload[start + 6 : start : -1].hex().upper()
    data = payload[start + _HEAD_BYTES : check].translate(_MINUS_33)
    return Frame(address, payload[start + 8], data, start - position), check + 2


def _truncated(payload: bytes) -> DecodeError:
    return DecodeError(DecodeErrorKind.TRUNCATED, "the frame is cut off", offset=len(payload))


def _encode_frame(frame: Frame) -> bytes:
    body = _START + bytes.fromhex(frame.address)[::-1]
    body += bytes((START, frame.control, len(frame.data))) + frame.data.translate(_PLUS_33)
    return _WAKE * frame.wake + body + bytes((sum(body) & 0xFF, STOP))
