"""E1 reading success, E2 path quality, E13 overhead: a city that nothing happens to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from meter_sim.city.build import HOUR_US, MINUTE_US, City
from meter_sim.city.experiments.measure import Better, Measure, percentile
from meter_sim.city.experiments.stage import DRAIN_US, raise_city, stretch, timeline
from meter_sim.city.experiments.toll import Toll
from meter_sim.city.world import COMMIT_MIN_US, COMMIT_SPREAD_US
from meter_sim.radio import ACK_BYTES, DATA_BYTES

if TYPE_CHECKING:
    from meter_sim.city.experiments.stage import Plan

_DAY_H, _QUICK_H = 24, 2
_UP, _HACK = 5, 7
_TRICKLE_MAX_H = 4.096 * 2**8 / 3600


def reading_success(plan: Plan) -> list[Measure]:
    """E1: share of readings at a gateway in 15 min and after all, against the deliverable share."""
    city = raise_city(plan)
    world, line = city.world, timeline(city)
    begin_us = world.now_us
    end_us = begin_us + (_QUICK_H if plan.quick else _DAY_H) * HOUR_US
    world.start_reports()
    world.run(end_us + DRAIN_US)
    window = [(r.node, r.produced_us) for r in world.ledger.between(begin_us, end_us)]
    share = len(line.deliverable(window, 15 * MINUTE_US)) / len(window)
    finally_share = len(line.deliverable(window, DRAIN_US)) / len(window)
    in_time, count = world.ledger.within(15 * MINUTE_US, from_us=begin_us, until_us=end_us)
    arrived, _ = world.ledger.within(2 * _DAY_H * HOUR_US, from_us=begin_us, until_us=end_us)
    latency_s = percentile(world.ledger.latencies_us(from_us=begin_us), 95) / 1e6
    limit_s = latency_limit_s(city)
    return [
        Measure("pdr_15min", in_time / count, share, share - 0.0005, Better.HIGHER),
        Measure("pdr_end", arrived / count, finally_share, finally_share - 1e-5, Better.HIGHER),
        Measure("latency_p95_s", latency_s, limit_s, 2 * limit_s, Better.LOWER),
    ]


def latency_limit_s(city: City) -> float:
    """The 95th percentile over meters: airtime on the best path, and the gateway's commit."""
    air = city.world.air
    hop_us = air.duration_us(DATA_BYTES) + air.duration_us(ACK_BYTES)
    etx = city.oracle.routes(city.gateways).etx[city.layout.gateways :]
    commit_us = COMMIT_MIN_US + COMMIT_SPREAD_US / 2
    costs = [cost for cost in etx.tolist() if math.isfinite(cost)]
    return (percentile(costs, 95) * hop_us + commit_us) / 1e6


def path_quality(plan: Plan) -> list[Measure]:
    """E2: actual over best ETX, half an hour after forming."""
    city = raise_city(plan)
    city.world.start_reports()
    city.world.run(city.world.now_us + 30 * MINUTE_US)
    attached = sum(city.world.is_attached(node) for node in city.world.meters())
    reachable = int(city.oracle.routes(city.gateways).reachable[city.layout.gateways :].sum())
    share = attached / reachable
    return [
        Measure("stretch", stretch(city), 1.0, 1.08, Better.LOWER),
        Measure("attached_share", share, 1.0, 1.0, Better.HIGHER),
    ]


def overhead(plan: Plan) -> list[Measure]:
    """E13: what the network spends on itself, in steady state and on forming."""
    city = raise_city(plan)
    world = city.world
    formation = sum(n for kind, n in world.frames.count.items() if kind not in {_UP, _HACK})
    hours = 1 if plan.quick else 3
    world.start_reports()
    world.run(world.now_us + 15 * MINUTE_US)
    toll = Toll.of(city)
    world.run(world.now_us + hours * HOUR_US)
    control = toll.control_frames() / (plan.nodes * hours)
    hops = city.oracle.routes(city.gateways).hops()[city.layout.gateways :]
    # An advertisement per longest interval; a registration and its answer over all hops in 2 h.
    floor = 1 / _TRICKLE_MAX_H + float(hops[hops > 0].mean())
    share = toll.airtime_share(hours * HOUR_US)
    return [
        Measure("control_frames_node_h", control, floor, 1.5 * floor, Better.LOWER),
        Measure("control_share_airtime", toll.control_share(), 0.0, 0.12, Better.LOWER),
        Measure("duty_cycle_mean", share, 0.0, 0.01, Better.LOWER),
        Measure("nodes_over_duty_budget", world.budget.over, 0.0, 0.0, Better.LOWER),
        Measure("formation_frames_node", formation / plan.nodes, 0.0, 60.0, Better.LOWER),
    ]
