"""A city put together: layout, links, oracle and world of a profile, a size and a seed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from meter_sim.city.exact import ExactWorld
from meter_sim.city.fused import FusedWorld
from meter_sim.city.layout import Layout, build_layout
from meter_sim.city.links import LinkTable, build_link_table
from meter_sim.city.oracle import Oracle
from meter_sim.city.weather import Weather

if TYPE_CHECKING:
    from meter_sim.city.profiles import CityProfile
    from meter_sim.city.world import World

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US


@dataclass(frozen=True, slots=True)
class City:
    """A world with the truth about it."""

    layout: Layout
    links: LinkTable
    oracle: Oracle
    world: World

    @property
    def gateways(self) -> list[int]:
        """Numbers of the gateways."""
        return list(range(1, self.layout.gateways + 1))


class Radio(Enum):
    """Which of the two radios carries a city."""

    EXACT = "exact"
    FUSED = "fused"


WORLDS = {Radio.EXACT: ExactWorld, Radio.FUSED: FusedWorld}


def build_city(
    profile: CityProfile,
    meters: int,
    seed: int,
    *,
    gateways: int | None = None,
    radio: Radio = Radio.EXACT,
    weather: Weather | None = None,
    settings: dict[str, int] | None = None,
) -> City:
    """Lay out a city and put stations in it, all of them off."""
    layout = build_layout(profile, meters, seed, gateways=gateways)
    return city_on(layout, profile, seed, radio=radio, weather=weather, settings=settings)


def city_on(
    layout: Layout,
    profile: CityProfile,
    seed: int,
    *,
    radio: Radio,
    weather: Weather | None = None,
    settings: dict[str, int] | None = None,
) -> City:
    """Put stations on places, all of them off."""
    links = build_link_table(profile.radio, layout, seed)
    world = WORLDS[radio](
        layout,
        links,
        seed=seed,
        rate_kbps=profile.radio.rate_kbps,
        weather=weather or Weather(seed),
        settings=settings,
    )
    return City(layout, links, Oracle(links), world)
