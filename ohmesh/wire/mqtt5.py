"""The MQTT 5 packets that publishing and subscribing at QoS 0 and 1 need. Pure.

Why by hand: the client library spends more on a message than the brokers that it talks to
(ADR 0028, ADR 0048). Clauses are those of the OASIS standard, MQTT 5.0. There is no QoS 2, no will
and no topic alias: a broker may send none to a client that asked for none (3.8.4, 3.3.2.3.4).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from ohmesh.model.errors import Malformed, Oversize

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKET_BYTES_MAX: Final = 16 * 1024 * 1024
RECEIVE_MAXIMUM_DEFAULT: Final = 65_535
REFUSED: Final = 0x80
"""Reason codes from here on are refusals (2.4)."""
_SESSION_EXPIRY, _KEEP_ALIVE, _RECEIVE_MAXIMUM, _PACKET_MAXIMUM = 0x11, 0x13, 0x21, 0x27
_PUBLISH: Final = 3
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


@dataclass(frozen=True, slots=True)
class Hello:
    """What a CONNECT says (3.1).

    Attributes:
        client_id: names the session.
        user, password: None for none; the password is never printed.
        keepalive_s: the longest silence of ours.
        clean_start: whether a session that is there is thrown away.
        session_expiry_s: how long the session outlives the connection.
        receive_maximum: QoS 1 messages that the broker may have under way.
        packet_bytes_max: the largest packet that the broker may send.
    """

    client_id: str
    user: str | None
    password: str | None = field(repr=False)
    keepalive_s: int
    clean_start: bool = True
    session_expiry_s: int = 0
    receive_maximum: int = RECEIVE_MAXIMUM_DEFAULT
    packet_bytes_max: int = PACKET_BYTES_MAX


class Publish(NamedTuple):
    """A message from the broker.

    Attributes:
        topic: where it was published; bytes that are no UTF-8 are replaced, and fit no id of ours.
        payload: the bytes.
        flags: QoS in bits 0 and 1, 4 when retained: `Record.flags`.
        packet_id: 0 for QoS 0.
    """

    topic: str
    payload: bytes
    flags: int
    packet_id: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Any other packet: CONNACK, PUBACK, SUBACK, DISCONNECT ...

    Attributes:
        kind: its type, a number that may be unknown to `Kind`.
        packet_id: of PUBACK and SUBACK, 0 otherwise.
        reason: its reason code; the worst one of a SUBACK. `REFUSED` and above are refusals.
        receive_maximum: of a CONNACK: how many messages may be under way.
        keepalive_s: of a CONNACK: what the broker wants instead of ours (3.2.2.3.14), None: ours.
        session: of a CONNACK: whether the broker had a session of ours.
    """

    kind: int
    packet_id: int = 0
    reason: int = 0
    receive_maximum: int = RECEIVE_MAXIMUM_DEFAULT
    keepalive_s: int | None = None
    session: bool = False


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


def connect(hello: Hello) -> bytes:
    """CONNECT (3.1)."""
    secrets = [text for text in (hello.user, hello.password) if text is not None]
    flags = (
        (0x02 if hello.clean_start else 0)
        | (0x80 if hello.user is not None else 0)
        | (0x40 if hello.password is not None else 0)
    )
    properties = struct.pack(
        ">BIBHBI",
        *(_SESSION_EXPIRY, hello.session_expiry_s),
        *(_RECEIVE_MAXIMUM, hello.receive_maximum),
        *(_PACKET_MAXIMUM, hello.packet_bytes_max),
    )
    body = (
        _text("MQTT")
        + bytes((5, flags))
        + hello.keepalive_s.to_bytes(2, "big")
        + _varint(len(properties))
        + properties
        + b"".join(map(_text, [hello.client_id, *secrets]))
    )
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


def pubacks(packet_ids: Iterable[int]) -> bytes:
    """Many PUBACKs, success, in one piece."""
    return b"".join([b"\x40\x02" + number.to_bytes(2, "big") for number in packet_ids])


def subscribe(packet_id: int, filters: list[str], qos: int) -> bytes:
    """SUBSCRIBE (3.8); messages keep their retained flag."""
    options = bytes((qos | 0x08,))
    body = packet_id.to_bytes(2, "big") + b"\0"
    body += b"".join(_text(one) + options for one in filters)
    return b"\x82" + _varint(len(body)) + body


PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"
MALFORMED: Final = b"\xe0\x01\x81"
"""DISCONNECT with reason 0x81, malformed packet (3.14.2.1)."""


