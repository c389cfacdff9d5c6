"""The connection of a simulated radio to its broker; the only module here with an MQTT client.

Everything on the air is QoS 0 and may be lost, so nothing waits for a broker that is away: what is
sent meanwhile is gone, as on a radio, and old frames are not heard later (message expiry). The
client's own thread does the socket; what it hears is handed to the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections import deque
from typing import TYPE_CHECKING

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTMessageInfo,
    MQTTv5,
)
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paho.mqtt.reasoncodes import ReasonCode

    from ohmesh.wire.brokerurl import BrokerUrl

OUTGOING_MAX = 10_000
"""Messages that may wait for a socket that is full; later ones are lost."""
_KEEPALIVE_S = 10
_EXPIRY_S = 2
_RETRY_S = (1, 2)
_log = logging.getLogger(__name__)


class AirClient:
    """A process's connection to the broker of the air, made again when it breaks.

    Args:
        url: the broker.
        topics: filter -> QoS to subscribe to.
        hear: called in the event loop for each message with topic and payload; what it raises
            ends `run`.
        greet: called in the event loop after each connection.
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
        self._outgoing: deque[MQTTMessageInfo] = deque()
        self._heard: deque[tuple[str, bytes]] = deque()
        self._awaited = False
        self._loop: asyncio.AbstractEventLoop
        self._failed: asyncio.Future[None]
        self._properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's own
        self._properties.MessageExpiryInterval = _EXPIRY_S
        self._client = self._make_client()

    def send(self, topic: str, payload: bytes) -> None:
        """Publish when there is a connection; otherwise the message is lost."""
        while self._outgoing and self._outgoing[0].is_published():
            self._outgoing.popleft()
        if self._client.is_connected() and len(self._outgoing) < OUTGOING_MAX:
            sent = self._client.publish(topic, payload, properties=self._properties)
            self._outgoing.append(sent)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._failed = self._loop.create_future()
        self._client.connect_async(self._url.host, self._url.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()
        try:
            await self._failed
        finally:
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)

    def _make_client(self) -> Client:
        name = (
            f"ohmesh-{secrets.token_hex(8)}"  # a name that the broker gives us it may refuse later
        )
        client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTv5)
        client.username_pw_set(self._url.user, self._url.password)
        client.reconnect_delay_set(*_RETRY_S)
        client.on_socket_open = _without_delay
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _hear_all(self) -> None:
        self._awaited = False
        while self._heard:
            self._hear(*self._heard.popleft())

    def _start_anew(self) -> None:
        self._outgoing.clear()  # what the old connection did not send is lost
        self._greet()

    # What follows runs in the client's thread.

    def _on_connect(
        self,
        client: Client,
        _data: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            _log.warning("the broker at %s refuses us: %s", self._place, reason)
            return
        _log.info("connected to the broker at %s", self._place)
        client.subscribe(list(self._topics.items()))
        self._in_loop(self._start_anew)

    def _on_connect_fail(self, _client: Client, _data: object) -> None:
        _log.warning("no broker at %s", self._place)

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            _log.warning("the broker at %s is lost: %s", self._place, reason)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._heard.append((message.topic, bytes(message.payload)))
        if not self._awaited:
            # Waking the loop costs more than a message: where many come, once for all of them.
            self._awaited = True
            self._in_loop(self._hear_all)

    @property
    def _place(self) -> str:
        return f"{self._url.host}:{self._url.port}"

    def _in_loop(self, call: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(self._guarded, call, *arguments)

    def _guarded(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - not ours to judge: `run` raises it
            if not self._failed.done():
                self._failed.set_exception(error)


def _without_delay(_client: Client, _data: object, raw: object) -> None:
    if isinstance(raw, socket.socket):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
