"""Gateways and meters of a benchmark, as a process: `python -m headend.bench.pipeline.traffic`.

Its first line of input is a `Street` as JSON; it makes all messages, answers `{"ready": N}`, and
then carries out one order a line:

    {"do": "drain"}                      send all, batch by batch, as fast as they are acknowledged
    {"do": "pace", "batches_per_s": F}   single batches of gw0 at a rate, with their delays
    {"do": "flood", "batches_per_s": F, "seconds": S}  of gateway gw1, whatever is acknowledged
    {"do": "direct"}                     all messages of meters with their own modem, at full speed
"""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from firmware_profiles import registry
from firmware_profiles.api import Report
from headend.mqtt import MqttClient
from headend.mqttlink import Link
from ohmesh.model.errors import ProfileError
from ohmesh.model.ids import Address, GatewayId, MeterId
from ohmesh.model.reading import Reading
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import mqtt5, topics
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.uplink import decode_ack, encode_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headend.mqtt import Delivery

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=15)
WINDOW = 16
"""Batches of one gateway under way, as a gateway has them (`gateway/sending.py`)."""
UNDER_WAY_MAX = 600
"""Batches of all gateways under way: Mosquitto drops what exceeds 1000 in a queue."""
RESEND_S = 5
PATIENCE_S = 60
VARIETY = 32
"""Different sets of values in one interval: meters take turns with them."""


@dataclass(frozen=True, slots=True)
class Street:
    """What is sent: `intervals` telegrams of each of `meters`, which belong to `gateways`.

    And `direct` messages of one reading, of the same meters with a modem of their own; every
    `garbage`-th of them says nothing sensible, 0: none.
    """

    broker: str
    profile: str
    registers: int
    gateways: int
    meters: int
    intervals: int
    batch: int
    epoch: int = 1
    window: int = WINDOW
    direct: int = 0
    garbage: int = 0

    def meters_of(self, gateway: int) -> range:
        """The meters behind a gateway."""
        return range(gateway, self.meters, self.gateways)


def channels(profile: str, wanted: int) -> tuple[str, ...]:
    """So many registers as the profile can send in one telegram, at most `wanted`."""
    names = tuple(registry.load(profile).spec.registers)
    for count in range(min(wanted, len(names)), 1, -1):
        try:
            telegram(profile, names[:count], 0, 0)
        except ProfileError:
            continue
        return names[:count]
    return registry.load(profile).spec.reported


def telegram(profile: str, chosen: tuple[str, ...], interval: int, variant: int) -> bytes:
    """The telegram of an interval, its values told apart by `variant`."""
    found = registry.load(profile)
    at = START + STEP * (interval + 1)
    readings = tuple(
        Reading(found.spec.registers[name], 100 * interval + 7 * variant + n, at)
        for n, name in enumerate(chosen)
    )
    return found.encode(Report("M1234567", at, readings))


class _Packer:
    """Cuts what one gateway tells into messages of its outbox, whatever the interval."""

    def __init__(self, street: Street, gateway: str) -> None:
        self.made: list[tuple[int, bytes]] = []
        self._street, self._gateway = street, gateway
        self._waiting: list[Telegram] = []
        self._end = 0

    def add(self, rows: list[Telegram]) -> None:
        self._waiting += rows
        while len(self._waiting) >= self._street.batch:
            self.cut()

    def cut(self) -> None:
        """The next message, of what waits."""
        part = self._waiting[: self._street.batch]
        if part:
            del self._waiting[: len(part)]
            begin, self._end = self._end, self._end + len(part)
            packed = encode_batch(self._gateway, self._street.epoch, begin, part)
            self.made.append((self._end, packed))


def messages(street: Street) -> dict[str, list[tuple[int, bytes]]]:
    """Gateway -> (end, message) of its outbox."""
    chosen = channels(street.profile, street.registers)
    packers = [_Packer(street, f"gw{g}") for g in range(street.gateways)]
    for interval in range(street.intervals):
        at_ms = int((START + STEP * (interval + 1)).timestamp() * 1000)
        bodies = [telegram(street.profile, chosen, interval, v) for v in range(VARIETY)]
        for g, packer in enumerate(packers):
            packer.add(
                [
                    Telegram(TelegramKind.METER, "bench", Address(f"M{m}"), "", at_ms, body)
                    for m in street.meters_of(g)
                    for body in (bodies[m % VARIETY],)
                ]
            )
    for packer in packers:
        packer.cut()
    return {f"gw{g}": packer.made for g, packer in enumerate(packers)}


class _Line:
    """One gateway's messages: those acknowledged, then those under way, then the others."""

    def __init__(self, parts: list[tuple[int, bytes]]) -> None:
        self._parts = parts
        self._acknowledged = 0
        self._sent = 0

    @property
    def finished(self) -> bool:
        return self._acknowledged == len(self._parts)

    def unsent(self, count: int) -> list[bytes]:
        """The next messages; they are under way now."""
        taken = self._parts[self._sent : self._sent + count]
        self._sent += len(taken)
        return [message for _, message in taken]

    def oldest(self) -> bytes:
        """The oldest message under way."""
        return self._parts[self._acknowledged][1]

    def acknowledge(self, through: int) -> int:
        """How many messages are acknowledged now that were not before."""
        before = self._acknowledged
        while not self.finished and self._parts[self._acknowledged][0] <= through:
            self._acknowledged += 1
        return self._acknowledged - before


class Gateways:
    """The senders, and the acknowledgements that they hear."""

    def __init__(self, street: Street) -> None:
        self._acks: queue.Queue[tuple[str, int, float]] = queue.Queue()
        self._street = street
        self._client = MqttClient(
            street.broker,
            client_id=f"bench-gateways-{os.getpid()}",
            subscriptions=["ohmesh/v1/gw/+/ack"],
            receive=self._heard,
        )
        self._client.start()
        if not self._client.wait_connected(10):
            raise SystemExit("the broker does not answer")

    def stop(self) -> None:
        """End the connection."""
        self._client.stop()

    def _heard(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            ack = decode_ack(delivery.payload)
            if ack.epoch == self._street.epoch:
                heard = (topics.gateway_of(delivery.topic), ack.through, time.perf_counter())
                self._acks.put(heard)

    def send(self, gateway: str, message: bytes) -> None:
        """QoS 1, as a gateway does."""
        topic = topics.gateway_topic(GatewayId(gateway), "up")
        self._client.publish(topic, message, qos=1)

    def drain(self, outboxes: dict[str, list[tuple[int, bytes]]]) -> float:
        """Seconds from the first message to the last acknowledgement."""
        begin = time.perf_counter()
        lines = {name: _Line(parts) for name, parts in outboxes.items() if parts}
        window = max(1, min(self._street.window, UNDER_WAY_MAX // max(1, len(lines))))
        for name, line in lines.items():
            for message in line.unsent(window):
                self.send(name, message)
        idle = 0
        while lines:
            try:
                name, through, _ = self._acks.get(timeout=RESEND_S)
                idle = 0
            except queue.Empty:  # a broker may drop what it likes
                idle += 1
                if idle * RESEND_S > PATIENCE_S:
                    raise SystemExit("nothing is acknowledged any more") from None
                for name, line in lines.items():
                    self.send(name, line.oldest())
                continue
            line = lines.get(name, _Line([]))
            for message in line.unsent(line.acknowledge(through)):
                self.send(name, message)
            if line.finished:
                lines.pop(name, None)
        return time.perf_counter() - begin

    def pace(self, outbox: list[tuple[int, bytes]], batches_per_s: float) -> list[float]:
        """Milliseconds from publish to acknowledgement of each batch of one gateway."""
        taken: list[float] = []
        sent: list[tuple[int, float]] = []
        begin = time.perf_counter()
        for number, (end, message) in enumerate(outbox):
            while (left := begin + number / batches_per_s - time.perf_counter()) > 0:
                self._settle(sent, taken, left)
            sent.append((end, time.perf_counter()))
            self.send("gw0", message)
        while sent:
            if not self._settle(sent, taken, RESEND_S):
                self.send("gw0", outbox[len(taken)][1])
        return taken

    def flood(self, outbox: list[tuple[int, bytes]], batches_per_s: float, seconds: float) -> int:
        """Batches published in so many seconds, over and over, as a gateway that hears nobody."""
        begin, sent = time.perf_counter(), 0
        topic = topics.gateway_topic(GatewayId("gw1"), "up")
        while (passed_s := time.perf_counter() - begin) < seconds:
            if sent / batches_per_s > passed_s or self._client.unsettled > UNDER_WAY_MAX:
                time.sleep(0.001)  # the broker takes no more of one client at a time
            elif self._client.publish(topic, outbox[sent % len(outbox)][1], qos=1):
                sent += 1
        return sent

    def _settle(self, sent: list[tuple[int, float]], taken: list[float], wait_s: float) -> bool:
        try:
            name, through, at = self._acks.get(timeout=wait_s)
        except queue.Empty:
            return False
        if name != "gw0":
            return True
        while sent and sent[0][0] <= through:
            taken.append(1000 * (at - sent.pop(0)[1]))
        return True


class Modems:
    """Meters with their own modem: all their packets, made before they are sent."""

    def __init__(self, street: Street) -> None:
        place = BrokerUrl.parse(street.broker)
        self._peer = socket.create_connection((place.host, place.port))
        self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = mqtt5.Hello(f"bench-modems-{os.getpid()}", place.user, place.password, 0)
        self._link = Link(hello, (), number=1, now_s=0.0)
        while not self._link.ready:
            self._exchange()
        for number in range(street.direct):
            at_s = int(START.timestamp()) + 900 * (number // street.meters)
            body = b'[{"n":"el.energy.import","v":%d,"t":%d,"u":"Wh"}]' % (1000 * number, at_s)
            if street.garbage and number % street.garbage == 0:
                body = body[: len(body) // 2]
            topic = topics.meter_topic(MeterId(f"M{number % street.meters}"))
            self._link.publish(topic, body, qos=1)
        self._first, self._link.outgoing = self._link.outgoing, bytearray()

    def send(self) -> tuple[float, float]:
        """Publish all with QoS 1; seconds by the clock and of the processor."""
        begin, cpu = time.perf_counter(), time.process_time()
        self._link.outgoing += self._first
        while self._link.unsettled:
            self._exchange()
        return time.perf_counter() - begin, time.process_time() - cpu

    def _exchange(self) -> None:
        if self._link.outgoing:
            self._peer.sendall(self._link.outgoing)
            self._link.outgoing.clear()
        self._link.receive(self._peer.recv(1 << 16), 0.0)

    def stop(self) -> None:
        """End the connection."""
        self._peer.close()


def _orders() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Carry out orders until standard input ends."""
    orders = _orders()
    street = Street(**next(orders))
    outboxes = messages(street)
    gateways, modems = Gateways(street), Modems(street)
    _say({"ready": sum(map(len, outboxes.values()))})
    for order in orders:
        answer: dict[str, Any]
        if order["do"] == "drain":
            answer = {"seconds": gateways.drain(outboxes)}
        elif order["do"] == "pace":
            answer = {"delays_ms": gateways.pace(outboxes["gw0"], order["batches_per_s"])}
        elif order["do"] == "flood":
            rate, seconds = order["batches_per_s"], order["seconds"]
            answer = {"batches": gateways.flood(outboxes["gw1"], rate, seconds)}
        else:
            seconds, cpu_s = modems.send()
            answer = {"seconds": seconds, "cpu_s": cpu_s}
        _say(answer)
    gateways.stop()
    modems.stop()


if __name__ == "__main__":
    main()
