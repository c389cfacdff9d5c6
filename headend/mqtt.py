"""The head-end's only door to MQTT: one client with acknowledgement by hand.

One thread owns the socket. Others add to what is to be sent and wake it. It reads while there is
room for what it reads, hands over all messages of one read at once, and goes on pinging while
there is none: a slow database is felt by the broker, and costs neither memory nor the connection.
"""

from __future__ import annotations

import contextlib
import logging
import random
import select
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from headend.mqttlink import Delivery, Link, LinkError
from ohmesh.model.errors import ConfigError, WireError
from ohmesh.program.backoff import Backoff
from ohmesh.wire import mqtt5
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.envelope import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["Delivery", "MqttClient", "TlsFiles"]
_log = logging.getLogger(__name__)
KEEPALIVE_S: Final = 30
SESSION_EXPIRY_S: Final = 24 * 3600
RECONNECT_S_MAX: Final = 30
OUTGOING_BYTES_MAX: Final = 32 * 1024 * 1024
"""What may wait for a broker that takes nothing; beyond it a publish is refused."""
_DIAL_S: Final = 5.0
_GOODBYE_S: Final = 2.0
_READ_BYTES: Final = 256 * 1024
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_LOOK_S: Final = 0.02
"""How often it looks for room while there is none."""


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


class Bell:
    """Wakes a thread that waits for sockets; its sockets are there within a `with` block."""

    def __init__(self) -> None:
        self._ends: tuple[socket.socket, ...] = ()

    def __enter__(self) -> Self:
        self._ends = socket.socketpair()
        for end in self._ends:
            end.setblocking(False)  # noqa: FBT003 - the library's own signature
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()

    def fileno(self) -> int:
        """For `poll`."""
        return self._ends[0].fileno()

    def ring(self) -> None:
        """Wake it."""
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: nobody waits
            for end in self._ends[1:]:
                end.send(b"\0")

    def silence(self) -> None:
        """Forget what rang."""
        with contextlib.suppress(BlockingIOError):
            self._ends[0].recv(4096)


