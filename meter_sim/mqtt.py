"""The only module here that knows an MQTT client: one connection, made again when it breaks.

Everything on the air is QoS 0 and may be lost, so nothing waits for a broker that is away: what is
sent meanwhile is gone, as on a radio, and old frames are not heard later (message expiry).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from typing import TYPE_CHECKING

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ohmesh.wire.brokerurl import BrokerUrl

OUTGOING_MAX = 10_000
"""Messages that may wait for the socket; later ones are lost."""
_EXPIRY_S = 2
_RETRY_S = (0.2, 0.5, 1.0, 2.0)
_log = logging.getLogger(__name__)


class AirClient:
    """A process's connection to the broker of the air.

    Args:
        url: the broker.
        topics: filter -> QoS to subscribe to.
        hear: called for each message with topic and payload.
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
        self._outgoing: deque[tuple[str, bytes]] = deque()
        self._wanted = asyncio.Event()
        self._connected = False

    def send(self, topic: str, payload: bytes) -> None:
        """Publish when there is a connection; otherwise the message is lost."""
        if self._connected and len(self._outgoing) < OUTGOING_MAX:
            self._outgoing.append((topic, payload))
            self._wanted.set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        failures = 0
        while True:
            try:
                await self._session()
            except* aiomqtt.MqttError as group:
                if self._connected or failures == 0:
                    _log.warning("no broker at %s: %s", self._place, group.exceptions[0])
                failures = 0 if self._connected else failures + 1
            finally:
                self._connected = False
                self._outgoing.clear()
            await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])

    @property
    def _place(self) -> str:
        return f"{self._url.host}:{self._url.port}"

    async def _session(self) -> None:
        async with asyncio.TaskGroup() as tasks, self._client() as client:
            for topic, qos in self._topics.items():
                await client.subscribe(topic, qos)
            self._connected = True
            _log.info("connected to the broker at %s", self._place)
            self._greet()
            sender = tasks.create_task(self._send_all(client), name="air out")
            try:
                async for message in client.messages:
                    if isinstance(message.payload, bytes):
                        self._hear(message.topic.value, message.payload)
            finally:
                sender.cancel()

    async def _send_all(self, client: aiomqtt.Client) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = _EXPIRY_S
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._outgoing:
                topic, payload = self._outgoing.popleft()
                await client.publish(topic, payload, properties=properties)

    def _client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._url.host,
            self._url.port,
            username=self._url.user,
            password=self._url.password,
            protocol=aiomqtt.ProtocolVersion.V5,
            keepalive=10,
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )
