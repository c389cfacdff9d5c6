"""A simulated network on a real broker: ether and fleet as processes, the gateways in the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from datetime import datetime

import pytest

from firmware_profiles import registry
from meter_sim.mqtt import AirClient
from meter_sim.pump import Alarm, Clock
from meter_sim.servers.process import spawn, stop
from meter_sim.street import StreetPlan, make_roster
from ohmesh.mesh import Delivered, Station, StationConfig, Transmit
from ohmesh.wire import topics
from ohmesh.wire.air import Hello, decode_heard, encode_air
from ohmesh.wire.aircontrol import AirAction, AirControl, decode_status, encode_control
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.sealed import SealedKind, unseal

PATIENCE_S = 90


class Network:
    """One roster on one broker."""

    def __init__(self, broker, folder, meters):
        self.broker = broker
        self.folder = folder
        self.roster = make_roster(StreetPlan(meters=meters, gateways=2, seed=3))
        self.truth_file = folder / "truth.jsonl"
        self.received = {}
        self.statuses = {}
        self.programs = []
        self.roster_file = folder / "roster.json"
        self.roster_file.write_bytes(self.roster.to_json())
        self.clock = Clock()
        self.roots = {g.node: self._root(g.node) for g in self.roster.gateways}
        self.alarm = Alarm(self.clock, self._due_us, self._wake)
        net = self.roster.net
        self._heard_topic = topics.air_rx(net, "gateways")
        filters = {self._heard_topic: 0, topics.air_all(net, "status"): 0}
        url = BrokerUrl.parse(broker.url)
        self.client = AirClient(url, filters, hear=self._hear, greet=self._greet)

    def _root(self, node):
        config = StationConfig(
            node=node,
            net=self.roster.net,
            is_root=True,
            epoch=self.clock.now_ms // 1000,
            timer_divisor=self.roster.timer_divisor,
        )
        return Station(config, random.Random(node))

    def _due_us(self):
        due = [r.next_wake_ms for r in self.roots.values() if r.next_wake_ms is not None]
        return min(due) * 1000 if due else None

    def _wake(self):
        for node, root in self.roots.items():
            if root.next_wake_ms is not None and root.next_wake_ms <= self.clock.now_ms:
                self._carry_out(node, root.wake(self.clock.now_ms))

    def _greet(self):
        hello = encode_air(Hello("gateways", list(self.roots)))
        self.client.send(topics.air_hello(self.roster.net), hello)

    def _hear(self, topic, payload):
        if topic != self._heard_topic:
            with contextlib.suppress(Exception):  # garbage is sent here on purpose
                status = decode_status(payload)
                self.statuses[status.listener] = status
            return
        for heard in decode_heard(payload).heard:
            root = self.roots[heard.node]
            outputs = root.receive(self.clock.now_ms, heard.frame, heard.rssi_dbm)
            self._carry_out(heard.node, outputs)
        self.alarm.check()

    def _carry_out(self, node, outputs):
        for output in outputs:
            if isinstance(output, Transmit):
                self.client.send(topics.air_tx(self.roster.net, node), output.frame)
            elif isinstance(output, Delivered):
                self.received[output.origin, output.oseq] = output.payload
                root, ok = self.roots[node], True
                self._carry_out(node, root.custody(self.clock.now_ms, output.token, ok))

    async def run(self):
        async def greet():
            while True:
                self._greet()
                await asyncio.sleep(0.5)

        for node, root in self.roots.items():
            self._carry_out(node, root.start(self.clock.now_ms))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.client.run(), name="air")
            tasks.create_task(self.alarm.run(), name="alarm")
            tasks.create_task(greet(), name="greet")

    def spawn(self, *words):
        """Start a program; the caller's thread lives as long as the test."""
        argv = [sys.executable, "-m", "ohmesh", "sim", *words]
        argv += ["--roster", self.roster_file, "--air", self.broker.url]
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            program = spawn(argv, log=log)
        self.programs.append(program)
        return program

    def fleet(self, *words):
        return self.spawn("fleet", "--truth", self.truth_file, *words)

    def order(self, node, action, **rest):
        topic = topics.air_ctl(self.roster.net, node)
        self.client.send(topic, encode_control(AirControl(action, **rest)))

    def counted(self, what):
        return sum(getattr(status, what) for status in self.statuses.values())

    async def until(self, done):
        async with asyncio.timeout(PATIENCE_S):
            while not done():  # noqa: ASYNC110 - what is awaited is in other processes
                await asyncio.sleep(0.05)

    async def stop_meters(self):
        """No further interval; returns when every process has said so."""
        known = len(self.statuses)
        self.statuses.clear()

        def stopped():
            self.order(0, AirAction.STOP)  # it may be lost with somebody's connection
            return sum(s.stopped for s in self.statuses.values()) == known

        await self.until(stopped)

    def truth(self):
        """(meter, channel, interval end) -> value, and that nothing is there twice."""
        lines = [json.loads(line) for line in self.truth_file.read_text().splitlines()]
        rows = {
            (t["meter"], t["channel"], datetime.fromisoformat(t["interval_end"])): t["value"]
            for t in lines
        }
        assert len(rows) == len(lines)
        return rows

    def stored(self):
        """What a head-end would have, and that no counter of a seal was used twice."""
        meters = {meter.node: meter for meter in self.roster.meters}
        found, counters = {}, set()
        for (origin, _), payload in self.received.items():
            meter = meters[origin]
            opened = unseal(meter.key, meter.address, payload)
            counters.add((origin, opened.counter))
            if opened.kind is SealedKind.REPORT:
                decoded = registry.load(meter.profile).decode(opened.body)
                for reading in decoded.readings:
                    end = reading.time or decoded.time
                    found[meter.meter, reading.register.channel, end] = reading.value
        assert len(counters) == len(self.received)
        return found

    async def everything_arrived(self):
        """Stop the meters and wait until every reading they produced is here."""
        await self.stop_meters()
        expected = self.truth()
        assert len(expected) == self.counted("readings")
        await self.until(lambda: len(self.received) >= self.counted("reports"))
        await self.until(lambda: self.stored().items() >= expected.items())
        return expected

    def logs(self):
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


@pytest.fixture
async def network(broker, tmp_path):
    """A street of ten meters with its ether; the test starts the fleet."""
    network = Network(broker, tmp_path, meters=10)
    network.spawn("ether")
    running = asyncio.create_task(network.run(), name="network")
    yield network
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    for program in network.programs:
        stop(program)
    assert "Traceback" not in network.logs()