class MqttClient:
    """A reconnecting MQTT 5 client.

    Args:
        url: `mqtt[s]://[user:password@]host[:port]`.
        client_id: names the broker's session for us; two clients never share one.
        subscriptions: filters, QoS 1; made again after every connect.
        receive: gets deliveries, in their order, on the client's thread: it must only enqueue.
        room: whether there is room for more of them.
        receive_maximum: unacknowledged messages that the broker may have under way.
        tls: for `mqtts://`.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        subscriptions: Sequence[str] = (),
        receive: Callable[[list[Delivery]], None] = lambda _: None,
        room: Callable[[], bool] = lambda: True,
        receive_maximum: int = 64,
        tls: TlsFiles | None = None,
    ) -> None:
        self._place = BrokerUrl.parse(url)
        self._tls = (tls or TlsFiles()).context() if self._place.tls else None
        self._subscriptions = subscriptions
        self._receive = receive
        self._room = room
        self._hello = mqtt5.Hello(
            client_id,
            self._place.user,
            self._place.password,
            KEEPALIVE_S,
            clean_start=not subscriptions,
            session_expiry_s=SESSION_EXPIRY_S if subscriptions else 0,
            receive_maximum=receive_maximum,
            packet_bytes_max=2 * MAX_BODY_BYTES,
        )
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._connections = 0
        self._connected = threading.Event()
        self._stopped = threading.Event()
        self._bell = Bell()
        # A daemon: a program that fails before it says `stop` is not held by a broker.
        self._thread = threading.Thread(target=self._run, name=client_id, daemon=True)

    def start(self) -> None:
        """Connect in the background and keep connected."""
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, disconnect and end the thread; the session stays at the broker."""
        self._stopped.set()
        self._bell.ring()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def connected(self) -> bool:
        """Whether the broker has us, and our subscriptions, now."""
        return self._connected.is_set()

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for the connection; False when it did not come."""
        return self._connected.wait(timeout_s)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """Publish; False when there is no connection: whoever needs it sends again."""
        with self._lock:
            link = self._link
            if link is None or not link.ready or len(link.outgoing) > OUTGOING_BYTES_MAX:
                return False
            link.publish(topic, payload, qos=qos)
        self._bell.ring()
        return True

    @property
    def unsettled(self) -> int:
        """Messages published with QoS 1 that the broker has not acknowledged yet."""
        with self._lock:
            return self._link.unsettled if self._link else 0

    def acknowledge(self, places: Sequence[tuple[int, int]]) -> None:
        """PUBACK of deliveries by (connection, mid); none for one of an earlier connection."""
        with self._lock:
            if (link := self._link) is None:
                return
            link.acknowledge(mid for connection, mid in places if connection == link.number)
        self._bell.ring()

    def _run(self) -> None:
        # One client is no herd, and everybody waits for it: a second of health is enough.
        backoff = Backoff(random.random, cap_s=RECONNECT_S_MAX, healthy_s=1.0)
        place = self._place.address
        with self._bell:
            while not self._stopped.is_set():
                begun_s = time.monotonic()
                try:
                    self._serve()
                except (OSError, UnicodeError, WireError, LinkError) as error:
                    _log.warning(
                        "no connection to the broker at %s: %s; trying again", place, error
                    )
                except Exception:  # noqa: BLE001 - the supervisor: what was not taken comes again
                    _log.exception("the connection to the broker failed; trying again")
                self._stopped.wait(backoff.failed(time.monotonic() - begun_s))

    def _serve(self) -> None:
        """One connection, to its end. Raises OSError, WireError, LinkError."""
        with self._dial() as peer:
            self._connections += 1
            link = Link(
                self._hello, self._subscriptions, number=self._connections, now_s=time.monotonic()
            )
            with self._lock:
                self._link = link
            try:
                self._pump(peer, link)
                self._say_goodbye(peer, bytes(link.outgoing) + mqtt5.DISCONNECT)
            except WireError:
                self._say_goodbye(peer, mqtt5.MALFORMED)
                raise
            finally:
                self._connected.clear()
                with self._lock:
                    self._link = None

    def _dial(self) -> socket.socket:
        host, port = self._place.host, self._place.port
        peer = socket.create_connection((host, port), _DIAL_S)
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_hostname=host)
            peer.setblocking(False)  # noqa: FBT003 - the library's own signature
        except OSError:
            peer.close()
            raise
        return peer

    def _pump(self, peer: socket.socket, link: Link) -> None:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        poll.register(peer, 0)
        while not self._stopped.is_set():
            listening = self._room()
            with self._lock:
                wait_s = link.due(time.monotonic(), listening=listening)
                writes = select.POLLOUT if link.outgoing else 0
            held = isinstance(peer, ssl.SSLSocket) and peer.pending() > 0  # poll does not see it
            wait_s = _LOOK_S if not listening else 0 if held else wait_s
            poll.modify(peer, writes | (select.POLLIN if listening else 0))
            ready = dict(poll.poll(1000 * wait_s))
            self._bell.silence()
            events = ready.get(peer.fileno(), 0)
            if events & select.POLLOUT:
                self._write(peer, link)
            if listening and (held or events & ~select.POLLOUT):
                self._read(peer, link)
            elif events & (select.POLLERR | select.POLLHUP):
                raise LinkError("it has closed the connection")

    def _write(self, peer: socket.socket, link: Link) -> None:
        with self._lock, contextlib.suppress(*_NOT_NOW):
            del link.outgoing[: peer.send(link.outgoing)]

    def _read(self, peer: socket.socket, link: Link) -> None:
        try:
            octets = peer.recv(_READ_BYTES)
        except _NOT_NOW:
            return
        if not octets:
            raise LinkError("it has closed the connection")
        with self._lock:
            deliveries = link.receive(octets, time.monotonic())
        if link.ready and not self._connected.is_set():
            self._connected.set()
        if deliveries:
            self._receive(deliveries)

    @staticmethod
    def _say_goodbye(peer: socket.socket, octets: bytes) -> None:
        with contextlib.suppress(OSError):  # it has gone before us
            peer.settimeout(_GOODBYE_S)
            peer.sendall(octets)
            end_s = time.monotonic() + _GOODBYE_S
            while peer.recv(_READ_BYTES) and time.monotonic() < end_s:
                pass  # it closes when it has read all of ours (3.14.4)
