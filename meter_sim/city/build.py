"""A city put together: layout, links, oracle and world of a profile, a size and a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meter_sim.city.layout import Layout, build_layout
from meter_sim.city.links import LinkTable, build_link_table
from meter_sim.city.oracle import Oracle
from meter_sim.city.world import World

if TYPE_CHECKING:
    from meter_sim.city.profiles import CityProfile

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


def build_city(
    profile: CityProfile, meters: int, seed: int, *, gateways: int | None = None
) -> City:
    """Lay out a city and put stations in it, all of them off."""
    layout = build_layout(profile, meters, seed, gateways=gateways)
    links = build_link_table(profile.radio, layout, seed)
    world = World(layout, links, seed=seed, rate_kbps=profile.radio.rate_kbps)
    return City(layout, links, Oracle(links), world)
