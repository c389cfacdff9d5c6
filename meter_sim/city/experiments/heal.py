"""A wound and its healing: who was behind the dead, when each could know, when each was back."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meter_sim.city.build import MINUTE_US, SECOND_US
from meter_sim.city.experiments.stage import STEP_US, exhaustion_us
from meter_sim.city.oracle import heal_bound_us

if TYPE_CHECKING:
    from meter_sim.city.build import City


@dataclass(slots=True)
class Wound:
    """The death of some nodes.

    Attributes:
        at_us: when.
        affected: meter -> (last living hop of its path, the dead next hop); only meters that can
            still reach a gateway count.
        healed_us: meter -> when its chain of parents led to a living gateway again.
    """

    at_us: int
    affected: dict[int, tuple[int, int]]
    healed_us: dict[int, int] = field(default_factory=dict)

    def bound_us(self, city: City, node: int) -> int | None:
        """T* since the death; None when nobody has tried the broken hop yet."""
        tried_us = city.world.first_try_us.get(self.affected[node])
        return None if tried_us is None else heal_bound_us(tried_us - self.at_us, exhaustion_us())

    def ratios(self, city: City) -> list[float]:
        """Healing time over T* of the healed; a switch before anything was lost is a 1."""
        out = []
        for node, healed_us in self.healed_us.items():
            bound_us = self.bound_us(city, node)
            out.append(1.0 if bound_us is None else (healed_us - self.at_us) / bound_us)
        return out

    def after_first_try_s(self, city: City) -> list[float]:
        """Seconds from the first try of the broken hop until back, of the healed."""
        tries = city.world.first_try_us
        return [
            max(0, healed_us - tries.get(self.affected[node], healed_us)) / SECOND_US
            for node, healed_us in self.healed_us.items()
        ]

    def overdue(self, city: City) -> int:
        """How many are not back though their T* is more than a minute ago."""
        elapsed_us = city.world.now_us - self.at_us
        bounds = (self.bound_us(city, n) for n in self.affected if n not in self.healed_us)
        return sum(bound is not None and bound + MINUTE_US < elapsed_us for bound in bounds)


def strike(city: City, victims: list[int]) -> Wound:
    """Kill nodes and note who is behind them."""
    world = city.world
    doomed = set(victims)
    chains = {node: world.chain(node) for node in world.meters() if node not in doomed}
    reachable = city.oracle.routes(city.gateways, dead=doomed | set(world.dead())).reachable
    for victim in victims:
        world.kill(victim)
    affected = {
        node: broken
        for node, chain in chains.items()
        if reachable[node - 1] and (broken := _broken_hop(chain, doomed)) is not None
    }
    return Wound(world.now_us, affected)


def _broken_hop(chain: list[int], dead: set[int]) -> tuple[int, int] | None:
    hops = itertools.pairwise(chain)
    return next(((near, far) for near, far in hops if far in dead), None)


def watch(city: City, wound: Wound, until_us: int) -> None:
    """Run on and note when each affected meter is back, to a quarter of a second."""
    world = city.world
    while world.now_us < until_us:
        open_nodes = [node for node in wound.affected if node not in wound.healed_us]
        if not open_nodes:
            world.run(until_us)
            return
        world.run(min(until_us, world.now_us + STEP_US))
        for node in open_nodes:
            if world.is_attached(node):
                wound.healed_us[node] = world.now_us
