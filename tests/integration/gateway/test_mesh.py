"""The gateway as a root, on real MQTT, with a few meters in one room that all hear each other."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from base64 import b64encode

import aiomqtt
import pytest

from ohmesh.mesh import ForgetPayload, PersistPayload, Received, Station, StationConfig, Transmit
from ohmesh.model.ids import mesh_address
from ohmesh.wire import topics
from ohmesh.wire.air import Heard, HeardBatch, decode_hello, encode_air
from ohmesh.wire.downlink import DownMessage, encode_down
from ohmesh.wire.report import DeliveryStatus
from ohmesh.wire.sealed import SealedKind, seal

ROOT, NET, DIVISOR, RSSI_DBM = 1, 1, 20, -60


def now_ms():
    return time.monotonic_ns() // 1_000_000


class Room:
    """The air of one room and the meters in it."""

    def __init__(self, broker, nodes):
        self.broker = broker
        self.hellos = []
        self.received = []
        self.waiting = {node: {} for node in nodes}
        self.meters = {
            node: Station(
                StationConfig(node=node, net=NET, is_root=False, epoch=0, timer_divisor=DIVISOR),
                random.Random(node),
            )
            for node in nodes
        }
        self.in_the_air = []
        self.connected = asyncio.Event()

    async def run(self):
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1", self.broker.port, protocol=aiomqtt.ProtocolVersion.V5, timeout=2
                ) as client:
                    await client.subscribe(topics.air_tx(NET, ROOT))
                    await client.subscribe(topics.air_hello(NET))
                    self.connected.set()
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._pump(client))
                        async for message in client.messages:
                            self._take(message.topic.value, message.payload)
            await asyncio.sleep(0.05)

    def start(self):
        for node, meter in self.meters.items():
            self._carry_out(node, meter.start(now_ms()))

    def lose_supply(self, node):
        """Its last gasp, and then it is silent."""
        self._carry_out(node, self.meters.pop(node).last_gasp(now_ms()))

    def submit(self, node, payload):
        self._carry_out(node, self.meters[node].submit(now_ms(), payload))

    @property
    def joined(self):
        return all(meter.joined for meter in self.meters.values())

    @property
    def backlog(self):
        return sum(len(waiting) for waiting in self.waiting.values())

    def _take(self, topic, octets):
        if topic.endswith("hello"):
            self.hellos.append(decode_hello(octets))
            return
        self._let_meters_hear(ROOT, octets)

    def _let_meters_hear(self, sender, frame):
        for node, meter in list(self.meters.items()):
            if node != sender:
                self._carry_out(node, meter.receive(now_ms(), frame, RSSI_DBM))

    def _carry_out(self, node, outputs):
        for output in outputs:
            match output:
                case Transmit(frame):
                    self.in_the_air.append((node, frame))
                case Received(payload):
                    self.received.append((node, payload))
                case PersistPayload(oseq, _, payload):
                    self.waiting[node][oseq] = payload
                case ForgetPayload(oseq):
                    self.waiting[node].pop(oseq, None)

    async def _pump(self, client):
        me = asyncio.current_task()
        while not me.cancelling():  # a publish that ends at that moment swallows a cancellation
            for node, meter in self.meters.items():
                due_ms = meter.next_wake_ms
                if due_ms is not None and due_ms <= now_ms():
                    self._carry_out(node, meter.wake(now_ms()))
            frames, self.in_the_air = self.in_the_air, []
            for sender, frame in frames:
                self._let_meters_hear(sender, frame)
            if frames:
                heard = [Heard(ROOT, RSSI_DBM, 0, frame) for _, frame in frames]
                await client.publish(topics.air_rx(NET, "gw1"), encode_air(HeardBatch(heard)))
            await asyncio.sleep(0.005)


@pytest.fixture
async def room(broker, end_task):
    made = Room(broker, nodes=range(100, 105))
    task = asyncio.create_task(made.run(), name="room")
    await asyncio.wait_for(made.connected.wait(), 60)
    made.start()
    yield made
    await end_task(task)


@pytest.fixture
def root(gateway_process):
    return lambda **settings: gateway_process(
        MESH__ENABLED="true", MESH__TIMER_DIVISOR=str(DIVISOR), BENCH__ENABLED="false", **settings
    )


def payload(node, number):
    return f"{node}:{number}".encode()


def down(node, *, command=b"c" * 16, seconds=60, body=b"sealed command"):
    not_after_s = int(time.time()) + seconds
    return encode_down(DownMessage(command, mesh_address(node), not_after_s, 3, body))


async def test_readings_go_up_once_and_name_their_meter(head_end, root, room, wait_until):
    root()
    assert await wait_until(lambda: room.joined)
    assert room.hellos[0].listener == "gw1"
    assert room.hellos[0].nodes == [ROOT]
    sent = {(node, payload(node, n)) for node in room.meters for n in range(20)}
    for node, octets in sent:
        room.submit(node, octets)
    assert await wait_until(lambda: len(head_end.payloads()) >= len(sent))
    rows = [t for t in head_end.rows.values() if t.payload and t.source == "mesh" and t.meter]
    assert {(t.meter, t.payload) for t in rows} == {(mesh_address(n), p) for n, p in sent}
    assert len(rows) == len(sent)
    assert all(t.profile == "" for t in rows)


async def test_the_head_end_learns_the_routes(head_end, root, room, wait_until):
    root()
    assert await wait_until(
        lambda: head_end.topologies() and len(head_end.topologies()[-1].routes) == 5
    )
    report = head_end.topologies()[-1]
    assert report.root == ROOT
    assert {route.node for route in report.routes} == set(room.meters)
    assert all(1 <= route.hops <= 5 for route in report.routes)


async def test_a_last_gasp_is_told_once(head_end, root, room, wait_until):
    root()
    assert await wait_until(lambda: room.joined)
    room.lose_supply(102)
    assert await wait_until(head_end.powers)
    await asyncio.sleep(1.5)  # its neighbours have repeated it meanwhile
    assert [(told.restored, told.nodes) for told in head_end.powers()] == [(False, [102])]


async def test_commands_reach_their_meter_and_each_is_reported(head_end, root, room, wait_until):
    root()
    assert await wait_until(lambda: room.joined)
    await head_end.say("down", down(103))
    await head_end.say("down", down(103))
    await head_end.say("down", down(999, command=b"n" * 16))
    await head_end.say("down", down(104, command=b"e" * 16, seconds=-5))
    await head_end.say("down", down(104, command=b"l" * 16, body=b"x" * 141))
    await head_end.say("down", b"garbage")
    assert await wait_until(lambda: len(head_end.deliveries()) >= 4)
    statuses = {report.command[:1]: report.status for report in head_end.deliveries()}
    assert statuses == {
        b"c": DeliveryStatus.DELIVERED,
        b"n": DeliveryStatus.NO_ROUTE,
        b"e": DeliveryStatus.EXPIRED,
        b"l": DeliveryStatus.REFUSED,
    }
    assert room.received[0] == (103, b"sealed command")


async def test_a_full_outbox_leaves_readings_with_their_meters(head_end, root, room, wait_until):
    head_end.acknowledging = False
    gateway = root(OUTBOX__MAX_BYTES=str(2**17))
    assert await wait_until(lambda: room.joined)
    sent = {payload(node, n).ljust(150, b".") for node in room.meters for n in range(160)}
    for octets in sent:
        room.submit(int(octets[:3]), octets)
    assert await wait_until(lambda: "payloads not taken" in gateway.log.read_text())
    assert room.backlog > 100, "what the gateway did not take is still with its meter"
    head_end.acknowledging = True
    assert await wait_until(lambda: set(head_end.payloads()) == sent, 120)


async def test_kill_9_of_the_root_loses_no_reading(head_end, root, room, wait_until):
    gateway = root()
    assert await wait_until(lambda: room.joined)
    sent = set()
    for turn in range(5):
        for node in room.meters:
            for n in range(10):
                octets = payload(node, turn * 10 + n)
                sent.add(octets)
                room.submit(node, octets)
        await asyncio.sleep(0.1 + turn / 10)
        gateway.kill()
        gateway.start()
    assert await wait_until(lambda: set(head_end.payloads()) == sent, 120)
    assert head_end.conflicts == []


async def test_garbage_on_the_air_is_nothing(head_end, root, room, wait_until, broker):
    gateway = root()
    assert await wait_until(lambda: room.joined)
    async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5) as c:
        for octets in (b"", b"x", b"\x01\x00\x91\xc1", b"\x01\x01" + bytes(100)):
            await c.publish(topics.air_rx(NET, "gw1"), octets)
        for frame in (b"", b"\xff" * 100, bytes(17)):
            batch = HeardBatch([Heard(ROOT, RSSI_DBM, 0, frame), Heard(7, RSSI_DBM, 0, frame)])
            await c.publish(topics.air_rx(NET, "gw1"), encode_air(batch))
    room.submit(100, b"after the noise")
    assert await wait_until(lambda: b"after the noise" in head_end.payloads())
    assert gateway.process.poll() is None


async def test_a_stolen_gateway_holds_no_meter_s_key_and_no_reading(
    head_end, root, room, wait_until, tmp_path
):
    """G11: its disk, with what it keeps after the acknowledgement, is searched for both."""
    gateway = root()
    assert await wait_until(lambda: room.joined)
    keys = {node: random.Random(node).randbytes(16) for node in range(1000)}
    shown = [f"{node}:{number:08d}.5 kWh" for number in range(4) for node in room.meters]
    for number, reading in enumerate(shown):
        node = int(reading.partition(":")[0])
        address, body = mesh_address(node), reading.encode()
        room.submit(node, seal(keys[node], address, SealedKind.REPORT, number + 1, body))
    assert await wait_until(lambda: len(head_end.payloads()) >= len(shown))
    gateway.kill()
    disk = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    sent = head_end.payloads()
    assert len(sent) == len(shown)
    assert all(payload in disk for payload in sent), "the disk that is searched is the right one"
    found = [
        form
        for key in keys.values()
        for form in (key, key.hex().encode(), key.hex().upper().encode(), b64encode(key))
        if form in disk
    ]
    assert found == []
    assert [reading for reading in shown if reading.encode() in disk] == []
