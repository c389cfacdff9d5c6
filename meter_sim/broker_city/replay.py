"""The simulator is told the story of a run on a broker: the same city, the same deeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from meter_sim.broker_city.run import Deed, Happening, Outcome, deadline_us
from meter_sim.city.exact import ExactWorld
from meter_sim.city.profiles import profile_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meter_sim.broker_city.plan import WirePlan

_STEP_US = 500_000
"""How often the processes of a real run say how many have joined."""


def replay(plan: WirePlan, happenings: list[Happening], stopped_us: int) -> Outcome:
    """Run the exact radio through a story. Returns: what came of it, by the same measure."""
    world = _world(plan)
    outcome = Outcome(happenings=happenings, stopped_us=stopped_us)
    wanted = math.ceil(plan.reachable() * 0.95)
    revived = _revived(happenings)
    deeds = sorted([*_boots(plan), *happenings], key=lambda deed: deed.at_us)
    end = Happening(stopped_us + deadline_us(plan), Deed.BOOT, ())
    for deed in [*deeds, end]:
        for now_us in _steps(world.now_us, deed.at_us):
            world.run(now_us)
            if outcome.t95_s == math.inf and _joined(world, plan.meters) >= wanted:
                outcome.t95_s = world.now_us / 1e6
            if outcome.back_s == math.inf and revived is not None:
                outcome.back_s = _back_s(world, revived)
        for node in deed.nodes:
            if deed.deed is Deed.KILL:
                world.kill(node)
            else:
                world.boot(node)
    _count(world, plan, outcome)
    return outcome


def _world(plan: WirePlan) -> ExactWorld:
    """The city with its gateways on; meters report from the start, as far as they are on."""
    world = ExactWorld(
        plan.layout(),
        plan.links(),
        seed=plan.seed,
        rate_kbps=profile_named(plan.profile).radio.rate_kbps * plan.divisor,
        settings={"timer_divisor": plan.divisor},
    )
    for gateway in range(1, plan.gateways + 1):
        world.boot(gateway)
    world.start_reports()
    return world


def _count(world: ExactWorld, plan: WirePlan, outcome: Outcome) -> None:
    ledger, until_us = world.ledger, outcome.stopped_us
    outcome.in_time, outcome.made = ledger.within(deadline_us(plan), from_us=0, until_us=until_us)
    outcome.delays_ms = sorted(
        (reading.delivered_us - reading.produced_us) // 1000
        for reading in ledger.between(0, until_us)
        if reading.delivered_us is not None
    )
    outcome.arrived = len(outcome.delays_ms)


def _revived(happenings: list[Happening]) -> Happening | None:
    """The return of a process; a gateway is one node."""
    boots = [h for h in happenings if h.deed is Deed.BOOT and len(h.nodes) > 1]
    return max(boots, key=lambda boot: boot.at_us, default=None)


def _boots(plan: WirePlan) -> Iterable[Happening]:
    return [Happening(plan.boot_us(node), Deed.BOOT, (node,)) for node in plan.meters]


def _steps(from_us: int, until_us: int) -> Iterator[int]:
    """The moments at which to look, and the end."""
    yield from range((from_us // _STEP_US + 1) * _STEP_US, until_us, _STEP_US)
    yield until_us


def _back_s(world: ExactWorld, revived: Happening) -> float:
    """How long the revived have been back when 95 % have joined; infinite before."""
    since_us = world.now_us - revived.at_us
    wanted = math.ceil(len(revived.nodes) * 0.95)
    back = since_us > 0 and _joined(world, revived.nodes) >= wanted
    return since_us / 1e6 if back else math.inf


def _joined(world: ExactWorld, nodes: Iterable[int]) -> int:
    stations = (world.nodes[node].station for node in nodes)
    return sum(station is not None and station.joined for station in stations)
