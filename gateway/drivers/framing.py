"""Where a telegram begins and ends in a stream of bytes; nothing inside it is looked at.

Each splitter takes bytes in any pieces and gives whole telegrams. Noise before a beginning is
passed over, a telegram that gets too long or breaks its check is counted and dropped: a meter that
pushes will push again in a moment.

    P1       "/" ... "!" CRC CR LF; the CRC, when there is one, must fit
    SML      1B1B1B1B 01010101 ... 1B1B1B1B 1A pad crc crc
    readout  "/" ... "!" CR LF, or with a block STX ... ETX BCC after the identification line
    TIC      STX LF ... ETX
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import Protocol

from gateway.drivers.crc import crc16_arc

BYTES_MAX = 64 * 1024 - 1
_SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))
_ESCAPE = b"\x1b\x1b\x1b\x1b"
_SML_START = _ESCAPE + b"\x01\x01\x01\x01"
_SML_END = 0x1A
_STX, _ETX = 0x02, 0x03
_CRC_DIGITS_MAX = 4


class Splitter(Protocol):
    """Bytes in, telegrams out."""

    dropped: int

    def feed(self, octets: bytes) -> list[bytes]:
        """Take bytes, give the telegrams that they complete."""
        ...


class Buffered:
    """A buffer from which telegrams are cut.

    A splitter says where the next one ends (`_cut`, None while it is not whole) and whether its
    check fits (`_sound`).
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> list[bytes]:
        """Take bytes, give the telegrams that they complete."""
        self._buffer += octets
        found: list[bytes] = []
        while (telegram := self._cut()) is not None:
            if self._sound(telegram):
                found.append(telegram)
            else:
                self.dropped += 1
        if len(self._buffer) > BYTES_MAX:
            self.dropped += 1
            self._buffer.clear()
        return found

    def _from_start(self, mark: bytes) -> bool:
        """Throw away what stands before a mark; False when there is none."""
        start = self._buffer.find(mark)
        if start < 0:
            del self._buffer[: max(0, len(self._buffer) - len(mark) + 1)]
            return False
        del self._buffer[:start]
        return True

    def _take(self, length: int) -> bytes:
        telegram = bytes(self._buffer[:length])
        del self._buffer[:length]
        return telegram

    def _cut(self) -> bytes | None:
        raise NotImplementedError

    def _sound(self, telegram: bytes) -> bool:
        raise NotImplementedError


class P1Splitter(Buffered):
    """Telegrams of a customer port P1."""

    def _cut(self) -> bytes | None:
        if not self._from_start(b"/"):
            return None
        mark = self._buffer.find(b"!")
        end = self._buffer.find(b"\n", mark)
        if mark < 0 or end < 0:
            return None
        again = self._buffer.rfind(b"\n/", 0, mark)  # the one before broke off
        telegram = self._take(end + 1)
        return telegram[again + 1 :]

    def _sound(self, telegram: bytes) -> bool:
        mark = telegram.index(b"!")
        check = telegram[mark + 1 :].strip()
        if not check:  # DSMR 2.2 and 3.0 have none
            return telegram.isascii() and b"(" in telegram
        try:
            sent = int(check, 16) if len(check) <= _CRC_DIGITS_MAX else -1
        except ValueError:
            return False
        return sent == crc16_arc(telegram[: mark + 1])


class SmlSplitter(Buffered):
    """SML files; their CRC is left to the decoder, because some makers compute another one."""

    def _cut(self) -> bytes | None:
        if not self._from_start(_SML_START):
            return None
        position = len(_SML_START)
        while (escape := self._buffer.find(_ESCAPE, position)) >= 0:
            while self._buffer[escape + 4 : escape + 5] == b"\x1b" and not self._doubled(escape):
                escape += 1
            follows = self._buffer[escape + 4 : escape + 8]
            if len(follows) < len(_ESCAPE):
                return None
            if follows[0] == _SML_END:
                return self._take(escape + 8)
            if follows != _ESCAPE:
                return self._take(escape)  # another file begins, or nobody knows what
            position = escape + 8
        return None

    def _doubled(self, escape: int) -> bool:
        return self._buffer[escape + 4 : escape + 8] == _ESCAPE

    def _sound(self, telegram: bytes) -> bool:
        return telegram[-8:-4] == _ESCAPE and telegram[-4] == _SML_END


class ReadoutSplitter(Buffered):
    """IEC 62056-21 data messages, pushed (mode D) or answered."""

    def _cut(self) -> bytes | None:
        if not self._from_start_of_line():
            return None
        length = readout_length(bytes(self._buffer))
        return None if length is None else self._take(length)

    def _from_start_of_line(self) -> bool:
        plain = self._buffer.translate(_SEVEN_BITS)
        start = plain.find(b"/")
        del self._buffer[: start if start >= 0 else len(plain)]
        return start >= 0

    def _sound(self, telegram: bytes) -> bool:
        return block_fits(telegram)


class TicSplitter(Buffered):
    """Frames of a Linky's customer port (TIC)."""

    def _cut(self) -> bytes | None:
        if not self._from_start(bytes((_STX,))):
            return None
        end = self._buffer.find(_ETX)
        if end < 0:
            return None
        start = self._buffer.rfind(_STX, 0, end)  # the one before broke off
        return self._take(end + 1)[start:]

    def _sound(self, telegram: bytes) -> bool:
        plain = telegram.translate(_SEVEN_BITS)
        return plain[1:2] == b"\n" and plain.count(b"\n") > 1


def is_p1(telegram: bytes) -> bool:
    """Whether a message between "/" and "!" is a P1 telegram, and no readout of IEC 62056-21.

    Since DSMR 4 a P1 telegram ends with a CRC; those before name the meter by DSMR's own OBIS code.
    Source: DSMR P1 companion standard 2.2, 3.0 (no CRC, 0-0:96.1.1), 4.0 and later (CRC).
    """
    check = telegram.rpartition(b"!")[2].partition(b"\n")[0].strip()
    return bool(check) or b"\n0-0:96.1.1(" in telegram


def readout_length(octets: bytes) -> int | None:
    """Length of the data message that `octets` begins with, None while it is not whole."""
    plain = octets.translate(_SEVEN_BITS)
    line_end = plain.find(b"\n")
    if line_end < 0:
        return None
    head = plain[line_end + 1 :].lstrip(b"\r\n")
    if head[:1] == bytes((_STX,)):
        end = plain.find(_ETX, line_end)
        return end + 2 if 0 <= end < len(octets) - 1 else None
    mark = plain.find(b"!", line_end)
    end = plain.find(b"\n", mark)
    return None if mark < 0 or end < 0 else end + 1


def block_fits(telegram: bytes) -> bool:
    """Whether the block check is right; a message without a block has none."""
    plain = telegram.translate(_SEVEN_BITS)
    start = plain.find(_STX)
    if start < 0:
        return True
    end = plain.find(_ETX, start)
    return 0 <= end < len(plain) - 1 and reduce(xor, plain[start + 1 : end + 1]) == plain[end + 1]
