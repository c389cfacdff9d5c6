"""E12: commands down the tree, in peace and while a tenth of the meters is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meter_sim.city.build import MINUTE_US, SECOND_US, City
from meter_sim.city.experiments.measure import Better, Measure, percentile
from meter_sim.city.experiments.stage import draw, raise_city
from meter_sim.city.experiments.steady import latency_limit_s

if TYPE_CHECKING:
    from meter_sim.city.experiments.stage import Plan

_GAP_US = 2 * SECOND_US
_HOPS_MAX = 6


def commands(plan: Plan) -> list[Measure]:
    """E12: a command every two seconds, to each meter once in peace and once after the deaths."""
    city = raise_city(plan)
    world = city.world
    world.start_reports()
    count = min(plan.nodes, 30 if plan.quick else plan.nodes)
    peace = _command(city, draw(plan, 61, world.meters(), count))
    victims = draw(plan, 51, world.meters(), plan.nodes // 10)
    for victim in victims:
        world.kill(victim)
    reachable = city.oracle.routes(city.gateways, dead=victims).reachable
    able = [node for node in world.meters() if reachable[node - 1]]
    faults = _command(city, draw(plan, 62, able, count))
    hops = city.oracle.routes(city.gateways).hops()
    near = [s for node, s in peace.items() if hops[node - 1] <= _HOPS_MAX and s is not None]
    limit_s = 2 * latency_limit_s(city)
    return [
        Measure("success_steady", _share(peace), 1.0, 0.9999, Better.HIGHER),
        Measure("success_tenth_dead", _share(faults), 1.0, 0.9999, Better.HIGHER),
        Measure("round_trip_p95_s", percentile(near, 95), limit_s, 3.0, Better.LOWER),
    ]


def _command(city: City, nodes: list[int]) -> dict[int, float | None]:
    """Node -> seconds until its gateway knew that it had the command; None if it never did."""
    world, sent_us = city.world, {}
    first = len(world.results) + 1
    for token, node in enumerate(nodes, first):
        home = world.station(node).root
        gateway = home if home is not None else city.gateways[0]
        sent_us[token] = world.now_us
        world.command(gateway, node, b"read", token)
        world.run(world.now_us + _GAP_US)
    world.run(world.now_us + 15 * MINUTE_US + MINUTE_US)
    return {node: _seconds(city, token, sent_us[token]) for token, node in enumerate(nodes, first)}


def _seconds(city: City, token: int, sent_us: int) -> float | None:
    at_us, result = city.world.results.get(token, (0, None))
    return (at_us - sent_us) / SECOND_US if result is not None and result.ok else None


def _share(outcomes: dict[int, float | None]) -> float:
    return sum(value is not None for value in outcomes.values()) / len(outcomes)
