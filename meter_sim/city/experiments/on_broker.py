"""E17: engines and gateways on a real broker, killed with SIGKILL, against the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meter_sim.broker_city.replay import replay
from meter_sim.broker_city.run import QUICK, Story, run_on_broker
from meter_sim.city.experiments.measure import Better, Measure, percentile

if TYPE_CHECKING:
    from meter_sim.city.experiments.stage import Plan

_METERS_A_GATEWAY = 125
_PROCESSES = 4
_DIVISOR, _DIVISOR_QUICK = 4, 20
"""Timers, airtime and reports run that much faster than in the field."""


def on_a_broker(plan: Plan) -> list[Measure]:
    """E17: a process of engines and a gateway are killed and come back; what differs?"""
    streets, real = run_on_broker(
        plan.profile,
        nodes=plan.nodes,
        gateways=max(2, plan.nodes // _METERS_A_GATEWAY),
        seed=plan.seed,
        divisor=_DIVISOR_QUICK if plan.quick else _DIVISOR,
        processes=_PROCESSES,
        story=QUICK if plan.quick else Story(),
    )
    told = replay(streets, real.happenings, real.stopped_us)
    share, told_share = real.in_time / real.made, told.in_time / told.made
    return [
        Measure("pdr_15min_gap_pp", abs(share - told_share) * 100, 0.0, 0.5, Better.LOWER),
        Measure("pdr_15min", share, told_share, told_share - 0.005, Better.HIGHER),
        Measure("readings_lost", real.made - real.arrived, 0.0, 0.0, Better.LOWER),
        Measure("joined_t95_s", real.t95_s, told.t95_s, 1.2 * told.t95_s, Better.LOWER),
        Measure("back_t95_s", real.back_s, told.back_s, 1.2 * told.back_s, Better.LOWER),
        _delay("delay_p50_s", real.delays_ms, told.delays_ms, 50),
        _delay("delay_p95_s", real.delays_ms, told.delays_ms, 95),
    ]


def _delay(name: str, real_ms: list[int], told_ms: list[int], percent: float) -> Measure:
    limit_s = percentile(told_ms, percent) / 1000
    value_s = percentile(real_ms, percent) / 1000
    return Measure(name, value_s, limit_s, 1.2 * limit_s, Better.LOWER)
