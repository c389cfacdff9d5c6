"""The outer form of every message of ours: version, flags, body.

| offset | size | field |
|---|---|---|
| 0 | 1 | version, 1 |
| 1 | 1 | flags: bit 0 the rest is a zstd frame (RFC 8878); all others 0 |
| 2 | n | MessagePack body of one message type, as an array of its fields in order |

A body may grow new fields at its end: an older reader ignores them, a newer reader gives them
their defaults. Any other change is a new version. The declared size of a zstd frame is checked
before anything is allocated.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
import zstandard

from ohmesh.model.errors import Malformed, Oversize, Truncated, UnknownVersion

VERSION = 1
_COMPRESSED = 1
_HEADER_BYTES = 2
COMPRESS_ABOVE_BYTES = 1024
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Largest body, compressed or not; a batch is far below it."""

_encoder = msgspec.msgpack.Encoder()
_compressor = zstandard.ZstdCompressor(level=3)
_T = TypeVar("_T")


def pack(message: msgspec.Struct) -> bytes:
    """One message as bytes, compressed when that is worth it. Raises Oversize."""
    body = _encoder.encode(message)
    if len(body) > MAX_BODY_BYTES:
        raise Oversize(f"a message of {len(body)} bytes; the limit is {MAX_BODY_BYTES}")
    if len(body) <= COMPRESS_ABOVE_BYTES:
        return bytes((VERSION, 0)) + body
    return bytes((VERSION, _COMPRESSED)) + _compressor.compress(body)


def unpack(octets: bytes, decoder: msgspec.msgpack.Decoder[_T]) -> _T:
    """The message in the bytes. Raises a WireError, whatever the bytes."""
    body = _body(octets)
    try:
        return decoder.decode(body)
    except (msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from error
    except msgspec.DecodeError as error:
        kind = Truncated if "truncated" in str(error) else Malformed
        raise kind(str(error)) from error


def _body(octets: bytes) -> bytes:
    if len(octets) < _HEADER_BYTES:
        raise Truncated(f"{len(octets)} bytes; the header has {_HEADER_BYTES}")
    version, flags = octets[0], octets[1]
    if version != VERSION:
        raise UnknownVersion(f"version {version}; this program speaks {VERSION}")
    if flags & ~_COMPRESSED:
        raise Malformed(f"unknown flags {flags:#04x}")
    if not flags & _COMPRESSED:
        if len(octets) - _HEADER_BYTES > MAX_BODY_BYTES:
            raise Oversize(f"{len(octets)} bytes; the limit is {MAX_BODY_BYTES}")
        return octets[_HEADER_BYTES:]
    return _decompress(octets[_HEADER_BYTES:])


def _decompress(frame: bytes) -> bytes:
    try:
        declared = zstandard.frame_content_size(frame)
        if declared < 0 or declared > MAX_BODY_BYTES:
            raise Oversize(f"a zstd frame that declares {declared} bytes")
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=MAX_BODY_BYTES)
    except zstandard.ZstdError as error:
        raise Malformed(f"zstd: {error}") from error
