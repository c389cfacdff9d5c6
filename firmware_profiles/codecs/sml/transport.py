"""SML transport version 1: escaped bytes between a start and an end sequence, with a CRC.

    1B1B1B1B 01010101 | content, 1B1B1B1B doubled | 0..3 zeros | 1B1B1B1B 1A pad crc_lo crc_hi

The CRC-16/X.25 covers everything before itself; some Holley meters (DTZ541) compute CRC-16/KERMIT
instead, here and in messages. The frame's length is a multiple of four.
"""

from __future__ import annotations

from firmware_profiles.codecs.crc import crc16_kermit, crc16_x25
from firmware_profiles.codecs.cursor import bad_checksum, malformed, unsupported
from ohmesh.model.errors import DecodeError, DecodeErrorKind

BYTES_MAX = 65536
FRAMES_MAX = 16
"""Starts that are tried: in hostile bytes each may lead over all the rest."""
_ESCAPE = b"\x1b\x1b\x1b\x1b"
_START = _ESCAPE + b"\x01\x01\x01\x01"
_END = 0x1A


def unframe(telegram: bytes, *, verify: bool = True) -> bytes:
    """The content of the first good frame in a telegram.

    A frame that breaks off because another one begins is passed over, and so is a bad frame when a
    good one follows.

    Args:
        telegram: one or more frames; bytes before the first start sequence are noise.
        verify: False accepts a wrong CRC.

    Raises:
        DecodeError: no good frame; the error is that of the first one.
    """
    if len(telegram) > BYTES_MAX:
        raise DecodeError(DecodeErrorKind.BUDGET, f"more than {BYTES_MAX} bytes", offset=BYTES_MAX)
    first: DecodeError | None = None
    start = telegram.find(_START)
    for _ in range(FRAMES_MAX):
        if start < 0:
            break
        try:
            return _content(telegram, start, verify=verify)
        except DecodeError as error:
            first = first or error
        start = telegram.find(_START, start + len(_START))
    raise first or malformed("no start sequence")


def crc_fits(octets: bytes, given: int) -> bool:
    """Whether a CRC is that of the standard, or the one that Holley computes.

    Args:
        octets: what it covers.
        given: the CRC, read with its low byte first; Holley writes the high byte first.
    """
    return crc16_x25(octets) == given or crc16_kermit(octets) == swapped(given)


def swapped(crc: int) -> int:
    """A CRC with its bytes in the other order."""
    return (crc & 0xFF) << 8 | crc >> 8


def frame(content: bytes) -> bytes:
    """Wrap content into a transport frame, the inverse of `unframe`."""
    padding = -len(content) % 4
    escaped = content.replace(_ESCAPE, _ESCAPE * 2) + bytes(padding)
    body = _START + escaped + _ESCAPE + bytes((_END, padding))
    return body + crc16_x25(body).to_bytes(2, "little")


def _content(telegram: bytes, start: int, *, verify: bool) -> bytes:
    """The content of the frame whose start sequence begins at `start`."""
    position = start + len(_START)
    parts: list[bytes] = []
    while True:
        escape = telegram.find(_ESCAPE, position)
        if escape < 0 or escape + 8 > len(telegram):
            raise DecodeError(DecodeErrorKind.TRUNCATED, "no end sequence", offset=len(telegram))
        if telegram.startswith(_ESCAPE, escape + 4):
            parts.append(telegram[position : escape + 4])
            position = escape + 8
            continue
        while telegram[escape + 4] == _ESCAPE[0]:
            # The content ends in 1B: only the last four of the run are the escape.
            escape += 1
            if escape + 8 > len(telegram):
                raise DecodeError(
                    DecodeErrorKind.TRUNCATED, "no end sequence", offset=len(telegram)
                )
        parts.append(telegram[position:escape])
        return _finish(telegram, start, escape, b"".join(parts), verify=verify)


def _finish(telegram: bytes, start: int, escape: int, content: bytes, *, verify: bool) -> bytes:
    """Check what follows the escape and take the padding off."""
    if telegram[escape + 4] == _START[4]:
        raise DecodeError(DecodeErrorKind.TRUNCATED, "another frame begins", offset=escape)
    if telegram[escape + 4] != _END:
        raise unsupported(f"the escape sequence {telegram[escape + 4]:02X}", escape + 4)
    given = int.from_bytes(telegram[escape + 6 : escape + 8], "little")
    if verify and not crc_fits(telegram[start : escape + 6], given):
        raise bad_checksum("the CRC of the frame does not fit", escape + 6)
    padding = telegram[escape + 5]
    if padding > min(3, len(content)):
        raise malformed(f"{padding} padding bytes", escape + 5)
    return content[: len(content) - padding]
