"""The connection of a simulated radio to its broker, made again when it breaks.

Everything on the air is QoS 0 and may be lost, so nothing waits for a broker that is away: what is
sent meanwhile is gone, as on a radio. The messages of one turn leave in one write.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from typing import TYPE_CHECKING, cast

from meter_sim import mqtt5
from ohmesh.model.errors import OhmeshError, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ohmesh.wire.brokerurl import BrokerUrl

OUTGOING_BYTES_MAX = 1 << 20
"""What may wait for a socket that is full; later messages are lost."""
_KEEPALIVE_S = 10
_ANSWER_S = 5.0
_RETRY_S = (0.2, 0.5, 1.0, 2.0)
_SUBSCRIPTION = 1
_log = logging.getLogger(__name__)


class ConnectionBroken(OhmeshError):  # noqa: N818 - what it is
    """The connection to the broker could not be made, or has ended."""


class AirClient:
    """A process's connection to the broker of the air.

    Args:
        url: the broker.
        topics: filter -> QoS to subscribe to.
        hear: called for each message with topic and payload; what it raises ends `run`.
        greet: called after each connection.
    """

    def __init__(
        self,
        url: BrokerUrl,
        topics: Mapping[str, int],
        *,
        hear: Callable[[str, bytes], None],
        greet: Callable[[], None],
    ) -> None:
        self._url = url
        self._topics = topics
        self._hear = hear
        self._greet = greet
        self._session: _Session | None = None

    def send(self, topic: str, payload: bytes) -> None:
        """Publish when there is a connection; otherwise the message is lost."""
        if self._session:
            self._session.publish(topic, payload)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        failures = 0
        while True:
            try:
                await self._live()
            except ConnectionBroken as error:
                if self._session or not failures:
                    _log.warning("no broker at %s:%s: %s", self._url.host, self._url.port, error)
                failures = 0 if self._session else failures + 1
            finally:
                self._session = None
            await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])

    async def _live(self) -> None:
        """One connection, from the socket to its end. Raises ConnectionBroken."""
        loop, url = asyncio.get_running_loop(), self._url
        try:
            async with asyncio.timeout(_ANSWER_S):
                transport, session = await loop.create_connection(
                    lambda: _Session(self._hear), url.host, url.port
                )
        except (OSError, TimeoutError) as error:
            raise ConnectionBroken(str(error) or "it does not answer") from error
        try:
            await session.open(url, self._topics)
            self._session = session
            _log.info("connected to the broker at %s:%s", url.host, url.port)
            self._greet()
            await session.keep()
        finally:
            transport.close()


class _Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, hear: Callable[[str, bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self._hear = hear
        self._loop = loop
        self._incoming = mqtt5.Incoming()
        self._outgoing: list[bytes] = []
        self._heard_s = loop.time()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionBroken(str(exc or "the connection was closed")))

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        try:
            for packet in self._incoming.feed(data):
                self._take(packet)
        except WireError as error:
            self._end(ConnectionBroken(str(error)))
        except Exception as error:  # noqa: BLE001 - not ours to judge: `keep` raises it
            self._end(error)

    async def open(self, url: BrokerUrl, topics: Mapping[str, int]) -> None:
        """CONNECT and SUBSCRIBE, and wait for both answers. Raises ConnectionBroken."""
        name = f"ohmesh-{secrets.token_hex(8)}"
        self._transport.write(mqtt5.connect(name, _KEEPALIVE_S, url.user, url.password))
        self._transport.write(mqtt5.subscribe(_SUBSCRIPTION, topics))
        await asyncio.wait(
            {self._ready, self._ended}, timeout=_ANSWER_S, return_when=asyncio.FIRST_COMPLETED
        )
        if self._ended.done():
            self._ended.result()
        if not self._ready.done():
            raise ConnectionBroken("it does not answer")

    async def keep(self) -> None:
        """Ping the broker until the end. Raises ConnectionBroken, or what `hear` raised."""
        while True:
            await asyncio.wait({self._ended}, timeout=_KEEPALIVE_S / 2)
            if self._ended.done():
                self._ended.result()
            if self._loop.time() - self._heard_s > 2 * _KEEPALIVE_S:
                raise ConnectionBroken("the broker has fallen silent")
            self._transport.write(mqtt5.PING)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send at the end of this turn of the event loop."""
        if self._transport.get_write_buffer_size() > OUTGOING_BYTES_MAX:
            return
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(mqtt5.publish(topic, payload))

    def _flush(self) -> None:
        self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _take(self, packet: mqtt5.Packet) -> None:
        match packet:
            case mqtt5.Publish(topic, payload, packet_id):
                if packet_id is not None:
                    self._transport.write(mqtt5.puback(packet_id))
                self._hear(topic, payload)
            case mqtt5.Connack(reason) if reason >= mqtt5.FAILURE:
                self._end(ConnectionBroken(f"it refuses us, reason {reason:#04x}"))
            case mqtt5.Suback(reasons):
                self._subscribed(reasons)
            case mqtt5.Disconnect(reason):
                self._end(ConnectionBroken(f"it sent us away, reason {reason:#04x}"))

    def _subscribed(self, reasons: bytes) -> None:
        if any(reason >= mqtt5.FAILURE for reason in reasons):
            self._end(ConnectionBroken("it refuses a subscription"))
        elif not self._ready.done():
            self._ready.set_result(None)

    def _end(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
            self._ended.exception()  # somebody looks at it, or the connection is given up anyway
