"""MQTT 5 for the gateway: one connection that comes back for ever. The only user of aiomqtt.

A broker is trusted for nothing but delivery: sessions are clean, subscriptions are QoS 0 and what
arrives too fast is dropped, because everything that matters is sent again by its owner.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.identity import refusal
from ohmesh.model.errors import ConfigError, OhmeshError
from ohmesh.program.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ohmesh.wire.brokerurl import BrokerUrl

_log = logging.getLogger(__name__)
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.setLevel(logging.CRITICAL)  # it writes a line an attempt, we one a loss

_KEEP_ALIVE_S = 30
_PUBLISH_TIMEOUT_S = 120.0
"""A full batch on a line of 9.6 kbit/s takes about a minute."""
_GOODBYE_S = 1.0
_INCOMING_MAX = 2000
"""Messages that may wait for us; more are dropped with a log line."""
_PACKET_BYTES_MAX = 1024 * 1024
_AT_ONCE = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
"""Otherwise the end of a batch waits until the broker has confirmed its beginning."""
_REFUSED = 128
_SPREAD = 4
"""The first pause after a healthy connection is at most the longest one divided by this."""


class LinkError(OhmeshError):
    """The connection is down, or the broker did not take the message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """What one connection is for.

    Attributes:
        brokers: where to connect: the next one after each failure, in a circle.
        client_id: unique at the broker.
        topics: what to hear, with QoS 0.
        on_message: gets each message; must not block and must not raise.
        on_change: told True after each connection, False after each loss.
        birth: published first on each connection.
        will: published by the broker when the connection breaks; made anew for each connection.
        context: how to speak TLS where an address wants it; made anew for each connection.
    """

    brokers: Sequence[BrokerUrl]
    client_id: str
    topics: Sequence[str]
    on_message: Callable[[str, bytes], None]
    on_change: Callable[[bool], None]
    birth: Callable[[], Message] | None = None
    will: Callable[[], Message] | None = None
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context


def spread(cap_s: float, chance: Callable[[], float] = random.random) -> Backoff:
    """Pauses that spread a fleet: a broker that was started again meets no herd (ADR 0034).

    Args: cap_s: longest pause. chance: random numbers, 0 <= x < 1.
    """
    return Backoff(chance, base_s=cap_s / _SPREAD, cap_s=cap_s)


