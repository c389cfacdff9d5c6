"""E3 cold start, E8 a gateway that boots again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from meter_sim.city.build import MINUTE_US, SECOND_US, City
from meter_sim.city.experiments.measure import Better, Measure
from meter_sim.city.experiments.stage import draw, joined, raise_city, run_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from meter_sim.city.experiments.stage import Plan

_LIMIT_US = 30 * MINUTE_US
_DOWN_US = 20 * SECOND_US
_ASKED = 20
_WAVE_S = 4.096 / 2
_REG_AIRTIME_S = 0.078
"""Three frames of 26 ms at the gateway for each registration."""


def cold_start(plan: Plan) -> list[Measure]:
    """E3: everybody is powered on within a second; when are 95, 99, 100 % registered?"""
    city = plan.city()
    city.world.boot_all(SECOND_US)
    routes = city.oracle.routes(city.gateways)
    reachable = int(routes.reachable.sum()) - city.layout.gateways
    limit_s = int(routes.hops().max()) * _WAVE_S
    limit_s += _REG_AIRTIME_S * plan.nodes / city.layout.gateways
    out = []
    for percent, target_s in ((95, 240.0), (99, 240.0), (100, 480.0)):
        wanted = math.ceil(reachable * percent / 100)
        value_s = _seconds_until(city, lambda wanted=wanted: joined(city) >= wanted)  # type: ignore[misc]
        out.append(Measure(f"t{percent}_s", value_s, limit_s, target_s, Better.LOWER))
    return out


def _seconds_until(city: City, done: Callable[[], bool], since_us: int = 0) -> float:
    found = run_until(city, done, since_us + _LIMIT_US)
    return (city.world.now_us - since_us) / SECOND_US if found else math.inf


def gateway_reboot(plan: Plan) -> list[Measure]:
    """E8: a gateway is off for 20 s; when do commands get through again?"""
    arrived_s, reported_s = _commands_after(plan)
    limit_s = _REG_AIRTIME_S * plan.nodes
    return [
        Measure("arrived_with_disk_s", arrived_s, 0.0, 10.0, Better.LOWER),
        Measure("reported_with_disk_s", reported_s, 0.0, 10.0, Better.LOWER),
        Measure("routes_without_disk_s", _routes_after(plan), limit_s, 300.0, Better.LOWER),
    ]


def _rebooted(plan: Plan, *, blank: bool) -> City:
    """A city of one gateway, right after its boot."""
    city = raise_city(plan, gateways=1)
    city.world.kill(1)
    city.world.run(city.world.now_us + _DOWN_US)
    city.world.boot(1, blank=blank)
    return city


def _commands_after(plan: Plan) -> tuple[float, float]:
    """When the last of some commands was at its meter, and was known at the gateway to be there."""
    city = _rebooted(plan, blank=False)
    world, since_us = city.world, city.world.now_us
    asked = draw(plan, 31, world.meters(), _ASKED)
    for token, node in enumerate(asked, 1):
        world.command(1, node, b"read", token)
    run_until(city, lambda: len(world.results) == len(asked), since_us + _LIMIT_US)
    arrived = [world.received[node][0][0] for node in asked if node in world.received]
    reported = [at_us for at_us, result in world.results.values() if result.ok]
    return _last_s(arrived, len(asked), since_us), _last_s(reported, len(asked), since_us)


def _last_s(times_us: list[int], count: int, since_us: int) -> float:
    return (max(times_us) - since_us) / SECOND_US if len(times_us) == count else math.inf


def _routes_after(plan: Plan) -> float:
    city = _rebooted(plan, blank=True)
    reachable = int(city.oracle.routes(city.gateways).reachable.sum()) - 1
    return _seconds_until(
        city, lambda: len(city.world.station(1).routes()) >= reachable, city.world.now_us
    )
