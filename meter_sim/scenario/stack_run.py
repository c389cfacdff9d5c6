"""The driver `stack`: the whole stack as child processes, the mesh on a simulated radio."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, closing, suppress
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any

from meter_sim.demo import topology
from meter_sim.demo.air import Air
from meter_sim.demo.audit import Audit
from meter_sim.demo.client import HeadEnd
from meter_sim.demo.options import Options
from meter_sim.demo.stack import Stack
from meter_sim.register import register
from meter_sim.replay.schedule import percentile
from meter_sim.scenario.mesh import (
    DIFFERENCES_MAX,
    MeshRunError,
    chosen,
    event_facts,
    moments,
    read_truth,
    roster_of,
)
from meter_sim.scenario.model import What, span_s
from meter_sim.scenario.outcome import Happening, Key, Outcome, compare, difference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meter_sim.scenario.model import Fault, Scenario

_PATIENCE_S = 180.0
_POLL_S = 0.1


class StackRun:
    """The whole stack as child processes, the mesh on the air broker."""

    def __init__(self, scenario: Scenario, stack: Stack, air: Air, headend: HeadEnd) -> None:
        self.scenario, self.stack, self.air, self.headend = scenario, stack, air, headend
        self.audit: Audit
        self._nodes: Mapping[int, Mapping[str, Any]] = {}
        self._lock: ExitStack | None = None
        self._cut: tuple[float, datetime, set[str]] | None = None
        self._names = {meter.node: meter.meter for meter in stack.roster.meters}
        self.cut_off = 0
        self.commands = 0
        self.heal_s: list[float] = []

    async def run(self) -> Outcome:
        """Join, faults, drain, count."""
        roster = self.stack.roster
        await self._until("the head-end to serve", self.headend.ready)
        await register(self.stack.api_url, self.stack.token, roster, roster.meters)
        with closing(Audit(self.stack.audit_url)) as audit:
            self.audit = audit
            await self._until("all to join", self._is(lambda: self.air.joined == len(self._names)))
            await self._until("a first reading", self._is(lambda: audit.mesh_readings() > 0))
            await self._until("the mesh to be reported", self._reported)
            timeline = await self._faults()
            await self._until("the meters to stop", self._is(self.air.stop))
            return await self._count(timeline)

    async def _reported(self) -> bool:
        self._nodes = await self.headend.topology()
        meters = [n for n in self._nodes.values() if n["kind"] == "meter" and n["parent"]]
        return len(meters) == len(self._names)

    async def _faults(self) -> list[Happening]:
        dice = Random(f"{self.scenario.name}/{self.scenario.seed}")  # noqa: S311 - repeatable
        began_s = time.monotonic()
        timeline, running = [], dict[int, list[int]]()
        for at_s, begins, number, fault in moments(self.scenario.fault):
            await self._pass_until(began_s + at_s)
            if begins:
                running[number] = chosen(fault, self.stack.roster, self, dice)
                timeline.append(Happening(fault.what.value, at_s, at_s + span_s(fault.lasts)))
            if fault.what is What.COMMAND and begins:
                await self._order(fault, running[number], number)
            await asyncio.to_thread(self.act, fault, running[number], begins=begins)
        await self._pass_until(began_s + span_s(self.scenario.fleet.lasts))
        return timeline

    async def _pass_until(self, at_s: float) -> None:
        while time.monotonic() < at_s:
            await asyncio.sleep(min(_POLL_S, max(0.0, at_s - time.monotonic())))
            self._note_healed()

    def act(self, fault: Fault, nodes: list[int], *, begins: bool) -> None:
        """Begin or end a fault."""
        stack = self.stack
        gateways = [fault.gateway] if fault.gateway else list(stack.bench_ports)
        if fault.what is What.KILL_NODE:
            self._kill_nodes(nodes, begins=begins)
        elif fault.what is What.LOSE_LINKS:
            for node in nodes:
                self.air.lose(node, round(fault.percent or 0) if begins else None)
        elif fault.what in {What.GATEWAY, What.ALL_GATEWAYS, What.HEADEND}:
            names = ["headend"] if fault.what is What.HEADEND else gateways
            for name in names:
                (stack.kill if begins else stack.restart)(name)
        elif fault.what in {What.STUCK_RELAY, What.BYPASS}:
            order = self.air.stick if fault.what is What.STUCK_RELAY else self.air.bypass
            for node in nodes:
                order(node, on=begins)
        elif fault.what is What.EVENT:
            for node in nodes if begins else ():
                self.air.tell(node, str(fault.event))
        else:
            self._hit_server(fault.what, begins=begins)

    async def _order(self, fault: Fault, nodes: list[int], number: int) -> None:
        for node in nodes:
            meter = self._names[node]
            await self.headend.order(meter, str(fault.command), f"{number}-{meter}")
            self.commands += 1

    async def _commanded(self) -> dict[str, float]:
        """What became of the orders, once all have come to an end."""
        if not self.commands:
            return {}

        async def ended() -> bool:
            return all(c["resolved_at"] for c in await self.headend.commands(self.commands))

        with suppress(MeshRunError):
            await self._until("all commands to end", ended)
        found = await self.headend.commands(self.commands)
        took_s = [_seconds(c["created_at"], c["resolved_at"]) for c in found if c["resolved_at"]]
        done = [c for c in found if c["state"] == "done"]
        return {
            "commands": self.commands,
            "commands_done": len(done),
            "commands_failed": sum(c["state"] == "failed" for c in found),
            "command_p95_s": round(percentile(took_s, 95), 2),
        }

    def _kill_nodes(self, nodes: list[int], *, begins: bool) -> None:
        if begins:
            self._note_cut_off(nodes)
        for node in nodes:
            (self.air.kill if begins else self.air.revive)(node)

    def _hit_server(self, what: What, *, begins: bool) -> None:
        broker, database = self.stack.broker, self.stack.database
        if what is What.BROKER and broker:
            (broker.stop if begins else broker.start)()
        elif what is What.DATABASE and database:
            (database.crash if begins else database.start)()
            if not begins:
                self.audit.reopen()
        elif what is What.SLOW_DATABASE:
            self._hold_readings(begins=begins)

    def _hold_readings(self, *, begins: bool) -> None:
        if begins:
            self._lock = ExitStack()
            self._lock.enter_context(self.audit.readings_locked())
        elif self._lock is not None:
            self._lock.close()

    def parents(self) -> Mapping[int, Mapping[str, Any]]:
        """As the gateways reported it last."""
        return self._nodes

    def _note_cut_off(self, nodes: list[int]) -> None:
        below = topology.descendants(self._nodes)
        behind = {self._names[n] for node in nodes for n in below.get(node, ()) if n in self._names}
        if behind:
            self.cut_off += len(behind)
            self._cut = time.monotonic(), self.air.calendar, behind

    def _note_healed(self) -> None:
        if self._cut is None:
            return
        since_s, calendar, waiting = self._cut
        newest = self.audit.newest(waiting)
        waiting.difference_update(meter for meter, ts in newest.items() if ts > calendar)
        if not waiting:
            self.heal_s.append(time.monotonic() - since_s)
            self._cut = None

    async def _count(self, timeline: list[Happening]) -> Outcome:
        since_s = time.monotonic()
        expected = read_truth(self.stack.truth)

        async def complete() -> bool:
            self._note_healed()
            return len(await asyncio.to_thread(self.audit.readings)) >= len(expected)

        notes = []
        try:
            await self._until("all readings", complete)
        except MeshRunError as error:
            notes.append(str(error))
        caught_up_s = time.monotonic() - since_s
        got = {Key(*key): value for key, value in self.audit.readings().items()}
        facts, differing = compare(expected, got)
        facts |= {
            "meters": len(self._names),
            "joined": self.air.joined,
            "duplicates": self.audit.duplicates(),
            "quarantined": self.audit.quarantined(),
            "catch_up_s": round(caught_up_s, 2),
            "cut_off": self.cut_off,
        }
        facts |= await self._commanded() | event_facts(self.audit)
        if self.heal_s and self._cut is None:
            facts["heal_s"] = round(max(self.heal_s), 2)
        way = ("the meter's ring or a gateway's outbox", "not in the head-end's table")
        first = [difference(k, expected, got, way) for k in differing[:DIFFERENCES_MAX]]
        return Outcome(facts, expected, got, first, timeline, notes=notes)

    @staticmethod
    def _is(true: Callable[[], bool]) -> Callable[[], Any]:
        async def look() -> bool:
            return await asyncio.to_thread(true)

        return look

    async def _until(self, what: str, true: Callable[[], Any]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not await true():
            self.stack.check()
            if time.monotonic() > deadline:
                raise MeshRunError(f"waited {_PATIENCE_S:g} s for {what}")
            await asyncio.sleep(_POLL_S)


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def run_stack(scenario: Scenario) -> Outcome:
    """The driver `stack`. Raises MeshRunError, ServerError, ConfigError."""
    began_s = time.monotonic()
    options = Options(
        meters=scenario.fleet.meters,
        seed=scenario.seed,
        telegrams=None,
        serve=False,
        truth=None,
        database=None,
        broker=None,
        quiet=True,
    )
    outbox_bytes = scenario.fleet.outbox_bytes
    with Stack(options, roster_of(scenario), outbox_bytes=outbox_bytes) as stack:
        stack.start()
        outcome = asyncio.run(_run_stack(scenario, stack))
    outcome.facts["seconds"] = round(time.monotonic() - began_s, 2)
    return outcome


async def _run_stack(scenario: Scenario, stack: Stack) -> Outcome:
    air = Air(stack.broker_url, stack.roster.net)
    listening = asyncio.create_task(air.run(), name="air")
    try:
        async with HeadEnd(stack.api_url, stack.token) as headend:
            return await StackRun(scenario, stack, air, headend).run()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
