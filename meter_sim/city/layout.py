"""Where meters and gateways stand: blocks of back-to-back lots, poles on a grid. Whole decimetres.

Nodes are numbered 1, 2, ...: first the gateways, then the meters block by block, so that numbers
that are close are close on the ground too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from meter_sim.city.dice import hash_arrays, hash_ints, uniforms
from meter_sim.roster import GATEWAY_GAIN_DB
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from meter_sim.city.profiles import CityProfile

STREET_M = 14
FRONT_GARDEN_M = 6
OCCUPANCY_PERCENT = 95
JITTER_M = 2
BASEMENT_LOSS_DB = 12.0
RISER_MIN, RISER_MAX = 8, 40
NODES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Layout:
    """Sites; index i is node i + 1, gateways first.

    Attributes:
        x_dm, y_dm: int64[n], decimetres.
        gain_db: float64[n], what height or a cellar adds to all links.
        gateways: how many of the first nodes are gateways.
        origin: int64[n], index in the whole city, ascending: luck of radio belongs to the place.
    """

    x_dm: NDArray[np.int64]
    y_dm: NDArray[np.int64]
    gain_db: NDArray[np.float64]
    gateways: int
    origin: NDArray[np.int64]

    def __len__(self) -> int:
        """Nodes, gateways included."""
        return len(self.x_dm)

    def part(self, chosen: NDArray[np.int64]) -> Layout:
        """Some of the sites, as a city of their own. Args: chosen: indices, ascending."""
        return Layout(
            self.x_dm[chosen],
            self.y_dm[chosen],
            self.gain_db[chosen],
            int(np.count_nonzero(chosen < self.gateways)),
            self.origin[chosen],
        )


def gateway_count(profile: CityProfile, meters: int) -> int:
    """How many gateways serve that many meters."""
    return max(1, round(meters / profile.nodes_per_gateway))


def build_layout(
    profile: CityProfile, meters: int, seed: int, *, gateways: int | None = None
) -> Layout:
    """Lay a city out. Raises ConfigError when there is nobody to lay out."""
    gateways = gateway_count(profile, meters) if gateways is None else gateways
    if not (1 <= meters <= NODES_MAX and 1 <= gateways <= NODES_MAX):
        raise ConfigError(f"a city has 1 to {NODES_MAX} meters and at least a gateway")
    lots = _lots(profile, meters, seed)
    x_dm, y_dm = _houses(profile, lots, meters, seed)
    poles_x, poles_y = _poles(gateways, int(x_dm.max()), int(y_dm.max()))
    gain_db = -BASEMENT_LOSS_DB * (_draws(seed, 3, meters) < profile.basement_share)
    return Layout(
        np.concatenate((poles_x, x_dm)),
        np.concatenate((poles_y, y_dm)),
        np.concatenate((np.full(gateways, GATEWAY_GAIN_DB), gain_db)),
        gateways,
        np.arange(gateways + meters),
    )


def _draws(seed: int, label: int, count: int) -> NDArray[np.float64]:
    return uniforms(hash_arrays(hash_ints(seed, label), np.arange(count, dtype=np.uint64)))


def _lots(profile: CityProfile, meters: int, seed: int) -> NDArray[np.int64]:
    """The lot of each meter; some lots are empty, some hold a riser room."""
    count = -(-meters * 120 // OCCUPANCY_PERCENT) + 100
    taken = np.flatnonzero(_draws(seed, 1, count) < OCCUPANCY_PERCENT / 100)
    sizes = np.ones(len(taken), dtype=np.int64)
    risers = _draws(seed, 2, len(taken))
    is_riser = risers < profile.riser_share
    if profile.riser_share > 0:
        spread = risers / profile.riser_share * (RISER_MAX - RISER_MIN + 1)
        sizes[is_riser] = RISER_MIN + spread[is_riser].astype(np.int64)
    return np.repeat(taken, sizes)[:meters]


def _houses(
    profile: CityProfile, lots: NDArray[np.int64], meters: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """House fronts on both sides of the blocks, the blocks in a nearly square field."""
    side = profile.block_m // profile.frontage_m
    wide_m = profile.block_m + STREET_M
    deep_m = 2 * profile.depth_m + STREET_M
    blocks = int(lots[-1]) // (2 * side) + 1
    columns = max(1, round(math.sqrt(blocks * deep_m / wide_m)))
    block, place = np.divmod(lots, 2 * side)
    row, column = np.divmod(block, columns)
    back, place = np.divmod(place, side)
    jitter_x, jitter_y = (_draws(seed, label, meters) for label in (4, 5))
    x_dm = 10 * (column * wide_m + place * profile.frontage_m) + 5 * profile.frontage_m
    y_m = row * deep_m + np.where(back == 1, 2 * profile.depth_m - FRONT_GARDEN_M, FRONT_GARDEN_M)
    return x_dm + _jitter_dm(jitter_x), 10 * y_m + _jitter_dm(jitter_y)


def _jitter_dm(draws: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(draws * (20 * JITTER_M + 1)).astype(np.int64) - 10 * JITTER_M


def _poles(
    count: int, width_dm: int, height_dm: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Poles in rows of nearly square cells, the odd ones spread over the rows."""
    rows = max(1, min(count, round(math.sqrt(count * height_dm / max(1, width_dm)))))
    places = [
        (width_dm * (2 * n + 1) // (2 * inside), height_dm * (2 * row + 1) // (2 * rows))
        for row in range(rows)
        for inside in [count * (row + 1) // rows - count * row // rows]
        for n in range(inside)
    ]
    x_dm, y_dm = zip(*places, strict=True)
    return np.array(x_dm, dtype=np.int64), np.array(y_dm, dtype=np.int64)
