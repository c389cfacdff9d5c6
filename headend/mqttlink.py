"""One connection to an MQTT 5 broker, without its socket: bytes in, deliveries and bytes out.

A message of QoS 1 is acknowledged only when `acknowledge` names it, in the order of arrival, which
its caller keeps (OASIS MQTT 5.0, 4.6). A packet identifier belongs to one connection (2.2.1), so
every delivery carries its connection's number. The broker's Receive Maximum is kept (3.3.4):
messages of ours beyond it wait here.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from ohmesh.model.errors import Malformed, OhmeshError
from ohmesh.wire import mqtt5
from ohmesh.wire.mqtt5 import Answer, Kind, PacketReader, Publish

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_log = logging.getLogger(__name__)
ANSWER_S: Final = 10.0
"""How long a broker may take to answer CONNECT and SUBSCRIBE."""
_SUBSCRIBE_ID: Final = 65_535
"""Numbers of messages of ours stay below it."""


class Delivery(NamedTuple):
    """One message from the broker.

    Attributes:
        topic: where it was published.
        payload: the bytes.
        mid: its packet identifier, 0 for QoS 0.
        connection: number of the connection that it came on.
    """

    topic: str
    payload: bytes
    mid: int = 0
    connection: int = 0


class LinkError(OhmeshError):
    """The connection is over; its text says why."""


class Link:
    """A connection's state. It is given the time: seconds of a clock that never goes back.

    Args:
        hello: what we say first.
        subscriptions: filters, QoS 1.
        number: of the connection.
        now_s: when it was opened.

    Attributes:
        outgoing: bytes for the socket; what was sent is removed by the caller.
        ready: the broker has accepted us and our subscriptions.
    """

    def __init__(
        self, hello: mqtt5.Hello, subscriptions: Sequence[str], *, number: int, now_s: float
    ) -> None:
        self.number = number
        self.outgoing = bytearray(mqtt5.connect(hello))
        self.ready = False
        self._accepted = False
        self._subscriptions = list(subscriptions)
        self._reader = PacketReader(hello.packet_bytes_max)
        self._keepalive_s = float(hello.keepalive_s)
        self._opened_s = self._heard_s = self._pinged_s = now_s
        self._room = 0
        self._last_id = 0
        self._under_way: set[int] = set()
        self._waiting: deque[tuple[int, bytes]] = deque()

    @property
    def unsettled(self) -> int:
        """Messages of ours of QoS 1 that the broker has not acknowledged."""
        return len(self._under_way) + len(self._waiting)

    def receive(self, octets: bytes, now_s: float) -> list[Delivery]:
        """The messages in what the broker sent. Raises WireError, LinkError."""
        self._heard_s = now_s
        deliveries = []
        for packet in self._reader.feed(octets):
            if type(packet) is Publish:
                topic, payload, _, mid = packet
                deliveries.append(Delivery(topic, payload, mid, self.number))
            elif isinstance(packet, Answer):
                self._answered(packet)
        if deliveries and not self._accepted:
            raise Malformed("a message before CONNACK")  # 3.2: the first packet is CONNACK
        return deliveries

    def acknowledge(self, mids: Iterable[int]) -> None:
        """PUBACK of deliveries of this connection, in this order."""
        self.outgoing += mqtt5.pubacks(mids)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0) -> None:
        """PUBLISH, QoS 0 or 1."""
        if not qos:
            self.outgoing += mqtt5.publish(topic.encode(), payload, 0, 0)
            return
        self._last_id = self._last_id % (_SUBSCRIBE_ID - 1) + 1
        packet = mqtt5.publish(topic.encode(), payload, 1, self._last_id)
        self._waiting.append((self._last_id, packet))
        self._send_waiting()

    def due(self, now_s: float, *, listening: bool = True) -> float:
        """Do what is due; seconds until it wants to be asked again.

        Args:
            now_s: the time.
            listening: whether what the broker sends is read at present.

        Raises: LinkError: the broker does not answer.
        """
        if not self.ready and now_s - self._opened_s > ANSWER_S:
            raise LinkError("it does not answer")
        if not listening:
            self._heard_s = now_s  # whoever does not listen cannot say that nobody speaks
        if now_s - self._heard_s > 1.5 * self._keepalive_s:
            raise LinkError(f"nothing was heard for {now_s - self._heard_s:.0f} s")
        pause_s = self._keepalive_s / 2
        if self._accepted and now_s - self._pinged_s >= pause_s:  # 3.1.2.10
            self._pinged_s = now_s
            self.outgoing += mqtt5.PINGREQ
        return pause_s if self.ready else 1.0

    def _answered(self, answer: Answer) -> None:
        match answer.kind:
            case Kind.CONNACK:
                self._accept(answer)
            case Kind.SUBACK:
                self._subscribed(answer)
            case Kind.PUBACK:
                self._under_way.discard(answer.packet_id)
                self._send_waiting()
            case Kind.DISCONNECT:
                raise LinkError(f"it sends us away, reason {answer.reason:#04x}")

    def _accept(self, answer: Answer) -> None:
        if answer.reason >= mqtt5.REFUSED:
            raise LinkError(f"it refuses us, reason {answer.reason:#04x}")
        _log.info("connected to the broker, session present: %s", answer.session)
        self._accepted = True
        self._room = min(answer.receive_maximum, _SUBSCRIBE_ID - 1)
        if answer.keepalive_s is not None:
            self._keepalive_s = float(answer.keepalive_s) or self._keepalive_s
        if self._subscriptions:
            self.outgoing += mqtt5.subscribe(_SUBSCRIBE_ID, self._subscriptions, 1)
        else:
            self.ready = True

    def _subscribed(self, answer: Answer) -> None:
        if answer.reason >= mqtt5.REFUSED:
            _log.error("the broker refuses a subscription, reason %#04x", answer.reason)
        self.ready = True

    def _send_waiting(self) -> None:
        while self._waiting and len(self._under_way) < self._room:
            number, packet = self._waiting.popleft()
            self._under_way.add(number)
            self.outgoing += packet
