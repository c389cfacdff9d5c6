"""A city cut along its gateway cells into shards that run apart, each with its neighbours.

Theory of operation. A meter belongs to the cell of its nearest gateway. The gateways are halved
again and again across their longer side until there are as many groups as wanted; the cells of a
group are a shard's own. Beside them a shard plays a halo: all cells of which anybody is in radio
reach of an own one, whole, so that own meters find every neighbour and every gateway they would
find in the city. A halo is played again by whose own it is, and only what own meters did counts.

What is lost: the outer rim of the halo is the edge of the world. Whatever would come from behind
it, routes, interference, load, does not; own meters feel that from two cells away only. Shards do
not wait for one another, so their number is part of what is simulated and the number of
processes they run in is not: the same cut gives the same digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from meter_sim.city.links import reach_dm
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from meter_sim.city.layout import Layout
    from meter_sim.radio import RadioModel


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a city.

    Attributes:
        layout: own cells and halo.
        own: int64[k], numbers of the own meters in that layout.
    """

    layout: Layout
    own: NDArray[np.int64]


def cut(layout: Layout, model: RadioModel, count: int) -> list[Shard]:
    """The shards of a city, in a fixed order. Raises ConfigError: more shards than gateways."""
    if not 1 <= count <= layout.gateways:
        raise ConfigError(f"a city of {layout.gateways} gateways has 1 to so many shards")
    places = np.stack((layout.x_dm, layout.y_dm), axis=1)
    cells = cKDTree(places[: layout.gateways]).query(places)[1]
    reach = reach_dm(model)
    groups = _halved(np.arange(layout.gateways), places, count)
    return [_shard(layout, places, cells, group, reach) for group in groups]


def _halved(
    gateways: NDArray[np.int64], places: NDArray[np.int64], count: int
) -> Iterator[NDArray[np.int64]]:
    """So many groups, each as square as may be; a larger half where the number is odd."""
    if count == 1:
        yield gateways
        return
    sides = places[gateways].max(axis=0) - places[gateways].min(axis=0)
    longer = int(sides[1] > sides[0])
    order = gateways[np.lexsort((gateways, places[gateways, longer]))]
    few = count // 2
    middle = len(order) * few // count
    yield from _halved(order[:middle], places, few)
    yield from _halved(order[middle:], places, count - few)


def _shard(
    layout: Layout,
    places: NDArray[np.int64],
    cells: NDArray[np.int64],
    group: NDArray[np.int64],
    reach: int,
) -> Shard:
    is_own = np.isin(cells, group)
    others = np.flatnonzero(~is_own)
    near_dm = cKDTree(places[is_own]).query(places[others], distance_upper_bound=reach)[0]
    halo = np.unique(cells[others[np.isfinite(near_dm)]])
    chosen = np.flatnonzero(is_own | np.isin(cells, halo))
    own = np.flatnonzero(is_own[chosen]) + 1
    part = layout.part(chosen)
    return Shard(part, own[own > part.gateways])
