"""Compact frames: data fields without their headers (EN 13757-3, 10; EN 13757-4, annex).

    format signature 2, low first | full-frame check 2, low first | data field | data field ...

The signature is the CRC of all headers of the format, so a format is known as soon as its headers
are; the check is the CRC of the application data with the headers put back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.crc import crc16_en13757
from firmware_profiles.codecs.cursor import bad_checksum, unsupported
from firmware_profiles.codecs.mbus.header import header
from firmware_profiles.codecs.mbus.records import (
    MAKER_BLOCKS,
    Record,
    data_end,
    header_end,
    read_records,
    truncated,
)
from firmware_profiles.codecs.mbus.security import FILLERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Headers = tuple[bytes, ...]
_HEAD_BYTES = 4


def signature(headers: bytes) -> int:
    """The format signature of record headers in their order."""
    return crc16_en13757(headers)


def _split(headers: bytes) -> Headers:
    parts: list[bytes] = []
    start = 0
    while start < len(headers):
        stop = header_end(headers, start, len(headers))
        parts.append(headers[start:stop])
        start = stop
    return tuple(parts)


_KNOWN = (
    # Kamstrup Multical 21
    "02ff20 0413 4413 615b 6167",
    "02ff20 0413 4413 615b 5167",
    "02ff20 0413 92013b a1015b 8101e7ff0f",
    "02ff20 0413 4413 a1015b 8101e7ff0f",
    # Kamstrup flowIQ 2200
    "04ff23 0413 4413 426c 023b 92013b a2013b 06ff1b a1015b 91015b a10167",
    "04ff23 4413 523b 06ff1b 426c 6167 5167 023b 0413 8101e7ff0f",
    # Kamstrup pressure sensor
    "2269 1269 0269 05ff09 05ff0a 02fd17",
    # Kamstrup Omnipower
    "0404 04843c 042b 04ab3c",
    # Kamstrup Multical 403, 602 and 603
    (
        "040e 04ff07 04ff08 0413 844014 84804014 043b 0259 025d 142d 84100e 84200e 04ff22 026c"
        " 440e 4413 c44014 c4804014 426c"
    ),
    (
        "02f9ff15 0406 04eeff07 04eeff08 0414 844014 84804014 02fd17 026c 426c 4406 4414 c44014"
        " c4804014 043b 0259 025d"
    ),
    "0406 04ff07 04ff08 0414 043b 042d 0259 025d 04ff22 0422 143b 142d",
    "0406 04ff07 04ff08 0414 043b 0259 025d 04ff22",
    # Engelmann FAW
    (
        "426c 4413 01fd17 840113 c40113 840213 c40213 840313 c40313 840413 c40413 840513 c40513"
        " 840613 c40613 840713 c40713 840813"
    ),
    (
        "426c 4413 01fd17 840113 c40113 840213 c40213 840313 c40313 840413 c40413 840513 c40513"
        " 840613 c40613 840713 c40713 840813 046d 0413"
    ),
)
"""Headers of formats, as full frames of these meters show them."""


def _formats(texts: Iterable[str]) -> dict[int, Headers]:
    return {signature(h): _split(h) for h in map(bytes.fromhex, texts)}


FORMATS: Mapping[int, Headers] = _formats(_KNOWN)
"""Signature -> headers of the formats that we know without having seen a full frame."""


def learn(formats: dict[int, Headers], records: Iterable[Record]) -> None:
    """Add the format of a full frame, so that a compact frame behind it can be read.

    A frame with a block of its maker's has no compact form: the block has no size of its own.
    """
    parts = tuple(record.header.octets for record in records)
    if not MAKER_BLOCKS.intersection(parts):
        formats[signature(b"".join(parts))] = parts


def _restore(data: bytes, start: int, end: int, headers: Iterable[bytes]) -> bytes:
    """The full application data: every header with its data field."""
    parts: list[bytes] = []
    for octets in headers:
        stop = data_end(header(octets), data, start, end)
        parts += (octets, data[start:stop])
        start = stop
    return b"".join(parts)


def read_compact(
    data: bytes, start: int, end: int, *, manufacturer: int, formats: Mapping[int, Headers]
) -> list[Record]:
    """The records of the compact frame `data[start:end]`.

    Raises:
        DecodeError: UNSUPPORTED for an unknown format, CHECKSUM when the restored frame does not
            fit its check, and what `read_records` raises.
    """
    if data.startswith(FILLERS, start, end):
        start += len(FILLERS)
    if start + _HEAD_BYTES > end:
        raise truncated("a compact frame has a head of 4 bytes", start)
    code, check = (int.from_bytes(data[at : at + 2], "little") for at in (start, start + 2))
    headers = formats.get(code)
    if headers is None:
        raise unsupported(f"a compact frame of the unknown format {code:04X}", start)
    full = _restore(data, start + _HEAD_BYTES, end, headers)
    if crc16_en13757(full) != check:
        raise bad_checksum(f"the full frame does not have the check {check:04X}", start + 2)
    return read_records(full, manufacturer=manufacturer)
