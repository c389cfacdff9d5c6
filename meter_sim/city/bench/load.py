"""What the benchmark plays: a city, or one shard of it, that forms and then reports."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from meter_sim.city.build import MINUTE_US, Radio, city_on
from meter_sim.city.layout import build_layout
from meter_sim.city.profiles import profile_named
from meter_sim.city.shards import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from meter_sim.city.build import City
    from meter_sim.city.world import World

FORMING_MINUTES, SETTLING_MINUTES = 30, 30
_DEADLINE_MINUTES = 15


@dataclass(frozen=True, slots=True)
class Load:
    """What to run: a city of a profile, a size and a seed, and which of its shards."""

    profile: str
    nodes: int
    seed: int
    minutes: int
    radio: Radio
    shards: int = 1
    shard: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """What one shard came to.

    Attributes:
        meters: played, halo included.
        own: of these, its own; what follows counts them alone.
        joined: registered after forming and settling.
        made, in_time: readings produced 15 min before the end or earlier; those that arrived
            within 15 min.
        events, cpu_s, wall_s: of the minutes that reported, halo included.
        links: in the table.
        rss_mib: most memory the process ever had.
        digest: of all transmissions and deliveries.
    """

    meters: int
    own: int
    joined: int
    made: int
    in_time: int
    events: int
    cpu_s: float
    wall_s: float
    links: int
    rss_mib: int
    digest: str


@dataclass(frozen=True, slots=True)
class Formed:
    """A city, or a shard, that has formed and settled and begins to report; `own`: meters."""

    city: City
    own: NDArray[np.int64]
    joined: int

    def part(self, load: Load, events: int, *, cpu_s: float, wall_s: float) -> Part:
        """What it came to, after the minutes that cost so much."""
        world = self.city.world
        made, in_time = _readings(world, self.own, load.minutes)
        return Part(
            meters=len(world.meters()),
            own=len(self.own),
            joined=self.joined,
            made=made,
            in_time=in_time,
            events=events,
            cpu_s=cpu_s,
            wall_s=wall_s,
            links=len(self.city.links.receiver),
            rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            digest=world.digest,
        )


def form(load: Load) -> Formed:
    """Build a city, or its shard, and let it form and settle."""
    streets = profile_named(load.profile)
    whole = build_layout(streets, load.nodes, load.seed)
    shard = cut(whole, streets.radio, load.shards)[load.shard]
    city = city_on(shard.layout, streets, load.seed, radio=load.radio)
    world = city.world
    world.boot_all(FORMING_MINUTES * MINUTE_US)
    world.run((FORMING_MINUTES + SETTLING_MINUTES) * MINUTE_US)
    joined = sum(world.station(int(node)).joined for node in shard.own)
    world.start_reports()
    return Formed(city, shard.own, joined)


def _readings(world: World, own: NDArray[np.int64], minutes: int) -> tuple[int, int]:
    """Own readings whose deadline has passed, and those of them that kept it."""
    deadline_us = _DEADLINE_MINUTES * MINUTE_US
    from_us = world.now_us - minutes * MINUTE_US
    mine = set(own.tolist())
    due = [
        reading
        for reading in world.ledger.between(from_us, max(from_us, world.now_us - deadline_us))
        if reading.node in mine
    ]
    in_time = sum(
        reading.delivered_us is not None
        and reading.delivered_us - reading.produced_us <= deadline_us
        for reading in due
    )
    return len(due), in_time


def joint_digest(parts: Sequence[Part]) -> str:
    """The digest of a city: its own, or that of its shards' in their order."""
    if len(parts) == 1:
        return parts[0].digest
    return blake2b("".join(part.digest for part in parts).encode(), digest_size=16).hexdigest()
