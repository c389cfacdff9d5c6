"""How well one radio hears another: path loss, packet reception, the table of links. Pure.

Log-distance path loss below the rooftops with log-normal shadowing: the shadow belongs to the link
and is the same both ways, an offset of each transmitter makes links unequal (Zuniga and
Krishnamachari). Figures: docs/mesh, section 3. What comes out is rounded to tenths of a decibel
and 65536ths, so that a seed means the same on every machine.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

SURE = 1 << 16
"""A probability of one; all are given in 65536ths."""
FREE_SPACE_1M_DB = 31.2
"""868 MHz."""
NOISE_DBM = -115
"""Thermal noise in 150 kHz and a noise figure of 7 dB; 50 % of 120 B frames pass at -103.8 dBm."""
DISTANCE_MIN_M = 3.0
TRANSMITTER_OFFSET_DB = 1.0
SENSIBLE_DBM_TENTHS = NOISE_DBM * 10
"""Weaker signals neither carry a frame nor disturb one."""
DATA_BYTES, ACK_BYTES = 120, 12
ETX_MAX = 4.0
"""A link worse than this is no link of a route (RFC 6719, section 5)."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class RadioModel:
    """The surroundings and the equipment.

    Attributes:
        exponent: path loss exponent, 3.5..4.3 between meters below rooftops.
        shadow_db: standard deviation of the shadowing.
        end_loss_db: loss at each end: walls, meter cupboards.
        transmit_dbm: power.
        rate_kbps: symbol rate of the PHY: 50, 100, 150 or 300.
    """

    exponent: float
    shadow_db: float
    end_loss_db: float
    transmit_dbm: float
    rate_kbps: int


@dataclass(frozen=True, slots=True)
class Site:
    """Where a node is; `gain_db` is what height or a cellar adds to all its links."""

    node: int
    x_m: float
    y_m: float
    gain_db: float = 0.0


def _normal(seed: int, *labels: object) -> float:
    """A standard normal number that belongs to the seed and the labels."""
    digest = blake2b(repr((seed, *labels)).encode(), digest_size=8).digest()
    return _NORMAL.inv_cdf((int.from_bytes(digest, "big") + 0.5) / 2**64)


def loss_db(model: RadioModel, seed: int, one: Site, other: Site) -> float:
    """What is lost between two sites, the same both ways."""
    distance_m = max(DISTANCE_MIN_M, math.hypot(one.x_m - other.x_m, one.y_m - other.y_m))
    low, high = sorted((one.node, other.node))
    return (
        FREE_SPACE_1M_DB
        + 10 * model.exponent * math.log10(distance_m)
        + 2 * model.end_loss_db
        + model.shadow_db * _normal(seed, "shadow", low, high)
        - one.gain_db
        - other.gain_db
    )


@lru_cache(maxsize=1 << 16)
def reception(rssi_dbm_tenths: int, length_bytes: int) -> int:
    """The chance that a frame arrives undamaged, in 65536ths: (1 - e^(-snr/2) / 2)^(8 length)."""
    snr = 10 ** ((rssi_dbm_tenths / 10 - NOISE_DBM) / 10)
    return round(SURE * (1 - 0.5 * math.exp(-snr / 2)) ** (8 * length_bytes))


class Links:
    """Who can hear or disturb whom, and how loud; the table every simulator of a roster shares."""

    def __init__(self, heard: Mapping[int, Mapping[int, int]]) -> None:
        """Args: heard: transmitter -> receiver -> RSSI in tenths of a dBm."""
        self._heard = heard

    def receivers(self, transmitter: int) -> Mapping[int, int]:
        """Receiver -> RSSI in tenths of a dBm."""
        return self._heard.get(transmitter, {})

    def senders(self, receiver: int, least_tenths: int) -> list[int]:
        """Whom a node hears with that strength or more."""
        return [
            transmitter
            for transmitter, row in self._heard.items()
            if row.get(receiver, least_tenths - 1) >= least_tenths
        ]

    def rssi_tenths(self, transmitter: int, receiver: int) -> int | None:
        """RSSI in tenths of a dBm, None when the link is too weak to matter."""
        return self.receivers(transmitter).get(receiver)

    def etx(self, sender: int, receiver: int) -> float:
        """Expected transmissions of a data frame until its acknowledgement is back."""
        there, back = self.rssi_tenths(sender, receiver), self.rssi_tenths(receiver, sender)
        if there is None or back is None:
            return math.inf
        chance = reception(there, DATA_BYTES) * reception(back, ACK_BYTES)
        return SURE * SURE / chance if chance else math.inf

    def usable(self, node: int) -> tuple[int, ...]:
        """Neighbours over links of an ETX of at most 4 both ways."""
        return tuple(
            other
            for other in self.receivers(node)
            if max(self.etx(node, other), self.etx(other, node)) <= ETX_MAX
        )


def _reach_m(model: RadioModel, gain_db: float) -> float:
    """Beyond this, three standard deviations of luck do not make a signal sensible."""
    budget_db = model.transmit_dbm - NOISE_DBM - FREE_SPACE_1M_DB - 2 * model.end_loss_db
    luck_db = 3 * (model.shadow_db + TRANSMITTER_OFFSET_DB)
    return float(10 ** ((budget_db + gain_db + luck_db) / (10 * model.exponent)))


def _pairs(sites: Sequence[Site], reach_m: float) -> Iterator[tuple[Site, Site]]:
    """All pairs within reach, found by tiles of that size."""
    tiles: dict[tuple[int, int], list[Site]] = defaultdict(list)
    for site in sites:
        column, row = int(site.x_m // reach_m), int(site.y_m // reach_m)
        for across in (column - 1, column, column + 1):
            for along in (row - 1, row, row + 1):
                yield from ((site, other) for other in tiles.get((across, along), ()))
        tiles[column, row].append(site)


def build_links(model: RadioModel, seed: int, sites: Iterable[Site]) -> Links:
    """The table of links of a set of sites; a pure function of its arguments."""
    ordered = sorted(sites, key=lambda site: site.node)
    gain_db = 2 * max((site.gain_db for site in ordered), default=0.0)
    offsets_db = {
        site.node: TRANSMITTER_OFFSET_DB * _normal(seed, "transmitter", site.node)
        for site in ordered
    }
    heard: dict[int, dict[int, int]] = {site.node: {} for site in ordered}
    for one, other in _pairs(ordered, _reach_m(model, gain_db)):
        arriving_dbm = model.transmit_dbm - loss_db(model, seed, one, other)
        for transmitter, receiver in ((one.node, other.node), (other.node, one.node)):
            rssi = round(10 * (arriving_dbm + offsets_db[transmitter]))
            if rssi >= SENSIBLE_DBM_TENTHS:
                heard[transmitter][receiver] = rssi
    return Links({node: dict(sorted(row.items())) for node, row in heard.items()})
