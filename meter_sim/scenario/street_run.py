"""The driver `street`: the mesh on virtual time, in one process, repeatable to the bit."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from firmware_profiles import registry
from meter_sim.demo import topology
from meter_sim.scenario.mesh import (
    DIFFERENCES_MAX,
    MeshRunError,
    chosen,
    halves,
    moments,
    read_truth,
    roster_of,
)
from meter_sim.scenario.model import What, span_s
from meter_sim.scenario.outcome import Happening, Key, Outcome, compare, difference
from meter_sim.testing import Street
from ohmesh.wire.aircontrol import AirAction
from ohmesh.wire.sealed import SealedKind, unseal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meter_sim.scenario.model import Fault, Scenario

_JOIN_S = 3600
_DRAIN_S = 4 * 3600


class StreetRun:
    """A street on virtual time."""

    def __init__(self, scenario: Scenario, truth: Path) -> None:
        self.scenario = scenario
        self.roster = roster_of(scenario)
        self.street = Street(self.roster, truth=truth)
        self.truth = truth
        self.cut_off: dict[int, tuple[float, datetime]] = {}
        self.heal_s: list[float] = []
        self._meters = {meter.node: meter for meter in self.roster.meters}
        self._seen = 0
        self._newest: dict[int, datetime] = {}

    def run(self) -> Outcome:
        """Join, faults, drain, count."""
        self.street.start()
        if not self.street.run_until(self._joined, _JOIN_S):
            raise MeshRunError(f"not all meters joined within {_JOIN_S} s")
        timeline = self._faults()
        self.street.order(0, AirAction.STOP)
        drained = self.street.run_until(self._drained, _DRAIN_S)
        self._note_healed()
        outcome = self._count(timeline)
        if not drained:
            outcome.notes.append(f"not everything had arrived {_DRAIN_S} s after the end")
        return outcome

    def _joined(self) -> bool:
        status = self.street.fleet.status(self.street.now_ms)
        return status.joined == status.meters

    def _drained(self) -> bool:
        return self.street.fleet.status(self.street.now_ms).backlog == 0

    def _faults(self) -> list[Happening]:
        dice = Random(f"{self.scenario.name}/{self.scenario.seed}")  # noqa: S311 - repeatable
        began_ms = self.street.now_ms
        timeline, running = [], dict[int, list[int]]()
        for at_s, begins, number, fault in moments(self.scenario.fault):
            self._pass_until(began_ms + round(at_s * 1000))
            if begins:
                running[number] = chosen(fault, self.roster, self, dice)
                timeline.append(Happening(fault.what.value, at_s, at_s + span_s(fault.lasts)))
            self.act(fault, running[number], begins=begins)
        self._pass_until(began_ms + span_s(self.scenario.fleet.lasts) * 1000)
        return timeline

    def _pass_until(self, at_ms: int) -> None:
        while self.street.now_ms < at_ms:
            self.street.run(1)
            self._note_healed()

    def act(self, fault: Fault, nodes: list[int], *, begins: bool) -> None:
        """Begin or end a fault."""
        if fault.what is What.KILL_NODE:
            if begins:
                self._note_cut_off(nodes)
            for node in nodes:
                self.street.order(node, AirAction.KILL if begins else AirAction.REVIVE)
        elif fault.what is What.LOSE_LINKS:
            percent = round(fault.percent or 0) if begins else None
            for node in nodes:
                self.street.lose(node, None, percent)
        elif fault.what is What.PARTITION:
            left, right = halves(self.roster)
            for one in left:
                for other in right:
                    self.street.lose(one, other, 100 if begins else None)

    def parents(self) -> Mapping[int, Mapping[str, Any]]:
        """As the roots know their routes."""
        known: dict[int, dict[str, Any]] = {
            gateway.node: {"kind": "gateway", "parent": None} for gateway in self.roster.gateways
        }
        for node, parent in self.street.parents().items():
            known[node] = {"kind": "meter", "parent": parent}
        return known

    def _note_cut_off(self, dead: Iterable[int]) -> None:
        below = topology.descendants(self.parents())
        now_s, calendar = self.street.now_ms / 1000, self._calendar()
        for node in dead:
            for behind in below.get(node, ()):
                self.cut_off[behind] = (now_s, calendar)

    def _calendar(self) -> datetime:
        return datetime.fromisoformat(self.street.fleet.status(self.street.now_ms).time)

    def _note_healed(self) -> None:
        self._look()
        now_s = self.street.now_ms / 1000
        for node, (since_s, calendar) in list(self.cut_off.items()):
            newest = self._newest.get(node)
            if newest is not None and newest > calendar:
                self.heal_s.append(now_s - since_s)
                del self.cut_off[node]

    def _look(self) -> None:
        """Newest instant heard of each meter, from what arrived since the last look."""
        fresh = list(self.street.received.items())[self._seen :]
        self._seen += len(fresh)
        for (origin, _), payload in fresh:
            for key in self._said(origin, payload):
                known = self._newest.get(origin)
                self._newest[origin] = key.time if known is None else max(known, key.time)

    def _said(self, origin: int, payload: bytes) -> dict[Key, Decimal]:
        meter = self._meters[origin]
        opened = unseal(meter.key, meter.address, payload)
        if opened.kind is not SealedKind.REPORT:
            return {}
        decoded = registry.load(meter.profile).decode(opened.body)
        return {
            Key(meter.meter, r.register.channel, time): Decimal(r.value).scaleb(r.register.scaler)
            for r in decoded.readings
            if (time := r.time or decoded.time) is not None
        }

    def _count(self, timeline: list[Happening]) -> Outcome:
        expected = read_truth(self.truth)
        got: dict[Key, Decimal] = {}
        for (origin, _), payload in self.street.received.items():
            got |= self._said(origin, payload)
        facts, differing = compare(expected, got)
        status = self.street.fleet.status(self.street.now_ms)
        facts |= {
            "meters": len(self.roster.meters),
            "joined": status.joined,
            "telegrams": len(self.street.received),
            "cut_off": len(self.heal_s) + len(self.cut_off),
            "duplicates": 0,
        }
        if self.heal_s and not self.cut_off:
            facts["heal_s"] = round(max(self.heal_s), 3)
        way = ("the meter's ring", "no gateway has acknowledged it")
        first = [difference(k, expected, got, way) for k in differing[:DIFFERENCES_MAX]]
        return Outcome(facts, expected, got, first, timeline)


def run_street(scenario: Scenario) -> Outcome:
    """The driver `street`. Raises MeshRunError, ConfigError."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ohmesh-street-") as folder:
        run = StreetRun(scenario, Path(folder) / "truth.jsonl")
        with closing(run.street):
            outcome = run.run()
    outcome.facts["seconds"] = round(time.monotonic() - began_s, 2)
    return outcome
