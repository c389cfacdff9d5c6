"""Meters on the mesh: the simulated meter behind a station of the world."""

from __future__ import annotations

from datetime import UTC, datetime

from firmware_profiles import registry
from meter_sim.household import Household
from meter_sim.meter import Meter, MeterConfig
from ohmesh.mesh import CommandResult, PowerReport, Received
from ohmesh.mesh.testing import World
from ohmesh.model.errors import WireError
from ohmesh.model.ids import mesh_address
from ohmesh.wire.metercommand import decode_command, decode_result
from ohmesh.wire.sealed import unseal

BASE_MS = 1_767_679_200_000
"""2026-01-06T06:00:00Z."""
BASE = datetime.fromtimestamp(BASE_MS // 1000, UTC)
INTERVAL_MS = 900_000
PROFILES = ("no_han", "de_sml", "se_h1")
NET = 0x0A11


class Air(World):
    """The world, that tells somebody what came out of a station."""

    def __init__(self, seed, **options):
        super().__init__(seed, **options)
        self.on_received = lambda _node, _payload: None
        self.on_result = lambda _root, _result: None
        self.on_power = lambda _root, _report: None
        self.on_delivered = lambda _root, _delivered: True

    def _commit(self, root, delivered):
        self.commit = lambda one: self.on_delivered(root, one)
        super()._commit(root, delivered)

    def _carry(self, node, slot, output):
        super()._carry(node, slot, output)
        match output:
            case Received(payload):
                self.on_received(node, payload)
            case CommandResult():
                self.on_result(node, output)
            case PowerReport():
                self.on_power(node, output)


class MeterHome:
    """A meter and what it remembers.

    Args:
        number: of the meter and its account; its node is 100 more.
    """

    def __init__(self, number, sim):
        self.number = number
        self.node = 100 + number
        self._sim = sim
        self.config = MeterConfig(
            meter=f"M{number}",
            address=mesh_address(self.node),
            key=number.to_bytes(16, "big"),
            profile=registry.load(PROFILES[number % len(PROFILES)]),
            interval_s=INTERVAL_MS // 1000,
            household=Household.of(sim.seed, self.node),
        )
        self._meter = Meter(self.config, BASE_MS)
        self._kept = self._meter.snapshot()
        self._waiting = []

    @property
    def relay(self):
        return self._meter.relay

    @property
    def backlog(self):
        return len(self._waiting)

    def start(self):
        """Close intervals for ever."""
        due_ms = self._meter.next_end_ms - BASE_MS
        self._sim.air.at(due_ms + self._sim.dice.randrange(60_000), self._close)

    def _close(self):
        self._keep(self._meter.advance(BASE_MS + self._sim.air.now_ms))
        self.start()

    def hear(self, payload):
        """A command came down."""
        try:
            command = decode_command(unseal(self.config.key, self.config.address, payload).body)
            before = command.id in self._meter._state.results
            now_ms = BASE_MS + self._sim.air.now_ms
            messages = self._meter.execute(payload, now_ms, now_ms // 1000)
        except WireError:
            self._sim.judge.note("refused", self.number)
            return
        if self._sim.chaos.strikes("meter forgets"):
            self._lose_power()
            return
        result = decode_result(self._meter._state.results[command.id])
        self._sim.judge.executed(self.number, command, before, result)
        self._keep(messages)

    def _lose_power(self):
        """Between the deed and the memory of it."""
        old = self._meter
        self._meter = Meter(self.config, BASE_MS, self._kept, contactor=old.contactor)
        self._sim.air.kill(self.node)
        self._sim.air.at(self._sim.air.now_ms + 5_000, lambda: self._sim.revive(self.node))

    def _keep(self, messages):
        self._kept = self._meter.snapshot()
        for message in messages:
            for reading in message.readings:
                key = (self.number, reading.register.channel, reading.time)
                self._sim.judge.truth[key] = reading.value
            self._waiting.append(message)
        self.hand_over()

    def hand_over(self):
        """The station takes what waits; from then on it keeps it."""
        if self.node not in self._sim.air.stations():
            return
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._sim.air.submit(self.node, message.payload, message.priority)