class Link:
    """One connection, kept up until its task is cancelled."""

    def __init__(self, settings: LinkSettings, backoff: Backoff) -> None:
        self._settings = settings
        self._backoff = backoff
        self._client: aiomqtt.Client | None = None
        self._quiet: set[BrokerUrl] = set()
        self._turn = 0
        self._patience: set[asyncio.Timeout] = set()

    @property
    def _broker(self) -> BrokerUrl:
        return self._settings.brokers[self._turn % len(self._settings.brokers)]

    @property
    def up(self) -> bool:
        """True while connected and subscribed."""
        return self._client is not None

    async def publish(self, message: Message) -> None:
        """Publish; with QoS 1 until the broker has taken it. Raises LinkError."""
        if self._client is None:
            raise LinkError("no connection to the broker")
        try:
            async with asyncio.timeout(None) as patience:
                self._patience.add(patience)
                await _publish(self._client, message)
        except TimeoutError:
            raise LinkError("the connection broke") from None
        finally:
            self._patience.discard(patience)

    async def run(self) -> None:
        """Connect, hear, and connect again, for ever."""
        while True:
            connected_at_s: float | None = None
            try:
                async with self._new_client() as client:
                    connected_at_s = time.monotonic()
                    await self._serve(client)
            except (aiomqtt.MqttError, LinkError, ConfigError) as error:
                _cancel_if_asked(error)
                await self._lost(error)
                self._turn += 1
            held_s = 0.0 if connected_at_s is None else time.monotonic() - connected_at_s
            await asyncio.sleep(self._backoff.failed(held_s))

    async def _serve(self, client: aiomqtt.Client) -> None:
        try:
            for topic in self._settings.topics:
                await _subscribe(client, topic)
            if self._settings.birth:
                await _publish(client, self._settings.birth())
            self._connected(client)
            async for message in client.messages:
                if isinstance(message.payload, bytes):
                    self._settings.on_message(message.topic.value, message.payload)
        finally:
            client.timeout = _GOODBYE_S
            if self._client is not None:
                self._client = None
                for patience in self._patience:  # the library would wait for an answer
                    patience.reschedule(0)
                self._settings.on_change(False)  # noqa: FBT003 - up or down

    def _new_client(self) -> aiomqtt.Client:
        broker, will = self._broker, self._settings.will
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = _PACKET_BYTES_MAX
        client = aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.user,
            password=broker.password,
            identifier=self._settings.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            properties=properties,
            tls_context=self._settings.context() if broker.tls else None,
            logger=_library_log,
            keepalive=_KEEP_ALIVE_S,
            socket_options=_AT_ONCE,
            will=_will(will()) if will else None,
            max_queued_incoming_messages=_INCOMING_MAX,
        )
        # Cut and ended at once, nobody reads why, and asyncio would report it as forgotten.
        client._disconnected.add_done_callback(_heard)  # noqa: SLF001 - there is no public word
        return client

    def _connected(self, client: aiomqtt.Client) -> None:
        self._client = client
        self._quiet.clear()
        _log.info("%s: connected to %s", self._settings.client_id, self._broker.address)
        self._settings.on_change(True)  # noqa: FBT003 - up or down

    async def _lost(self, error: Exception) -> None:
        """One line when a broker is lost, none while it stays away."""
        broker = self._broker
        if broker not in self._quiet:
            why = await explain(broker, self._settings.context, error)
            client = self._settings.client_id
            _log.warning("%s: the broker %s is lost: %s", client, broker.address, why)
        self._quiet.add(broker)


def _cancel_if_asked(error: Exception | None = None) -> None:
    """Raise a cancellation that got lost.

    A farewell that fails raises its error in the place of the cancellation around it, and
    `asyncio.wait_for` before Python 3.12 may return a result in its place.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error


def _heard(ended: asyncio.Future[None]) -> None:
    if not ended.cancelled():
        ended.exception()


def _will(message: Message) -> aiomqtt.Will:
    return aiomqtt.Will(message.topic, message.payload, message.qos, message.retain)


async def _subscribe(client: aiomqtt.Client, topic: str) -> None:
    codes = await client.subscribe(topic, qos=0)
    _cancel_if_asked()
    for code in codes:
        value = code if isinstance(code, int) else code.value
        if value >= _REFUSED:
            raise LinkError(f"the broker refuses the subscription {topic}: {code}")


async def _publish(client: aiomqtt.Client, message: Message) -> None:
    try:
        await client.publish(
            message.topic,
            message.payload,
            qos=message.qos,
            retain=message.retain,
            timeout=_PUBLISH_TIMEOUT_S,
        )
    except (aiomqtt.MqttError, ValueError) as error:
        _cancel_if_asked(error)
        raise LinkError(f"not published: {error}") from error
    _cancel_if_asked()


async def explain(
    broker: BrokerUrl, context: Callable[[], ssl.SSLContext], error: Exception
) -> str:
    """What is wrong, in words that say what to do where TLS is the reason."""
    if isinstance(error, ConfigError) or not broker.tls:
        return str(error)
    return await refusal(broker, context(), datetime.now(UTC)) or str(error)


async def reachable(
    broker: BrokerUrl,
    client_id: str,
    *,
    timeout_s: float,
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
) -> str | None:
    """Connect once; None when it works, otherwise what is wrong."""
    try:
        async with aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.user,
            password=broker.password,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            timeout=timeout_s,
            tls_context=context() if broker.tls else None,
            logger=_library_log,
        ):
            return None
    except (aiomqtt.MqttError, ConfigError) as error:
        return await explain(broker, context, error)