class PacketReader:
    """Cuts a byte stream into packets.

    Args:
        packet_bytes_max: a larger packet is an error, as soon as its length is known.
    """

    def __init__(self, packet_bytes_max: int = PACKET_BYTES_MAX) -> None:
        self._packet_bytes_max = packet_bytes_max
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._wanted_bytes = 0

    def feed(self, octets: bytes) -> list[Publish | Answer]:
        """Whole packets in what came so far. Raises a WireError when it is not MQTT 5."""
        self._rest.append(octets)
        self._rest_bytes += len(octets)
        if self._rest_bytes < self._wanted_bytes:  # of a large packet: nothing to look at yet
            return []
        data = b"".join(self._rest) if len(self._rest) > 1 else octets
        packets: list[Publish | Answer] = []
        try:
            at, self._wanted_bytes = self._cut(data, packets)
        except (IndexError, struct.error) as error:
            raise Malformed(f"no MQTT packet: {error}") from error
        self._rest_bytes = len(data) - at
        self._rest = [data[at:]] if self._rest_bytes else []
        return packets

    def _cut(self, data: bytes, packets: list[Publish | Answer]) -> tuple[int, int]:
        """Append whole packets; where the next one begins, and how long it is as far as known."""
        at, size = 0, len(data)
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length > 0x7F:
                found = _whole_length(data, at + 1)
                if found is None:
                    break
                length, start = found
            if length > self._packet_bytes_max:
                raise Oversize(f"a packet of {length} bytes")
            end = start + length
            if end > size:
                return at, end - at
            head = data[at]
            take = _publish if head >> 4 == _PUBLISH else _answer
            packets.append(take(head, data, start, end))
            at = end
        return at, 0


def _whole_length(data: bytes, at: int) -> tuple[int, int] | None:
    """As `_length`; None while its bytes are not all there."""
    part = data[at : at + 4]
    if len(part) < 4 and all(octet > 0x7F for octet in part):
        return None
    return _length(data, at)


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(length, offset behind it) of a variable byte integer (1.5.5)."""
    number = shift = 0
    while True:
        octet = data[at]
        at += 1
        number |= (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
        shift += 7
        if shift > 21:
            raise Malformed("a length of more than four bytes")


def _publish(head: int, data: bytes, start: int, end: int) -> Publish:
    """PUBLISH (3.3); its properties are passed over."""
    at = start + 2 + (data[start] << 8 | data[start + 1])
    topic = str(data[start + 2 : at], "utf-8", "replace")
    qos, number = head >> 1 & 3, 0
    if qos:
        number = data[at] << 8 | data[at + 1]
        at += 2
        if qos > 1 or not number:
            raise Malformed(f"a PUBLISH of QoS {qos} with the number {number}")
    length = data[at]
    length, at = (length, at + 1) if length < 0x80 else _length(data, at)
    at += length
    if at > end:
        raise Malformed("a PUBLISH that leaves its length")
    return Publish(topic, data[at:end], qos | (head & 1) << 2, number)


def _answer(head: int, data: bytes, start: int, end: int) -> Answer:
    kind, body = head >> 4, data[start:end]
    if kind == Kind.CONNACK:
        return _connack(body)
    if kind == Kind.PUBACK:
        return Answer(kind, body[0] << 8 | body[1], body[2] if len(body) > 2 else 0)
    if kind == Kind.SUBACK:
        length, at = _length(body, 2)
        return Answer(kind, body[0] << 8 | body[1], max(body[at + length :], default=0))
    if kind == Kind.DISCONNECT:
        return Answer(kind, 0, body[0] if body else 0)
    return Answer(kind)


def _connack(body: bytes) -> Answer:
    """CONNACK (3.2)."""
    told = _numbers(body[2:])
    return Answer(
        Kind.CONNACK,
        reason=body[1],
        receive_maximum=told.get(_RECEIVE_MAXIMUM, RECEIVE_MAXIMUM_DEFAULT),
        keepalive_s=told.get(_KEEP_ALIVE),
        session=bool(body[0] & 1),
    )


def _numbers(octets: bytes) -> dict[int, int]:
    """The properties that are numbers (2.2.2), by identifier."""
    length, at = _length(octets, 0) if octets else (0, 0)
    end = at + length
    found = {}
    while at < end:
        identifier, start = octets[at], at + 1
        at = _behind(octets, identifier, start)
        if _PROPERTY_SIZE[identifier] > 0:
            found[identifier] = int.from_bytes(octets[start:at], "big")
    return found


def _behind(octets: bytes, identifier: int, at: int) -> int:
    size = _PROPERTY_SIZE.get(identifier)
    if size is None:
        raise Malformed(f"an unknown property {identifier:#04x}")
    if size == -2:
        return _length(octets, at)[1]
    for _ in range(2 if size == -1 else 1 if size == 0 else 0):
        at += 2 + (octets[at] << 8 | octets[at + 1])
    return at + max(size, 0)
