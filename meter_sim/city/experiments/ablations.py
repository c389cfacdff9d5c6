"""E18: the mesh without one of its features, to see what each earns."""

from __future__ import annotations

import inspect
import math
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meter_sim.city.build import HOUR_US, MINUTE_US, Radio
from meter_sim.city.experiments.heal import strike, watch
from meter_sim.city.experiments.measure import Better, Measure, percentile
from meter_sim.city.experiments.stage import draw, frames_back, raise_city, stretch, with_radio
from meter_sim.city.experiments.toll import Toll
from meter_sim.city.fused import FusedStation
from ohmesh.mesh import constants as c
from ohmesh.mesh.feasibility import Feasibility
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meter_sim.city.experiments.stage import Plan
    from ohmesh.mesh.frames import Hack

_EARNS = 0.2
"""A feature stays when the mesh without it is so much worse in one figure."""


class WithoutRankInHack(FusedStation):
    """Acknowledgements say nothing of where the acknowledger stands."""

    __slots__ = ()

    def done(self, now_ms: int, attempts: int, hack: Hack | None) -> Any:
        """Put the tag known before into the acknowledgement."""
        flying = self._engine.forwarder._flying_to  # noqa: SLF001 - a what-if looks inside
        row = self._engine.core.neighbours.get(flying)
        if hack is not None and row is not None:
            hack = replace(hack, tag=row.tag)
        return super().done(now_ms, attempts, hack)


class Lenient(Feasibility):
    """Everybody may be a parent at once."""

    def is_feasible(self, tag: object, best_rank: int) -> bool:
        """Whatever it says."""
        del tag, best_rank
        return True

    def bound(self, root: int) -> None:
        """Nothing bounds the choice of parents, which looks here and not above."""
        del root


class WithoutFeasibility(FusedStation):
    """Any neighbour with a route is taken at once."""

    __slots__ = ()

    def start(self, now_ms: int) -> Any:
        """Forget the condition, then boot."""
        self._engine.core.feasibility = Lenient()
        return super().start(now_ms)


RPL_LITE = {
    "TRICKLE_K": 0,
    "PROBE_LEAF_MS": 90_000,
    "SOLICIT_MIN_MS": 30_000,
    "SOLICIT_MAX_MS": 30_000,
    "HOLD_DOWN_MS": 300_000,
    "REG_LIFETIME_S": 1_800,
}
"""Contiki-NG's constants (docs/mesh, 1.4)."""
ABLATIONS: dict[str, tuple[type[FusedStation], dict[str, int]]] = {
    "rank_in_hack": (WithoutRankInHack, {}),
    "failover": (FusedStation, {"MAX_PARENTS": 1}),
    "feasibility": (WithoutFeasibility, {}),
    "own_constants": (FusedStation, RPL_LITE),
}


@contextmanager
def constants(changed: dict[str, int]) -> Iterator[None]:
    """Run with other constants."""
    held = {name: getattr(c, name) for name in changed}
    for name, value in changed.items():
        setattr(c, name, value)
    try:
        yield
    finally:
        for name, value in held.items():
            setattr(c, name, value)


def ablations(plan: Plan) -> list[Measure]:
    """E18: what each feature earns: the worst relative loss in any figure without it.

    Raises:
        ConfigError: in a compiled copy, where constants are part of the machine code.
    """
    if not inspect.isfunction(FusedStation.wake):
        raise ConfigError("E18 changes the engine: run it without the compiled copy in PYTHONPATH")
    plan = with_radio(plan, Radio.FUSED)
    whole = figures(plan)
    out = []
    for name, (station, changed) in ABLATIONS.items():
        with constants(changed):
            without = figures(replace(plan, station=station))
        worst = max(_worse(without[key], whole[key]) for key in whole)
        out.append(Measure(f"{name}_earns", worst, 0.0, _EARNS, Better.HIGHER))
        out += [
            Measure(f"{name}:{key}", without[key], whole[key], math.inf, Better.LOWER)
            for key in whole
        ]
    return out


def _worse(without: float, whole: float) -> float:
    """How much a figure (smaller is better) rises; nothing to something counts as all."""
    if whole <= 0:
        return float(without > 0)
    return (without - whole) / whole


def figures(plan: Plan) -> dict[str, float]:
    """An hour, the death of a tenth, an hour: figures of which less is better."""
    city = raise_city(plan)
    world = city.world
    world.start_reports()
    world.run(world.now_us + 15 * MINUTE_US)
    toll = Toll.of(city)
    world.run(world.now_us + HOUR_US)
    control, calm = toll.control_frames() / plan.nodes, stretch(city)
    back = frames_back(world)
    victims = draw(plan, 51, world.meters(), plan.nodes // 10)
    wound = strike(city, victims)
    died_us = world.now_us
    watch(city, wound, died_us + 10 * MINUTE_US)
    world.run(died_us + HOUR_US)
    waits = wound.after_first_try_s(city)
    late = [us / 1e6 for us in world.ledger.latencies_us(from_us=died_us)]
    open_share = (len(wound.affected) - len(wound.healed_us)) / max(1, len(wound.affected))
    return {
        "control_frames_node_h": control,
        "stretch": calm,
        "stretch_after": stretch(city),
        "heal_p95_s": percentile(waits or [0.0], 95),
        "delay_p99_s": percentile(late or [0.0], 99),
        "unhealed_share": open_share,
        "frames_back": float(frames_back(world) - back),
    }
