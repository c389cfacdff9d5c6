"""A city on a broker (E17): its processes on virtual time here, the real thing as a soak."""

from __future__ import annotations

import json

import pytest

from meter_sim.broker_city.engines import Engines, decode_reading, reports_made
from meter_sim.broker_city.plan import WirePlan
from meter_sim.broker_city.replay import replay
from meter_sim.broker_city.run import Deed, Happening
from meter_sim.cli import main
from meter_sim.medium import Medium
from meter_sim.store import FleetStore
from ohmesh.mesh import Delivered, Station, StationConfig, Transmit
from ohmesh.wire.air import Heard
from ohmesh.wire.aircontrol import AirAction, AirControl

PLAN = WirePlan("suburb-mid", 10, 1, 3, 20, 2, "mqtt://127.0.0.1:1", 1_000_000)


class Dice:
    def randrange(self, limit, /):
        return limit // 2


class Ten:
    """Two processes of five engines and a root, on the medium of the ether, on virtual time."""

    def __init__(self, folder):
        self.folder = folder
        self.now_ms = PLAN.start_ms
        self.arrived = []
        self.medium = Medium(
            PLAN.links().as_links(), seed=PLAN.seed, rate_kbps=50, time_divisor=PLAN.divisor
        )
        config = StationConfig(node=1, net=1, is_root=True, epoch=7, timer_divisor=PLAN.divisor)
        self.root = Station(config, Dice())
        self.carry_out(self.root.start(self.now_ms))
        self.stores, self.crews = {}, {}
        for part in range(PLAN.processes):
            self.start(part)

    def start(self, part):
        self.stores[part] = FleetStore(self.folder / str(part))
        self.crews[part] = Engines(PLAN, part, self.stores[part])
        self.send(self.crews[part].start(self.now_ms))

    def kill(self, part):
        """What was not committed is gone, as with SIGKILL."""
        self.stores.pop(part).close()
        del self.crews[part]

    def send(self, frames):
        for node, frame in frames:
            self.medium.transmit(self.now_ms * 1000, node, frame)

    def carry_out(self, outputs):
        for output in outputs:
            if isinstance(output, Transmit):
                self.send([(1, output.frame)])
            elif isinstance(output, Delivered):
                self.arrived.append(decode_reading(output.payload))
                self.carry_out(self.root.custody(self.now_ms, output.token, ok=True))

    def run(self, seconds, joined=None):
        """A time; or until so many have joined, and no longer."""
        for _ in range(seconds * 1000):
            if joined is not None and self.joined == joined:
                return
            self.now_ms += 1
            heard = [
                Heard(a.node, a.rssi_dbm, a.t_us, a.frame)
                for a in self.medium.completed(self.now_ms * 1000)
            ]
            for one in heard:
                if one.node == 1:
                    self.carry_out(self.root.receive(self.now_ms, one.frame, one.rssi_dbm))
            if self.root.next_wake_ms is not None and self.root.next_wake_ms <= self.now_ms:
                self.carry_out(self.root.wake(self.now_ms))
            for crew in self.crews.values():
                if heard:
                    self.send(crew.heard(self.now_ms, heard))
                if crew.next_ms is not None and crew.next_ms <= self.now_ms:
                    self.send(crew.wake(self.now_ms))

    @property
    def joined(self):
        return sum(crew.status(self.now_ms).joined for crew in self.crews.values())


def test_engines_join_report_die_and_lose_nothing(tmp_path):
    city = Ten(tmp_path)
    city.run(90, PLAN.nodes)
    assert city.joined == PLAN.nodes
    made = sum(crew.status(city.now_ms).reports for crew in city.crews.values())
    city.kill(1)
    city.run(20)
    assert city.joined == PLAN.nodes // 2
    city.start(1)
    city.run(60, PLAN.nodes)
    city.run(20)
    assert city.joined == PLAN.nodes
    stop = AirControl(AirAction.STOP)
    for crew in city.crews.values():
        crew.control(city.now_ms, 0, stop)
    city.run(60)
    counted = {
        node: reports_made(city.stores[part], node)
        for part in range(PLAN.processes)
        for node in PLAN.share(part)
    }
    for part in range(PLAN.processes):
        city.kill(part)
    assert sum(counted.values()) > made > 0
    arrived = {node: {at for n, at in city.arrived if n == node} for node in PLAN.meters}
    assert {node: len(times) for node, times in arrived.items()} == counted


def test_the_simulator_follows_a_story():
    second_us = 1_000_000
    nodes = PLAN.share(1)
    story = [
        Happening(45 * second_us, Deed.KILL, nodes),
        Happening(55 * second_us, Deed.BOOT, nodes),
    ]
    told = replay(PLAN, story, 100 * second_us)
    assert 0 < told.t95_s < 45
    assert 0 < told.back_s < 50
    # One report each 45 s; who is off does not make one.
    assert PLAN.nodes < told.made <= 3 * PLAN.nodes
    assert told.in_time == told.arrived == told.made
    assert replay(PLAN, story, 100 * second_us) == told


@pytest.mark.soak
def test_e17_on_a_broker(capsys):
    assert main(["experiment", "E17", "--nodes", "24", "--quick", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    figures = {m["metric"]: m["value"] for m in last["metrics"]}
    assert figures["readings_lost"] == 0
    assert figures["pdr_15min"] > 0.99
