"""One blocking connection to an MQTT 5 broker, at the speed of its socket."""

from __future__ import annotations

import secrets
import select
import socket
import time
from typing import TYPE_CHECKING

from ohmesh.model.errors import OhmeshError, WireError
from ohmesh.wire import mqtt5
from ohmesh.wire.mqtt5 import Answer, Kind, PacketReader, Publish

if TYPE_CHECKING:
    from ohmesh.wire.brokerurl import BrokerUrl

CONNECT_S = 5.0
_KEEPALIVE_S = 60
_PING_S = 20.0
_READ_BYTES = 1 << 18


class LinkError(OhmeshError):
    """The broker is not there, has gone, or refuses us."""


class MqttLink:
    """A connection; `queue` and `pump` until it raises LinkError.

    Attributes:
        receive_maximum: messages of QoS 1 that the broker lets be under way.
        queued_bytes: all bytes ever queued.
    """

    def __init__(self, url: BrokerUrl) -> None:
        """Connect. Raises LinkError."""
        self._place = f"{url.host}:{url.port}"
        try:
            self._socket = socket.create_connection((url.host, url.port), CONNECT_S)
        except OSError as error:
            raise LinkError(f"no broker at {self._place}: {error}") from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)  # noqa: FBT003 - the library's own signature
        self._outgoing = bytearray()
        self.queued_bytes = 0
        self._reader = PacketReader()
        self._spoke_s = time.monotonic()
        name = f"ohmesh-bench-{secrets.token_hex(6)}"
        self.queue(mqtt5.connect(mqtt5.Hello(name, url.user, url.password, _KEEPALIVE_S)))
        answer = self.expect(Kind.CONNACK)
        self.receive_maximum = answer.receive_maximum

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the socket has not taken yet."""
        return len(self._outgoing)

    def queue(self, octets: bytes) -> None:
        """Send with the next `pump`."""
        self._outgoing += octets
        self.queued_bytes += len(octets)

    def pump(self, wait_s: float) -> list[Publish | Answer]:
        """Send what is queued, and wait for packets. Raises LinkError."""
        self._keep_alive()
        writers = [self._socket] if self._outgoing else []
        try:
            readable, writable, _ = select.select([self._socket], writers, [], wait_s)
            if writable:
                del self._outgoing[: self._socket.send(self._outgoing)]
                self._spoke_s = time.monotonic()
            return self._receive() if readable else []
        except (OSError, ValueError, WireError) as error:
            raise LinkError(f"the broker at {self._place} is lost: {error}") from None

    def expect(self, kind: Kind) -> Answer:
        """Wait for an answer. Raises LinkError when it is a refusal or does not come."""
        deadline = time.monotonic() + CONNECT_S
        while (left_s := deadline - time.monotonic()) > 0:
            for packet in self.pump(left_s):
                if isinstance(packet, Answer) and packet.kind == kind:
                    if packet.reason >= 0x80:
                        raise LinkError(f"the broker at {self._place} refuses: {packet.reason:#x}")
                    return packet
        raise LinkError(f"the broker at {self._place} does not answer")

    def close(self) -> None:
        """Say good-bye and close."""
        try:
            self._socket.setblocking(True)  # noqa: FBT003 - the library's own signature
            self._socket.settimeout(CONNECT_S)
            self._socket.sendall(bytes(self._outgoing) + mqtt5.DISCONNECT)
        except OSError:
            pass  # it has gone before us
        self._socket.close()

    def abandon(self) -> None:
        """Close without a word."""
        self._socket.close()

    def _receive(self) -> list[Publish | Answer]:
        octets = self._socket.recv(_READ_BYTES)
        if not octets:
            raise LinkError(f"the broker at {self._place} has closed the connection")
        found = self._reader.feed(octets)
        for packet in found:
            if isinstance(packet, Answer) and packet.kind == Kind.DISCONNECT:
                raise LinkError(f"the broker at {self._place} sends us away: {packet.reason:#x}")
        return found

    def _keep_alive(self) -> None:
        now_s = time.monotonic()
        if now_s - self._spoke_s > _PING_S:
            self.queue(mqtt5.PINGREQ)
            self._spoke_s = now_s
