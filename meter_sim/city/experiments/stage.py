"""Common ground of the experiments: a city brought up, its paths, its faults."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from meter_sim.city.build import HOUR_US, MINUTE_US, SECOND_US, City, Radio, build_city
from meter_sim.city.dice import hash_ints
from meter_sim.city.exact import ExactWorld
from meter_sim.city.fused import FusedStation, FusedWorld
from meter_sim.city.oracle import Timeline
from meter_sim.city.profiles import CityProfile, profile_named
from meter_sim.city.weather import Weather
from ohmesh.mesh import constants as c
from ohmesh.mesh.arq import wait_ms
from ohmesh.mesh.config import StationConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meter_sim.city.world import World
    from ohmesh.mesh import Sealer

STEP_US = SECOND_US // 4
ROLLOUT_US = 2 * MINUTE_US
"""Where the start is not what is measured, meters are powered on within this time."""
FORMED_US_MAX = 30 * MINUTE_US
SETTLE_US = 5 * MINUTE_US
EXACT_MAX = 300
"""Meters up to which the exact radio is used when nothing is said."""
FADING_TENTHS, FLAKY_PERCENT = 20, 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        profile: name of the streets.
        nodes: meters.
        seed: of streets, radio and stations.
        quick: shorter runs for continuous integration.
        radio: exact or fused; exact up to 300 meters when not said.
        weather: whether links fade and flicker.
        settings: fields of StationConfig that differ from the defaults.
        sealer: of the exact radio; a stub when not said.
        station: of the fused radio; another one for what-if runs.
        watch: told of each simulated minute of every city of the plan.
    """

    profile: str
    nodes: int
    seed: int
    quick: bool = False
    radio: Radio | None = None
    weather: bool = False
    settings: tuple[tuple[str, int], ...] = ()
    sealer: Sealer | None = None
    station: type[FusedStation] | None = None
    watch: Callable[[World], None] | None = None

    @property
    def streets(self) -> CityProfile:
        """The profile itself."""
        return profile_named(self.profile)

    def city(self, *, gateways: int | None = None, weather: Weather | None = None) -> City:
        """The city, everybody off."""
        radio = self.radio or (Radio.EXACT if self.nodes <= EXACT_MAX else Radio.FUSED)
        usual = Weather(self.seed, FADING_TENTHS, FLAKY_PERCENT) if self.weather else None
        city = build_city(
            self.streets,
            self.nodes,
            self.seed,
            gateways=gateways,
            radio=radio,
            weather=weather or usual,
            settings=dict(self.settings),
        )
        if self.sealer is not None and isinstance(city.world, ExactWorld):
            city.world.sealer = self.sealer
        if self.station is not None and isinstance(city.world, FusedWorld):
            city.world.station_kind = self.station
        city.world.watch = self.watch
        return city


def raise_city(plan: Plan, *, gateways: int | None = None, weather: Weather | None = None) -> City:
    """A city whose meters have joined, all that can reach a gateway, and settled."""
    city = plan.city(gateways=gateways, weather=weather)
    city.world.boot_all(ROLLOUT_US)
    city.world.run(ROLLOUT_US)
    run_until(city, _formed(city), FORMED_US_MAX)
    city.world.run(city.world.now_us + SETTLE_US)
    return city


def _formed(city: City) -> Callable[[], bool]:
    """Whether all are registered that can be: only who was missing is looked at, then all again."""
    reachable = city.oracle.routes(city.gateways).reachable
    able = [node for node in city.world.meters() if reachable[node - 1]]
    missing = able

    def done() -> bool:
        nonlocal missing
        missing = _unjoined(city, missing) or _unjoined(city, able)
        return not missing

    return done


def _unjoined(city: City, nodes: list[int]) -> list[int]:
    nodes_of = city.world.nodes
    return [n for n in nodes if (at := nodes_of[n].station) is not None and not at.joined]


def run_until(
    city: City, done: Callable[[], bool], limit_us: int, step_us: int = SECOND_US
) -> bool:
    """Run in steps until something is so. Returns: False when the time was up first."""
    world = city.world
    while world.now_us < limit_us:
        if done():
            return True
        world.run(min(limit_us, world.now_us + step_us))
    return done()


def with_radio(plan: Plan, radio: Radio) -> Plan:
    """The plan on that radio, whatever it said."""
    return replace(plan, radio=radio)


DRAIN_US = 3 * HOUR_US
"""Longer than the 2.2 h after which everything unacknowledged is sent again."""


def lost_after_all(city: City) -> int:
    """Readings of living, reachable meters that no gateway has three hours later."""
    world = city.world
    until_us = world.now_us
    world.run(until_us + DRAIN_US)
    reachable = city.oracle.routes(city.gateways, dead=world.dead()).reachable
    return sum(bool(reachable[r.node - 1]) for r in world.ledger.missing(until_us))


def frames_back(world: World) -> int:
    """How many frames came back so far: to a node that had sent them on, or to their origin."""
    return world.traces["forward.loop"] + world.traces["forward.returned"]


def joined(city: City) -> int:
    """Living meters that are registered."""
    stations = (city.world.nodes[node].station for node in city.world.meters())
    return sum(station is not None and station.joined for station in stations)


def timeline(city: City) -> Timeline:
    """The reachable set from the beginning of time, to be marked at each fault."""
    line = Timeline(city.oracle, city.gateways)
    line.mark(0)
    return line


def draw(plan: Plan, label: int, nodes: Iterable[int], count: int) -> list[int]:
    """Some of the nodes, by lot."""
    ordered = sorted(nodes, key=lambda node: hash_ints(plan.seed, label, node))
    return sorted(ordered[:count])


def path_etx(city: City, node: int) -> float:
    """The true cost of a node's present path; infinite when it leads nowhere."""
    if not city.world.is_attached(node):
        return math.inf
    chain = city.world.chain(node)
    return sum(city.oracle.link_etx(a, b) for a, b in itertools.pairwise(chain))


def stretch(city: City) -> float:
    """The mean of actual over best ETX of the living meters that are attached."""
    best = city.oracle.routes(city.gateways, dead=city.world.dead()).etx
    ratios = [
        actual / best[node - 1]
        for node in city.world.meters()
        if city.world.nodes[node].station is not None
        and math.isfinite(actual := path_etx(city, node))
        and math.isfinite(best[node - 1])
    ]
    return fmean(ratios) if ratios else math.inf


def exhaustion_us() -> int:
    """How long a station tries a neighbour that is silent, in the mean: its ARQ's constants."""
    config = StationConfig(node=1, net=0, is_root=False, epoch=0)
    backoffs_ms = sum(
        ((1 << min(c.BACKOFF_EXPONENT_MIN + n, c.BACKOFF_EXPONENT_MAX)) - 1) * c.BACKOFF_SLOT_MS / 2
        for n in range(1, config.attempts)
    )
    waits_ms = sum(wait_ms(config.ack_timeout_ms, n) for n in range(1, config.attempts + 1))
    return round(1000 * (waits_ms + backoffs_ms))
