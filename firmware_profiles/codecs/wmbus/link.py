"""The radio frame of EN 13757-4.

    offset 0   L     octets behind L, block checks of format A not counted
           1   C     44 SND-NR, 46 SND-IR, 47 ACC-NR, 48 ACC-DMD, 08 RSP-UD
           2   M     manufacturer, low byte first
           4   A     identification 4, version 1, device type 1
          10   CI    user data

On air a frame carries 16-bit checks. Format A (modes S, T and C): behind the first 10 octets and
behind every 16 octets from there. Format B (mode C): behind the first 126 octets, or all of them
when they are fewer, and behind the rest; L counts them. Most receivers take them off and pass on
the octets alone, some of them several frames in a row: all of that is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from firmware_profiles.codecs.crc import crc16_en13757
from firmware_profiles.codecs.cursor import bad_checksum, malformed, unsupported
from firmware_profiles.codecs.mbus.records import truncated
from firmware_profiles.codecs.mbus.transport import Address

HEAD_BYTES = 10
BLOCK_CHECK_BYTES = 2
_BLOCK_A_BYTES = 16
_BLOCK_B_BYTES = 126
_C_FIELDS = frozenset({0x44, 0x46, 0x47, 0x48, 0x08, 0x18, 0x28, 0x38})
FRAMES_MAX = 16


@dataclass(frozen=True, slots=True)
class RadioFrame:
    """A frame without block checks.

    Attributes:
        data: L to the last octet of user data.
        control: the C field.
        address: of the sender.
    """

    data: bytes
    control: int
    address: Address


def _fits(data: bytes, start: int, stop: int) -> bool:
    """Whether the two octets at `stop` are the check of `data[start:stop]`."""
    check = data[stop : stop + BLOCK_CHECK_BYTES]
    return crc16_en13757(data[start:stop]).to_bytes(2, "big") == check


def _strip_a(data: bytes, start: int, *, verify: bool) -> tuple[bytes, int]:
    """The octets of a frame of format A at `start`, and where it ends."""
    left = data[start] + 1
    block, at, parts = HEAD_BYTES, start, []
    while left > 0:
        size = min(block, left)
        stop = at + size
        if stop + BLOCK_CHECK_BYTES > len(data):
            raise truncated("a block and its check go beyond the end", at)
        if verify and not _fits(data, at, stop):
            raise bad_checksum("a block does not fit its check", stop)
        parts.append(data[at:stop])
        left -= size
        at, block = stop + BLOCK_CHECK_BYTES, _BLOCK_A_BYTES
    return b"".join(parts), at


def _strip_b(frame: bytes) -> bytes:
    """The frame without the checks of format B, when it has them; otherwise as it is."""
    first = min(len(frame) - BLOCK_CHECK_BYTES, _BLOCK_B_BYTES)
    rest = first + BLOCK_CHECK_BYTES
    if not _fits(frame, 0, first):
        return frame
    if rest == len(frame):
        return frame[:first]
    if rest + BLOCK_CHECK_BYTES < len(frame) and _fits(frame, rest, len(frame) - BLOCK_CHECK_BYTES):
        return frame[:first] + frame[rest:-BLOCK_CHECK_BYTES]
    return frame


def _next_frame(data: bytes, start: int, *, verify: bool) -> tuple[bytes, int]:
    if len(data) - start < HEAD_BYTES + 1 or data[start] < HEAD_BYTES:
        raise truncated("a radio frame has 11 bytes at least", start)
    if _fits(data, start, start + HEAD_BYTES):
        return _strip_a(data, start, verify=verify)
    end = start + data[start] + 1
    if end > len(data):
        raise truncated(f"{end - start} bytes wanted, {len(data) - start} given", start)
    return _strip_b(data[start:end]), end


def _read(data: bytes, start: int) -> RadioFrame:
    if data[1] not in _C_FIELDS:
        raise unsupported(f"a C field of {data[1]:02X} is not sent by a meter", start + 1)
    address = Address(
        identification=data[4:8],
        manufacturer=int.from_bytes(data[2:4], "little"),
        version=data[8],
        device_type=data[9],
    )
    return RadioFrame(data, data[1], address)


def read_frames(data: bytes, *, verify: bool = True) -> list[RadioFrame]:
    """The frames in a payload: most often one.

    Args:
        data: from L, with block checks of either format or without.
        verify: False accepts wrong block checks.

    Raises:
        DecodeError: TRUNCATED, CHECKSUM, MALFORMED or UNSUPPORTED.
    """
    frames: list[RadioFrame] = []
    start = 0
    while start < len(data) or not frames:
        if len(frames) == FRAMES_MAX:
            raise malformed(f"more than {FRAMES_MAX} frames", start)
        octets, end = _next_frame(data, start, verify=verify)
        frames.append(_read(octets, start))
        start = end
    return frames


def write_blocks_a(frame: bytes) -> bytes:
    """The frame with the block checks of format A."""
    starts = (0, *range(HEAD_BYTES, len(frame), _BLOCK_A_BYTES), len(frame))
    blocks = (frame[a:b] for a, b in pairwise(starts))
    return b"".join(block + crc16_en13757(block).to_bytes(2, "big") for block in blocks)
