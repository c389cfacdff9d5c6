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
    links = plan.links()
    world = ExactWorld(
        plan.layout(),
        links,
        seed=plan.seed,
        rate_kbps=profile_named(plan.profile).radio.rate_kbps * plan.divisor,
        settings={"timer_divisor": plan.divisor},
    )
    outcome = Outcome(happenings=happenings, stopped_us=stopped_us)
    for gateway in range(1, plan.gateways + 1):
        world.boot(gateway)
    world.start_reports()
    deeds = sorted([*_boots(plan), *happenings], key=lambda deed: deed.at_us)
    revived = max(
        (h for h in happenings if h.deed is Deed.BOOT and len(h.nodes) > 1),
        key=lambda h: h.at_us,
        default=None,
    )
    end_us = stopped_us + deadline_us(plan)
    for deed in [*deeds, Happening(end_us, Deed.BOOT, ())]:
        for now_us in _steps(world.now_us, deed.at_us):
            world.run(now_us)
            _note(world, plan, outcome, revived)
        for node in deed.nodes:
            if deed.deed is Deed.KILL:
                world.kill(node)
            else:
                world.boot(node)
    ledger = world.ledger
    outcome.in_time, outcome.made = ledger.within(deadline_us(plan), from_us=0, until_us=stopped_us)
    window = ledger.between(0, stopped_us)
    outcome.arrived = sum(reading.delivered_us is not None for reading in window)
    outcome.delays_ms = sorted(
        (reading.delivered_us - reading.produced_us) // 1000
        for reading in window
        if reading.delivered_us is not None
    )
    return outcome


def _boots(plan: WirePlan) -> Iterable[Happening]:
    return [Happening(plan.boot_us(node), Deed.BOOT, (node,)) for node in plan.meters]


def _steps(from_us: int, until_us: int) -> Iterator[int]:
    """The moments at which to look, and the end."""
    yield from range((from_us // _STEP_US + 1) * _STEP_US, until_us, _STEP_US)
    yield until_us


def _note(world: ExactWorld, plan: WirePlan, outcome: Outcome, revived: Happening | None) -> None:
    now_us = world.now_us
    if outcome.t95_s == math.inf and _joined(world, plan.meters) >= math.ceil(plan.nodes * 0.95):
        outcome.t95_s = now_us / 1e6
    waits = revived is not None and revived.at_us < now_us and outcome.back_s == math.inf
    if revived is None or not waits:
        return
    if _joined(world, revived.nodes) >= math.ceil(len(revived.nodes) * 0.95):
        outcome.back_s = (now_us - revived.at_us) / 1e6


def _joined(world: ExactWorld, nodes: Iterable[int]) -> int:
    stations = (world.nodes[node].station for node in nodes)
    return sum(station is not None and station.joined for station in stations)
