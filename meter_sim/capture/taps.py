"""Where a recorder listens: a broker's topics, a bench port's TCP stream, a serial line.

A tap in a byte stream stands between the two sides and hands everything on at once; what it hears
is recorded with the moment at which it came.
"""

from __future__ import annotations

import os
import select
import socket
import termios
import time
import tty
from typing import TYPE_CHECKING, Protocol

from meter_sim.capture.record import BENCH, MQTT, SERIAL, Record
from meter_sim.replay.link import LinkError, MqttLink
from ohmesh.model.errors import ConfigError
from ohmesh.wire import mqtt5
from ohmesh.wire.mqtt5 import Kind, Publish

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ohmesh.wire.brokerurl import BrokerUrl

_READ_BYTES = 1 << 16
_LINE_BYTES_MAX = 1 << 20


class Tap(Protocol):
    """A place to listen at."""

    def descriptors(self) -> list[int]:
        """What to wait for; may change after each `read`."""
        ...

    def read(self) -> list[Record]:
        """What has come, after a wait. Raises LinkError when the place has gone."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class MqttTap:
    """Topics of a broker, at QoS 0 or 1.

    QoS 0 loses least: brokers bound what waits for an acknowledgement (Mosquitto: 20 messages under
    way and 1000 behind them) and drop the rest, while QoS 0 waits in the socket.
    """

    def __init__(self, url: BrokerUrl, filters: list[str], qos: int) -> None:
        """Subscribe. Raises LinkError when the broker refuses."""
        self._link = MqttLink(url)
        self._link.queue(mqtt5.subscribe(1, filters, qos))
        self._link.expect(Kind.SUBACK)

    def descriptors(self) -> list[int]:
        """The socket."""
        return [self._link.fileno()]

    def read(self) -> list[Record]:
        """Messages, and an acknowledgement for each of QoS 1."""
        at_us = now_us()
        found = []
        for packet in self._link.pump(0):
            if not isinstance(packet, Publish):
                continue
            if packet.packet_id:
                self._link.queue(mqtt5.puback(packet.packet_id))
            channel = f"{MQTT} {packet.topic}"
            found.append(Record(at_us, channel, packet.payload, packet.flags))
        if self._link.waiting_bytes:
            self._link.pump(0)
        return found

    def close(self) -> None:
        """Leave the broker."""
        self._link.close()


class SerialTap:
    """Between a serial device and the program that reads it.

    Attributes:
        path: the pty that the program is to open instead of the device.
    """

    def __init__(self, device: Path) -> None:
        """Raises ConfigError when the device does not open."""
        try:
            self._device = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise ConfigError(f"the serial line {device}: {error.strerror}") from error
        if os.isatty(self._device):
            tty.setraw(self._device, termios.TCSANOW)
        self._program, self._slave = os.openpty()
        tty.setraw(self._slave, termios.TCSANOW)
        os.set_blocking(self._program, False)
        self.path = os.ttyname(self._slave)
        self._name = str(device)

    def descriptors(self) -> list[int]:
        """Device and program."""
        return [self._device, self._program]

    def read(self) -> list[Record]:
        """What the meter said, and, as channel `NAME tx`, what the program asked."""
        ways = (
            (self._device, self._program, self._name),
            (self._program, self._device, f"{self._name} tx"),
        )
        found = []
        for source, sink, name in ways:
            octets = _read(source)
            if octets:
                found.append(Record(now_us(), f"{SERIAL} {name}", octets))
                _write(sink, octets)
        return found

    def close(self) -> None:
        """Close device and pty."""
        for line in (self._device, self._program, self._slave):
            os.close(line)


def _read(line: int) -> bytes:
    try:
        return os.read(line, _READ_BYTES)
    except BlockingIOError:
        return b""
    except OSError as error:
        raise LinkError(f"the serial line is gone: {error.strerror}") from None


def _write(line: int, octets: bytes) -> None:
    """Hand on; a program that does not read loses what its pty cannot hold, as with a real UART."""
    try:
        os.write(line, octets)
    except BlockingIOError:
        return


class BenchTap:
    """Between a test bench and a gateway's bench port: each line is a record.

    Attributes:
        port: where the bench is to connect instead.
    """

    def __init__(self, listen_port: int, host: str, port: int) -> None:
        """Raises ConfigError when the listening port is taken."""
        self._gateway = (host, port)
        try:
            self._server = socket.create_server(("127.0.0.1", listen_port))
        except OSError as error:
            raise ConfigError(f"cannot listen on port {listen_port}: {error.strerror}") from error
        self._server.setblocking(False)  # noqa: FBT003 - the library's own signature
        self.port = int(self._server.getsockname()[1])
        self._partner: dict[socket.socket, socket.socket] = {}
        self._from_bench: dict[socket.socket, bytes] = {}

    def descriptors(self) -> list[int]:
        """The door and all connections."""
        return [one.fileno() for one in (self._server, *self._partner)]

    def read(self) -> list[Record]:
        """Lines that came from benches; answers go back unrecorded."""
        readable, _, _ = select.select([self._server, *self._partner], [], [], 0)
        found: list[Record] = []
        for one in readable:
            if one is self._server:
                self._welcome()
            elif one in self._partner:
                found.extend(self._hand_on(one))
        return found

    def close(self) -> None:
        """Close the door and all connections."""
        for one in (self._server, *self._partner):
            one.close()
        self._partner.clear()

    def _welcome(self) -> None:
        bench, _ = self._server.accept()
        try:
            gateway = socket.create_connection(self._gateway, 5)
        except OSError as error:
            bench.close()
            host, port = self._gateway
            raise LinkError(f"no bench port at {host}:{port}: {error}") from None
        self._partner |= {bench: gateway, gateway: bench}
        self._from_bench[bench] = b""

    def _hand_on(self, one: socket.socket) -> Iterable[Record]:
        try:
            octets = one.recv(_READ_BYTES)
            self._partner[one].sendall(octets)
        except OSError:
            octets = b""
        if not octets:
            self._part(one)
            return []
        if one not in self._from_bench:
            return []
        *lines, rest = (self._from_bench[one] + octets).split(b"\n")
        self._from_bench[one] = rest[:_LINE_BYTES_MAX]
        at_us, name = now_us(), f"{BENCH} {self._gateway[0]}:{self._gateway[1]}"
        return [Record(at_us, name, line) for line in lines]

    def _part(self, one: socket.socket) -> None:
        """Either side has left: so does the other."""
        other = self._partner.pop(one)
        del self._partner[other]
        for side in (one, other):
            self._from_bench.pop(side, None)
            side.close()
