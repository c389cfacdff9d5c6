"""The handful of MQTT 5 packets that recording and replaying need. Pure: bytes in, bytes out.

Why by hand: the client library spends more on a message than the brokers that we measure with it
(ADR 0028). Clauses are those of the OASIS standard, MQTT 5.0.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from ohmesh.model.errors import Malformed, Oversize

PACKET_BYTES_MAX = 16 * 1024 * 1024
RECEIVE_MAXIMUM_DEFAULT = 65_535
_RECEIVE_MAXIMUM = 0x21
# Bytes of a property (2.2.2.2); 0 is a text or binary, -1 a pair of texts, -2 a varint.
_PROPERTY_SIZE = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
    **dict.fromkeys((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F), 0),
    0x26: -1,
    0x0B: -2,
}


class Kind(IntEnum):
    """Packet types that come to a client (2.1.2)."""

    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBACK = 9
    PINGRESP = 13
    DISCONNECT = 14


@dataclass(slots=True)
class Publish:
    """A message from the broker."""

    topic: str
    payload: bytes
    flags: int
    """QoS in bits 0 and 1, 4 when retained: `Record.flags`."""
    packet_id: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Any other packet: CONNACK, PUBACK, SUBACK, DISCONNECT ...

    Attributes:
        kind: its type, a number that may be unknown to `Kind`.
        packet_id: of PUBACK and SUBACK, 0 otherwise.
        reason: its reason code; the worst one of a SUBACK. 0x80 and above are refusals.
        receive_maximum: of a CONNACK: how many messages may be under way.
    """

    kind: int
    packet_id: int = 0
    reason: int = 0
    receive_maximum: int = RECEIVE_MAXIMUM_DEFAULT


def _varint(number: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    octets = bytearray()
    while True:
        number, low = divmod(number, 128)
        octets.append(low | (0x80 if number else 0))
        if not number:
            return bytes(octets)


def _text(text: str) -> bytes:
    octets = text.encode()
    return len(octets).to_bytes(2, "big") + octets


def connect(client_id: str, user: str | None, password: str | None, keepalive_s: int) -> bytes:
    """CONNECT (3.1): a clean start, as many messages under way as there are numbers."""
    flags = 0x02 | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    properties = bytes((_RECEIVE_MAXIMUM,)) + RECEIVE_MAXIMUM_DEFAULT.to_bytes(2, "big")
    body = (
        _text("MQTT")
        + bytes((5, flags))
        + keepalive_s.to_bytes(2, "big")
        + _varint(len(properties))
        + properties
        + _text(client_id)
    )
    for secret in (user, password):
        if secret is not None:
            body += _text(secret)
    return b"\x10" + _varint(len(body)) + body


def publish(topic: bytes, payload: bytes, flags: int, packet_id: int) -> bytes:
    """PUBLISH (3.3). Args: flags: QoS 0 or 1 and RETAIN as in `Record.flags`."""
    head = 0x30 | (flags & 1) << 1 | (flags & 4) >> 2
    number = packet_id.to_bytes(2, "big") if flags & 1 else b""
    length = 2 + len(topic) + len(number) + 1 + len(payload)
    return b"".join(
        (
            bytes((head,)),
            _varint(length),
            len(topic).to_bytes(2, "big"),
            topic,
            number,
            b"\0",
            payload,
        )
    )


def puback(packet_id: int) -> bytes:
    """PUBACK (3.4), success."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def subscribe(packet_id: int, filters: list[str], qos: int) -> bytes:
    """SUBSCRIBE (3.8); messages keep their retained flag."""
    options = bytes((qos | 0x08,))
    body = packet_id.to_bytes(2, "big") + b"\0"
    body += b"".join(_text(one) + options for one in filters)
    return b"\x82" + _varint(len(body)) + body


PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"


class PacketReader:
    """Cuts a byte stream into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, octets: bytes) -> list[Publish | Answer]:
        """Whole packets in what came so far. Raises a WireError when it is not MQTT 5."""
        data = self._rest + octets if self._rest else octets
        packets: list[Publish | Answer] = []
        offset, size = 0, len(data)
        try:
            while size - offset >= 2:
                length, start = _length(data, offset + 1)
                if length > PACKET_BYTES_MAX:
                    raise Oversize(f"a packet of {length} bytes")
                end = start + length
                if end > size:
                    break
                packets.append(_packet(data[offset], data, start, end))
                offset = end
        except _ShortError:
            pass  # the length itself is not whole yet
        except (IndexError, UnicodeDecodeError, struct.error) as error:
            raise Malformed(f"no MQTT packet: {error}") from error
        self._rest = data[offset:]
        return packets


class _ShortError(Exception):
    """The data ends within a length."""


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(length, offset behind it) of a variable byte integer."""
    number = shift = 0
    while True:
        if at >= len(data):
            raise _ShortError
        octet = data[at]
        at += 1
        number |= (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
        shift += 7
        if shift > 21:
            raise Malformed("a length of more than four bytes")


def _packet(head: int, data: bytes, start: int, end: int) -> Publish | Answer:
    kind = head >> 4
    if kind == Kind.PUBLISH:
        return _publish(head, data, start, end)
    if kind == Kind.CONNACK:
        return Answer(kind, 0, data[start + 1], _receive_maximum(data[start + 2 : end]))
    if kind == Kind.PUBACK:
        reason = data[start + 2] if end - start > 2 else 0
        return Answer(kind, data[start] << 8 | data[start + 1], reason)
    if kind == Kind.SUBACK:
        length, codes = _length(data, start + 2)
        reason = max(data[codes + length : end], default=0)
        return Answer(kind, data[start] << 8 | data[start + 1], reason)
    if kind == Kind.DISCONNECT:
        return Answer(kind, 0, data[start] if end > start else 0)
    return Answer(kind)


def _publish(head: int, data: bytes, start: int, end: int) -> Publish:
    at = start + 2 + (data[start] << 8 | data[start + 1])
    topic = data[start + 2 : at].decode()
    qos, number = head >> 1 & 3, 0
    if qos:
        number = data[at] << 8 | data[at + 1]
        at += 2
    length, at = (0, at + 1) if data[at] == 0 else _length(data, at)
    if at + length > end:
        raise Malformed("a PUBLISH whose properties leave it")
    return Publish(topic, data[at + length : end], qos | (head & 1) << 2, number)


def _receive_maximum(octets: bytes) -> int:
    """The Receive Maximum among a CONNACK's properties (3.2.2.3.3)."""
    length, at = _length(octets, 0) if octets else (0, 0)
    end = at + length
    while at < end:
        identifier = octets[at]
        at += 1
        if identifier == _RECEIVE_MAXIMUM:
            return octets[at] << 8 | octets[at + 1]
        at = _behind(octets, identifier, at)
    return RECEIVE_MAXIMUM_DEFAULT


def _behind(octets: bytes, identifier: int, at: int) -> int:
    size = _PROPERTY_SIZE.get(identifier)
    if size is None:
        raise Malformed(f"an unknown property {identifier:#04x}")
    if size == -2:
        return _length(octets, at)[1]
    for _ in range(2 if size == -1 else 1 if size == 0 else 0):
        at += 2 + (octets[at] << 8 | octets[at + 1])
    return at + max(size, 0)
