"""A head-end of the test's own, a gateway as a real process, and a bench client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import aiomqtt
import pytest

from meter_sim.servers.process import free_port, spawn, stop
from ohmesh.model.telegram import TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.report import decode_delivery, decode_power, decode_topology
from ohmesh.wire.uplink import decode_batch, encode_ack

sys.path.append(str(Path(__file__).parent))  # for what several test files share
from secure_broker import SecureBroker

WAIT_S = 60


async def until(condition, wait_s=WAIT_S):
    """Poll; the test's assertion after it says what is missing."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while not condition():  # noqa: ASYNC110 - processes have no events of ours
                await asyncio.sleep(0.02)
    return condition()


async def end(task):
    """Cancel until it is heard: a client library may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.5)


@pytest.fixture
def end_task():
    return end


class HeadEnd:
    """Keeps what arrives, tells a number with two contents, and acknowledges as it is told to."""

    def __init__(self, broker):
        self.broker = broker
        self.gateway = "gw1"
        self.rows = {}
        self.conflicts = []
        self.batches = []
        self.states = []
        self.ends = {}
        self.acknowledging = True
        self.connected = asyncio.Event()
        self._client = None

    async def run(self):
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1",
                    self.broker.port,
                    protocol=aiomqtt.ProtocolVersion.V5,
                    timeout=2,
                ) as client:
                    await client.subscribe(topics.ALL_UPLINKS, qos=1)
                    await client.subscribe(topics.ALL_STATES, qos=1)
                    self._client = client
                    self.connected.set()
                    async for message in client.messages:
                        await self._take(message.topic.value, message.payload)
            self._client = None
            self.connected.clear()
            await asyncio.sleep(0.05)

    async def _take(self, topic, octets):
        if topic.endswith("/state"):
            self.states.append(json.loads(octets))
            return
        batch = decode_batch(octets)
        assert topics.gateway_of(topic) == batch.gateway
        self.batches.append(batch)
        for number, telegram in enumerate(batch.telegrams(), batch.first_seq):
            known = self.rows.setdefault((batch.epoch, number), telegram)
            if known != telegram:
                self.conflicts.append((batch.epoch, number, known, telegram))
        end = self.ends.get(batch.epoch, 0)
        while (batch.epoch, end) in self.rows:
            end += 1
        self.ends[batch.epoch] = end
        if self.acknowledging:
            await self.say("ack", encode_ack(batch.epoch, end))

    async def say(self, channel, octets):
        with contextlib.suppress(aiomqtt.MqttError):
            await self._client.publish(topics.gateway_topic(self.gateway, channel), octets)

    def payloads(self, kind=TelegramKind.METER):
        return [t.payload for _, t in sorted(self.rows.items()) if t.kind is kind]

    def deliveries(self):
        return [decode_delivery(octets) for octets in self.payloads(TelegramKind.DELIVERY)]

    def powers(self):
        return [decode_power(octets) for octets in self.payloads(TelegramKind.POWER)]

    def topologies(self):
        return [decode_topology(octets) for octets in self.payloads(TelegramKind.TOPOLOGY)]


@pytest.fixture
async def head_end(broker):
    stub = HeadEnd(broker)
    task = asyncio.create_task(stub.run(), name="head-end")
    await asyncio.wait_for(stub.connected.wait(), 60)
    yield stub
    await end(task)


class GatewayProcess:
    """`ohmesh gateway run` as a child, in a folder of its own."""

    def __init__(self, folder: Path, broker, **settings):
        self.folder = folder
        self.bench_port = free_port()
        self.env = {
            "OHMESH_GATEWAY__BROKER__URL": broker.url,
            "OHMESH_GATEWAY__BROKER__RECONNECT_CAP_S": "0.5",
            "OHMESH_GATEWAY__BENCH__ENABLED": "true",
            "OHMESH_GATEWAY__BENCH__PORT": str(self.bench_port),
            "OHMESH_GATEWAY__OUTBOX__PATH": str(folder / "outbox.db"),
        } | {f"OHMESH_GATEWAY__{key}": value for key, value in settings.items()}
        self.argv = [sys.executable, "-m", "ohmesh", "gateway", "run"]
        self.log = folder / "gateway.log"
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = spawn(self.argv, log=log, cwd=self.folder, env=self.env)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        return stop(self.process, wait_s=6)

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def gateway_process(tmp_path, broker):
    made = []

    def start(**settings):
        gateway = GatewayProcess(tmp_path, broker, **settings)
        made.append(gateway)
        return gateway.start()

    yield start
    for gateway in made:
        if gateway.process.poll() is None:
            gateway.kill()


class Bench:
    """Sends telegrams to the bench port and remembers what was answered `ok`."""

    def __init__(self, port, name="B"):
        self.port = port
        self.name = name
        self.sent = set()
        self.taken = {}
        self._number = 0
        self._stream = None

    async def connect(self, wait_s=20):
        async with asyncio.timeout(wait_s):
            while True:
                with contextlib.suppress(OSError):
                    self._stream = await asyncio.open_connection("127.0.0.1", self.port)
                    return self
                await asyncio.sleep(0.02)

    async def ask(self, line: bytes):
        reader, writer = self._stream
        writer.write(line + b"\n")
        await writer.drain()
        answer = await reader.readline()
        if not answer:
            raise ConnectionError
        return json.loads(answer)

    async def ask_all(self, lines):
        reader, writer = self._stream
        writer.write(b"".join(line + b"\n" for line in lines))
        return [json.loads(await reader.readline()) for _ in lines]

    async def put(self):
        """One telegram that was never sent before."""
        self._number += 1
        payload = f"{self.name}-{self._number}".encode()
        self.sent.add(payload)
        line = {"meter": self.name, "profile": "", "payload_hex": payload.hex()}
        answer = await self.ask(json.dumps(line).encode())
        if answer["ok"]:
            place = (answer["epoch"], answer["seq"])
            assert place not in self.taken
            self.taken[place] = payload
        return answer

    def close(self):
        if self._stream:
            self._stream[1].close()


@pytest.fixture
def bench():
    clients = []

    async def connect(gateway, name="B"):
        client = Bench(gateway.bench_port, name)
        clients.append(client)
        return await client.connect()

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def wait_until():
    return until


@pytest.fixture
def secure(tmp_path):
    """A broker that knows its devices by their certificates."""
    folder = tmp_path / "secure"
    folder.mkdir()
    made = SecureBroker(folder)
    made.start()
    yield made
    made.stop()
