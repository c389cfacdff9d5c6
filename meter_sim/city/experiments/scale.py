"""E16: do the figures stay when the city grows and gateways grow with it?"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from meter_sim.city.build import HOUR_US, MINUTE_US, SECOND_US, Radio
from meter_sim.city.experiments.measure import Better, Measure
from meter_sim.city.experiments.stage import joined, run_until, with_radio

if TYPE_CHECKING:
    from meter_sim.city.build import City
    from meter_sim.city.experiments.stage import Plan

_SMALLER = 10
_FLAT = 0.05
_SPEED_PER_S = 90_000


def scale(plan: Plan) -> list[Measure]:
    """E16: a city of all the nodes against one of a tenth of them."""
    small = _figures(with_radio(replace(plan, nodes=max(50, plan.nodes // _SMALLER)), Radio.FUSED))
    large = _figures(with_radio(plan, Radio.FUSED))
    return [
        Measure("pdr_15min_change", abs(large[0] - small[0]), 0.0, _FLAT, Better.LOWER),
        Measure("t95_ratio", large[1] / small[1], 1.0, 1 + _FLAT, Better.LOWER),
        Measure("t95_large_s", large[1], small[1], 240.0, Better.LOWER),
        Measure("events_per_s", large[2], small[2], _SPEED_PER_S, Better.HIGHER),
    ]


def _figures(plan: Plan) -> tuple[float, float, float]:
    """Reading success of an hour, T95 of the cold start, events a second of CPU."""
    city = plan.city()
    city.world.boot_all(SECOND_US)
    cpu_s = time.process_time()
    t95_s = _t95_s(city)
    world = city.world
    world.run(world.now_us + 10 * MINUTE_US)
    world.start_reports()
    began_us = world.now_us + 15 * MINUTE_US
    world.run(began_us + HOUR_US + 15 * MINUTE_US)
    good, count = world.ledger.within(15 * MINUTE_US, from_us=began_us, until_us=began_us + HOUR_US)
    return good / count, t95_s, world.events / (time.process_time() - cpu_s)


def _t95_s(city: City) -> float:
    world = city.world
    reachable = int(city.oracle.routes(city.gateways).reachable.sum()) - city.layout.gateways
    found = run_until(
        city,
        lambda: joined(city) >= math.ceil(reachable * 0.95),
        30 * MINUTE_US,
    )
    return world.now_us / SECOND_US if found else math.inf
