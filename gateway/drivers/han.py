"""Where a telegram begins and ends on customer ports that push DLMS: HDLC, M-Bus, or bare ciphered.

    hdlc   7E, format 2 (A or A8, 11 bits of length), ... FCS 2, 7E: frames up to the one without
           the segmentation bit; blocks of a general-block-transfer up to the last block
    mbus   68 L L 68 C A CI ...: frames up to the one whose CI says that it is the last segment
    glo    DB, 8, system title, length, ...: a general-glo-ciphering APDU (Luxembourg's P1)

Source: IEC 62056-46, EN 13757-1 annex (M-Bus segments), IEC 62056-5-3.
"""

from __future__ import annotations

from gateway.drivers.crc import crc16_x25
from gateway.drivers.framing import Buffered

_FLAG, _TYPE_3, _SEGMENTED, _LENGTH = 0x7E, 0xA, 0x08, 0x7FF
_LLC = (b"\xe6\xe7\x00", b"\xe6\xe6\x00")
_BLOCK, _LAST_BLOCK = 0xE0, 0x80
_MBUS, _MBUS_STOP, _LAST_SEGMENT = 0x68, 0x16, 0x10
_GLO_START = b"\xdb\x08"
_TITLE_END = 10
_GLO_BYTES_MAX = 4096
_MESSAGE_BYTES_MAX = 32 * 1024


class HdlcSplitter(Buffered):
    """Messages in HDLC frames, with all frames that belong to them."""

    def __init__(self) -> None:
        super().__init__()
        self._frames = b""

    def _cut(self) -> bytes | None:
        while self._from_start(bytes((_FLAG,))):
            frame = self._frame()
            if frame is None:
                return None
            if not frame:
                del self._buffer[:1]
                continue
            self._frames += frame
            if _is_last(frame):
                message, self._frames = self._frames, b""
                return message
            if len(self._frames) > _MESSAGE_BYTES_MAX:
                self.dropped += 1
                self._frames = b""
        return None

    def _frame(self) -> bytes | None:
        """The frame at the beginning, empty when there is none, None when it is not whole.

        One flag may end a frame and begin the next one, so the last flag stays in the buffer.
        """
        if len(self._buffer) < 3:
            return None
        if self._buffer[1] >> 4 != _TYPE_3:
            return b""
        end = 1 + (int.from_bytes(self._buffer[1:3], "big") & _LENGTH)
        if len(self._buffer) < end + 1:
            return None
        frame = bytes(self._buffer[: end + 1])
        sound = frame[end] == _FLAG and crc16_x25(frame[1 : end - 2]) == int.from_bytes(
            frame[end - 2 : end], "little"
        )
        if not sound:
            self.dropped += 1
            self._frames = b""
            return b""
        del self._buffer[:end]
        return frame

    def _sound(self, telegram: bytes) -> bool:
        return bool(telegram)


class MbusPushSplitter(Buffered):
    """Messages in M-Bus long frames."""

    def __init__(self) -> None:
        super().__init__()
        self._frames = b""

    def _cut(self) -> bytes | None:
        while self._from_start(bytes((_MBUS,))):
            if len(self._buffer) < 4:
                return None
            length = self._buffer[1]
            if self._buffer[2] != length or self._buffer[3] != _MBUS or length < 3:
                del self._buffer[:1]
                continue
            if len(self._buffer) < length + 6:
                return None
            frame = bytes(self._buffer[: length + 6])
            if frame[-1] != _MBUS_STOP or sum(frame[4:-2]) & 0xFF != frame[-2]:
                del self._buffer[:1]
                self.dropped += 1
                self._frames = b""
                continue
            del self._buffer[: length + 6]
            self._frames += frame
            if frame[6] & _LAST_SEGMENT:
                message, self._frames = self._frames, b""
                return message
            if len(self._frames) > _MESSAGE_BYTES_MAX:
                self.dropped += 1
                self._frames = b""
        return None

    def _sound(self, telegram: bytes) -> bool:
        return bool(telegram)


class GloSplitter(Buffered):
    """Bare ciphered APDUs."""

    def _cut(self) -> bytes | None:
        while self._from_start(_GLO_START):
            if len(self._buffer) < _TITLE_END + 3:
                return None
            head, length = self._length()
            if 0 < length <= _GLO_BYTES_MAX:
                end = head + length
                return None if len(self._buffer) < end else self._take(end)
            del self._buffer[:1]
        return None

    def _length(self) -> tuple[int, int]:
        """Where the ciphered part begins, and its length; 0 for a length that is none."""
        first = self._buffer[_TITLE_END]
        if first < 0x80:
            return _TITLE_END + 1, first
        if first in {0x81, 0x82}:
            end = _TITLE_END + 1 + (first & 0x0F)
            return end, int.from_bytes(self._buffer[_TITLE_END + 1 : end], "big")
        return _TITLE_END + 1, 0

    def _sound(self, telegram: bytes) -> bool:
        return bool(telegram)


def _is_last(frame: bytes) -> bool:
    """Whether no more frames of the same message follow."""
    if frame[1] & _SEGMENTED:
        return False
    information = frame[_information_start(frame) :]
    if information[:3] in _LLC:
        information = information[3:]
    return information[:1] != bytes((_BLOCK,)) or bool(information[1] & _LAST_BLOCK)


def _information_start(frame: bytes) -> int:
    """Behind flag, format, two addresses, control and its check."""
    offset = 3
    for _ in range(2):
        while offset < len(frame) and not frame[offset] & 1:
            offset += 1
        offset += 1
    return offset + 3
