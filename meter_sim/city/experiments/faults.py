"""E4 any one node, E5 a tenth at once, E7 a gateway, E15 loops: a city that is hurt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from meter_sim.city.build import HOUR_US, MINUTE_US, SECOND_US, City
from meter_sim.city.experiments.heal import Wound, strike, watch
from meter_sim.city.experiments.measure import Better, Measure, percentile, share
from meter_sim.city.experiments.stage import (
    draw,
    exhaustion_us,
    frames_back,
    lost_after_all,
    raise_city,
    run_until,
    stretch,
    timeline,
)

if TYPE_CHECKING:
    from meter_sim.city.experiments.stage import Plan

_WATCH_US = 3 * MINUTE_US
_KILLED_PERCENT = 10
_QUICK_POSITIONS = 12


def any_one_node(plan: Plan) -> list[Measure]:
    """E4: each meter in turn dies for three minutes and comes back; reports go on.

    Quick runs take a dozen positions instead of all.
    """
    city = raise_city(plan)
    world = city.world
    world.start_reports()
    world.run(world.now_us + 15 * MINUTE_US)
    count = _QUICK_POSITIONS if plan.quick else plan.nodes
    ratios: list[float] = []
    healing_s: list[float] = []
    unhealed = 0
    for victim in draw(plan, 41, world.meters(), count):
        wound = strike(city, [victim])
        watch(city, wound, world.now_us + _WATCH_US)
        ratios += wound.ratios(city)
        healing_s += wound.after_first_try_s(city)
        unhealed += wound.overdue(city)
        world.boot(victim)
        world.run(world.now_us + MINUTE_US)
    lost = lost_after_all(city)
    late_s, tried_s = percentile(healing_s, 99), exhaustion_us() / SECOND_US
    return [
        Measure("heal_p99_over_bound", percentile(ratios, 99), 1.0, 1.3, Better.LOWER),
        Measure("heal_p50_over_bound", percentile(ratios, 50), 1.0, 1.3, Better.LOWER),
        Measure("heal_p99_s_after_try", late_s, tried_s, 1.3 * tried_s, Better.LOWER),
        Measure("not_back_60s_after_bound", unhealed, 0.0, 0.0, Better.LOWER),
        Measure("readings_lost", lost, 0.0, 0.0, Better.LOWER),
    ]


def tenth_at_once(plan: Plan) -> list[Measure]:
    """E5: a tenth of the meters dies at once and stays dead."""
    city = raise_city(plan)
    world, line = city.world, timeline(city)
    world.start_reports()
    world.run(world.now_us + 15 * MINUTE_US)
    died_us = world.now_us
    victims = draw(plan, 51, world.meters(), plan.nodes * _KILLED_PERCENT // 100)
    wound = strike(city, victims)
    line.mark(died_us, victims)
    watch(city, wound, died_us + 5 * MINUTE_US)
    back, gap, stretch_after = _back_share(city, wound), _gap(city), stretch(city)
    world.run(died_us + 75 * MINUTE_US)
    hour = died_us, died_us + HOUR_US
    in_time, count = world.ledger.within(15 * MINUTE_US, from_us=hour[0], until_us=hour[1])
    window = [(r.node, r.produced_us) for r in world.ledger.between(*hour)]
    limit = len(line.deliverable(window, 15 * MINUTE_US)) / count
    return [
        Measure("back_60s_after_bound", back, 1.0, 0.99, Better.HIGHER),
        Measure("gap_to_reachable_300s", gap, 0.0, 0.0002, Better.LOWER),
        Measure("stretch_300s", stretch_after, 1.0, 1.15, Better.LOWER),
        Measure("pdr_15min", in_time / count, limit, limit - 0.001, Better.HIGHER),
        Measure("readings_lost", lost_after_all(city), 0.0, 0.0, Better.LOWER),
    ]


def _back_share(city: City, wound: Wound) -> float:
    """The share of those whose T* is a minute ago that was back within that minute."""
    elapsed_us = city.world.now_us - wound.at_us
    due = {
        node: bound_us + MINUTE_US
        for node in wound.affected
        if (bound_us := wound.bound_us(city, node)) is not None
        and bound_us + MINUTE_US <= elapsed_us
    }
    back = sum(
        node in wound.healed_us and wound.healed_us[node] - wound.at_us <= due_us
        for node, due_us in due.items()
    )
    return share(back, len(due))


def _gap(city: City) -> float:
    """The share of reachable living meters that is not attached now."""
    world = city.world
    reachable = city.oracle.routes(city.gateways, dead=world.dead()).reachable
    able = [node for node in world.meters() if reachable[node - 1]]
    return sum(not world.is_attached(node) for node in able) / len(able)


def gateway_loss(plan: Plan) -> list[Measure]:
    """E7: one gateway dies for good; its meters go to the others."""
    gateways = max(2, round(plan.nodes / plan.streets.nodes_per_gateway))
    city = raise_city(plan, gateways=gateways)
    world = city.world
    world.start_reports()
    world.run(world.now_us + 15 * MINUTE_US)
    victim = draw(plan, 71, city.gateways, 1)[0]
    wound = strike(city, [victim])
    orphans = list(wound.affected)
    t95_s = _rehomed_s(city, wound, victim, 95)
    t100_s = _rehomed_s(city, wound, victim, 100)
    bounds = [us / SECOND_US for node in orphans if (us := wound.bound_us(city, node)) is not None]
    world.run(max(world.now_us, wound.at_us + HOUR_US))
    return [
        Measure("rehomed_t95_s", t95_s, percentile(bounds, 95), 180.0, Better.LOWER),
        Measure("rehomed_t100_s", t100_s, percentile(bounds, 100), 600.0, Better.LOWER),
        Measure("readings_lost", lost_after_all(city), 0.0, 0.0, Better.LOWER),
    ]


def _rehomed_s(city: City, wound: Wound, victim: int, percent: int) -> float:
    """When so many orphans are registered elsewhere; infinite when not within half an hour."""
    world, orphans = city.world, list(wound.affected)
    wanted = math.ceil(len(orphans) * percent / 100)

    def done() -> bool:
        homes = (world.station(node) for node in orphans)
        return sum(home.joined and home.root != victim for home in homes) >= wanted

    found = run_until(city, done, wound.at_us + 30 * MINUTE_US)
    return (world.now_us - wound.at_us) / SECOND_US if found else math.inf


def loop_audit(plan: Plan) -> list[Measure]:
    """E15: frames that came back and cycles of parents, while a tenth dies and comes back."""
    city = raise_city(plan)
    world = city.world
    world.start_reports()
    before = world.frames.count.copy()
    before_back = frames_back(world)
    victims = draw(plan, 51, world.meters(), plan.nodes * _KILLED_PERCENT // 100)
    cycles = _cycles(city, 15)
    for victim in victims:
        world.kill(victim)
    cycles += _cycles(city, 15)
    for victim in victims:
        world.boot(victim)
    cycles += _cycles(city, 30)
    frames = world.frames.count - before
    relayed = sum(frames[kind] for kind in (3, 5, 8))
    share = (frames_back(world) - before_back) / relayed
    return [
        Measure("frames_back_share", share, 0.0, 1e-6, Better.LOWER),
        Measure("parent_cycles", cycles, 0.0, 0.0, Better.LOWER),
    ]


def _cycles(city: City, minutes: int) -> int:
    """How many seconds of so many minutes saw a cycle of preferred parents of one root."""
    seen = 0
    for _ in range(minutes * 60):
        city.world.run(city.world.now_us + SECOND_US)
        seen += bool(city.world.loops())
    return seen
