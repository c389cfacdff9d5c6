"""What all processes of a city on a broker must agree on; one JSON file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from meter_sim.city.build import MINUTE_US
from meter_sim.city.dice import hash_ints
from meter_sim.city.layout import Layout, build_layout
from meter_sim.city.links import LinkTable, build_link_table
from meter_sim.city.oracle import Oracle
from meter_sim.city.profiles import profile_named

if TYPE_CHECKING:
    from pathlib import Path

ROLLOUT_US = 6 * MINUTE_US
"""Meters are powered on within this time."""


class WirePlan(msgspec.Struct, frozen=True):
    """A city and how it is spread over processes.

    Attributes:
        profile: name of the streets.
        nodes: meters; their numbers follow those of the gateways, which begin at 1.
        gateways: how many.
        seed: of streets, radio, boots and reports.
        divisor: timers, airtime and reports are so much faster.
        processes: every so-manyth meter shares a process.
        air_url: the broker.
        start_ms: UTC ms since 1970 at which the first meter may boot.
    """

    profile: str
    nodes: int
    gateways: int
    seed: int
    divisor: int
    processes: int
    air_url: str
    start_ms: int

    def write(self, path: Path) -> None:
        """Save it for the other processes."""
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, path: Path) -> WirePlan:
        """The plan in a file."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def layout(self) -> Layout:
        """Where everybody is."""
        streets = profile_named(self.profile)
        return build_layout(streets, self.nodes, self.seed, gateways=self.gateways)

    def links(self) -> LinkTable:
        """Who hears whom."""
        return build_link_table(profile_named(self.profile).radio, self.layout(), self.seed)

    def reachable(self) -> int:
        """How many meters have a way to a gateway."""
        routes = Oracle(self.links()).routes(range(1, self.gateways + 1))
        return int(routes.reachable.sum()) - self.gateways

    @property
    def meters(self) -> range:
        """Numbers of the meters."""
        return range(self.gateways + 1, self.gateways + self.nodes + 1)

    def share(self, part: int) -> list[int]:
        """The meters of a process, from 0."""
        return list(self.meters[part :: self.processes])

    def boot_us(self, node: int) -> int:
        """When a meter is powered on, after the start."""
        return hash_ints(self.seed, 21, node) % (ROLLOUT_US // self.divisor)
