"""The head-end's only door to MQTT: one client with acknowledgement by hand.

paho acknowledges nothing by itself here (`manual_ack`): a message is acknowledged when what it
says is committed. A packet identifier belongs to one connection, so every delivery remembers its
connection, and an acknowledgement for an earlier one is not sent: the broker delivers again.
"""

from __future__ import annotations

import logging
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ohmesh.model.errors import ConfigError
from ohmesh.wire.envelope import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)
KEEPALIVE_S: Final = 30
SESSION_EXPIRY_S: Final = 24 * 3600
RECONNECT_S_MAX: Final = 30
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message from the broker.

    Attributes:
        topic: where it was published; empty when that is no text.
        payload: the bytes.
        mid: its packet identifier, 0 for QoS 0.
        connection: number of the connection that it came on.
    """

    topic: str
    payload: bytes
    mid: int = 0
    connection: int = 0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files in PEM for `mqtts://`: whom to trust, and who we are; None: the system's, nobody."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Raises ConfigError."""
        try:
            found = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                found.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"the broker's TLS files: {error}") from error
        return found


class MqttClient:
    """A reconnecting MQTT 5 client.

    Args:
        url: `mqtt[s]://[user:password@]host[:port]`.
        client_id: names the broker's session for us; two clients never share one.
        subscriptions: filters, QoS 1; made again after every connect.
        receive: gets each delivery, on the client's thread: it must only enqueue. None: nothing.
        receive_maximum: unacknowledged messages that the broker may have under way.
        tls: for `mqtts://`.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        subscriptions: Sequence[str] = (),
        receive: Callable[[Delivery], None] | None = None,
        receive_maximum: int = 64,
        tls: TlsFiles | None = None,
    ) -> None:
        self._tls = tls or TlsFiles()
        self._place = urlsplit(url)
        if self._place.scheme not in _PORTS or not self._place.hostname:
            raise ConfigError("the broker's url is not of the form mqtt://host:port")
        self._subscriptions = [(topic, 1) for topic in subscriptions]
        self._receive = receive
        self._receive_maximum = receive_maximum
        self._connection = 0
        self._connected = threading.Event()
        self._client = self._make(client_id)

    def _make(self, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        if self._place.username:
            client.username_pw_set(
                unquote(self._place.username), unquote(self._place.password or "")
            )
        if self._place.scheme == "mqtts":
            client.tls_set_context(self._tls.context())
        client.reconnect_delay_set(min_delay=1, max_delay=RECONNECT_S_MAX)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def start(self) -> None:
        """Connect in the background and keep connected."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S if self._subscriptions else 0
        properties.ReceiveMaximum = self._receive_maximum
        properties.MaximumPacketSize = 2 * MAX_BODY_BYTES
        self._client.connect_async(
            self._place.hostname or "",
            self._place.port or _PORTS[self._place.scheme],
            keepalive=KEEPALIVE_S,
            clean_start=not self._subscriptions,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end the client's thread; the session stays at the broker."""
        self._connected.clear()
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Whether the broker has us now."""
        return self._connected.is_set()

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for the connection; False when it did not come."""
        return self._connected.wait(timeout_s)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """Publish; False when there is no connection: whoever needs it sends again."""
        if not self.connected:
            return False
        sent = self._client.publish(topic, payload, qos=qos)
        return sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def acknowledge(self, connection: int, mid: int) -> None:
        """PUBACK of a delivery; nothing for QoS 0 and for one of an earlier connection."""
        if mid and connection == self._connection:
            self._client.ack(mid, 1)

    def _on_connect(self, client: Client, _data: Any, flags: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            _log.error("the broker refuses us: %s", reason)
            return
        self._connection += 1
        _log.info("connected to the broker, session present: %s", flags.session_present)
        if self._subscriptions:
            client.subscribe(self._subscriptions)
        self._connected.set()

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        _log.warning("the broker at %s cannot be reached; trying again", self._place.hostname)

    def _on_disconnect(self, _c: Client, _d: Any, _flags: Any, reason: Any, _p: Any) -> None:
        if self._connected.is_set():
            _log.warning("lost the broker: %s", reason)
        self._connected.clear()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self._receive is None:
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        mid = message.mid if message.qos else 0
        self._receive(Delivery(topic, bytes(message.payload), mid, self._connection))
