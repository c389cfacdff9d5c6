r"""The bytes of a capture file.

| offset | size | field |
|---|---|---|
| 0 | 8 | magic `89 4F 48 4D 43 41 50 0A` (`\x89OHMCAP\n`: text tools break it visibly) |
| 8 | 2 | version, little-endian, 1 |
| 10 | .. | chunks: `HEAD`, then any number of `DATA`, then `INDX` when the file was closed |
| -20 | 20 | trailer of a closed file: offset of `INDX`, CRC-32 of that, magic `OHMCEND\n` |

A chunk, all numbers little-endian:

| offset | size | field |
|---|---|---|
| 0 | 4 | kind, ASCII |
| 4 | 4 | length n of the body |
| 8 | 4 | CRC-32 (ISO 3309) of kind, length and body |
| 12 | n | body |

`HEAD` and `INDX` are MessagePack (`record.Header`, `IndexEntry` list); `DATA` is `block.py`'s. A
file without trailer is either being written or cut off: its chunks are found one by one, and the
records in them are whole, because a chunk is read only when its CRC agrees.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import msgspec

from ohmesh.model.errors import OhmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"\x89OHMCAP\n"
END_MAGIC = b"OHMCEND\n"
VERSION = 1
CHUNK_BYTES_MAX = 64 * 1024 * 1024
"""A body that declares more is not read: a block is cut far below it."""
HEAD, DATA, INDEX = b"HEAD", b"DATA", b"INDX"
KINDS = (HEAD, DATA, INDEX)

_VERSION = struct.Struct("<H")
CHUNK = struct.Struct("<4sII")
_PART = struct.Struct("<4sI")
_TRAILER = struct.Struct("<QI8s")
TRAILER_BYTES = _TRAILER.size
VERSION_AT = len(MAGIC)
FIRST_CHUNK = VERSION_AT + _VERSION.size


class CaptureError(OhmeshError):
    """A file that is no capture, or one with a damaged or missing part.

    Attributes:
        offset: the byte from which on it cannot be trusted.
        reason: what is wrong there.
    """

    def __init__(self, reason: str, offset: int = 0, name: str = "") -> None:
        where = f"{name}: " if name else ""
        super().__init__(f"{where}at byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason


class IndexEntry(msgspec.Struct, frozen=True, array_like=True):
    """Where a block is and what it spans: times of its first and last moment, microseconds."""

    offset: int
    count: int
    first_us: int
    last_us: int


def preamble() -> bytes:
    """Magic and version."""
    return MAGIC + _VERSION.pack(VERSION)


def check_preamble(octets: bytes) -> None:
    """Raises CaptureError when these are not the first bytes of a capture of our version."""
    if not octets.startswith(MAGIC[: len(octets)]) or not octets:
        raise CaptureError("not a capture: it does not begin with the magic of one")
    if len(octets) < FIRST_CHUNK:
        raise CaptureError(f"cut off within its first {FIRST_CHUNK} bytes", 0)
    (version,) = _VERSION.unpack_from(octets, VERSION_AT)
    if version != VERSION:
        raise CaptureError(
            f"version {version}; this program reads version {VERSION}, take a newer one",
            VERSION_AT,
        )


def crc(kind: bytes, body: bytes) -> int:
    """The checksum of a chunk."""
    return zlib.crc32(body, zlib.crc32(_PART.pack(kind, len(body))))


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk."""
    return CHUNK.pack(kind, len(body), crc(kind, body)) + body


def trailer(index_offset: int) -> bytes:
    """The last bytes of a closed file."""
    check = zlib.crc32(index_offset.to_bytes(8, "little"))
    return _TRAILER.pack(index_offset, check, END_MAGIC)


def index_offset(octets: bytes) -> int | None:
    """Where the trailer says the index is; None when these bytes are no trailer."""
    if len(octets) != TRAILER_BYTES:
        return None
    offset, check, magic = _TRAILER.unpack(octets)
    good = magic == END_MAGIC and check == zlib.crc32(octets[:8])
    return int(offset) if good else None


_index_decoder = msgspec.msgpack.Decoder(list[IndexEntry])


def encode_index(entries: Sequence[IndexEntry]) -> bytes:
    """The body of `INDX`."""
    return msgspec.msgpack.encode(entries)


def decode_index(body: bytes) -> list[IndexEntry]:
    """The entries in the body of `INDX`. Raises msgspec.DecodeError."""
    return _index_decoder.decode(body)
