"""ECHONET Lite frames, format 1: a header and lists of properties.

    offset  size
    0       2     EHD 10 81
    2       2     TID
    4       3     SEOJ, the object that sends
    7       3     DEOJ, the object that is addressed
    10      1     ESV, the service
    11      1     OPC, count of properties; then OPC times EPC (1), PDC (1), EDT (PDC)

The services SetGet (6E, 7E, 5E) have two such lists. The frame has no check of its own. Source:
ECHONET Lite specification 1.13, part 2, chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_profiles.codecs.cursor import Cursor, malformed, unsupported

GET_RESPONSE = 0x72
_HEADER = b"\x10\x81"
_TWO_LISTS = frozenset({0x6E, 0x7E, 0x5E})
_SERVICES = frozenset(
    {*range(0x50, 0x54), 0x5E, *range(0x60, 0x64), 0x6E, *range(0x71, 0x75), 0x7A, 0x7E}
)


@dataclass(frozen=True, slots=True)
class Property:
    """One property: its code (EPC) and data (EDT), empty in a request or a refusal."""

    code: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        transaction: TID.
        source: SEOJ, three bytes: class group, class, instance.
        target: DEOJ.
        service: ESV.
        properties: the properties of the one list, or of the set list of SetGet.
        got: the properties of the get list of SetGet, None for other services.
    """

    transaction: int
    source: bytes
    target: bytes
    service: int
    properties: tuple[Property, ...]
    got: tuple[Property, ...] | None = None


def decode(payload: bytes) -> Frame:
    """Decode a frame. Raises DecodeError, whatever the bytes."""
    cursor = Cursor(payload)
    if cursor.peek() == _HEADER[0] and payload[1:2] == b"\x82":
        raise unsupported("a frame of format 2 (arbitrary message)", 1)
    cursor.expect(_HEADER, "ECHONET Lite header")
    transaction = cursor.unsigned(2)
    source, target = cursor.take(3), cursor.take(3)
    service = cursor.u8()
    if service not in _SERVICES:
        raise malformed(f"the service {service:02X}", cursor.offset - 1)
    properties = _properties(cursor)
    got = _properties(cursor) if service in _TWO_LISTS else None
    if cursor.remaining:
        raise malformed(f"{cursor.remaining} bytes after the last property", cursor.offset)
    return Frame(transaction, source, target, service, properties, got)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame, the inverse of `decode`."""
    head = _HEADER + frame.transaction.to_bytes(2, "big") + frame.source + frame.target
    lists = _encode_list(frame.properties)
    if frame.got is not None:
        lists += _encode_list(frame.got)
    return head + bytes((frame.service,)) + lists


def _properties(cursor: Cursor) -> tuple[Property, ...]:
    count = cursor.u8()
    return tuple([Property(cursor.u8(), cursor.take(cursor.u8())) for _ in range(count)])


def _encode_list(properties: tuple[Property, ...]) -> bytes:
    return bytes((len(properties),)) + b"".join(
        bytes((item.code, len(item.data))) + item.data for item in properties
    )
