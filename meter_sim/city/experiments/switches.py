"""How often parents would change if somebody knew every link at every moment: the bound of E9."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from meter_sim.city.build import SECOND_US
from meter_sim.radio import ACK_BYTES, DATA_BYTES, ETX_MAX, SURE, reception

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from meter_sim.city.build import City

_LOOK_US = 10 * SECOND_US
_HYSTERESIS = 1.5
_LOW, _HIGH = -1_400, 300


def oracle_switches(city: City, from_us: int, until_us: int) -> int:
    """Switches of all meters when each moves only for a gain of 1.5 transmissions."""
    table = _Moments(city)
    parent, total = table.best(from_us)[1], 0
    for now_us in range(from_us + _LOOK_US, until_us, _LOOK_US):
        etx, best = table.best(now_us)
        held = table.through(parent, etx)
        moves = (held > etx + _HYSTERESIS) & np.isfinite(etx) & (best != parent)
        total += int(moves[city.layout.gateways :].sum())
        parent = np.where(moves, best, parent)
    return total


class _Moments:
    """The links of a city at moments of its weather."""

    def __init__(self, city: City) -> None:
        self._city = city
        links = city.links
        self._senders = links.senders()
        self._receivers = links.receiver.astype(np.int64)
        self._rows = [slice(a, b) for a, b in itertools.pairwise(links.start.tolist())]
        self._keys = self._senders * len(links) + self._receivers
        opposite = self._receivers * len(links) + self._senders
        back = np.minimum(np.searchsorted(self._keys, opposite), len(opposite) - 1)
        self._back, self._has_back = back, self._keys[back] == opposite
        curves = [
            np.array([reception(level, length) for level in range(_LOW, _HIGH)], dtype=np.float64)
            for length in (DATA_BYTES, ACK_BYTES)
        ]
        self._data, self._ack = curves
        self._link_etx: NDArray[np.float64] = np.empty(0)

    def best(self, now_us: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The cost of the best path of each node, and the next hop's index."""
        city, count = self._city, len(self._city.links)
        shifts = np.concatenate(
            [
                city.world.weather.shifts_tenths(now_us, node + 1, self._receivers[row] + 1)
                for node, row in enumerate(self._rows)
            ]
        )
        levels = np.clip(city.links.rssi_tenths + shifts, _LOW, _HIGH - 1) - _LOW
        chance = self._data[levels] * self._ack[levels][self._back] * self._has_back
        with np.errstate(divide="ignore"):
            etx = SURE * SURE / chance
        worse = np.maximum(etx, etx[self._back])
        etx = np.where(worse <= ETX_MAX, etx, np.inf)
        self._link_etx = etx
        usable = np.isfinite(etx)
        graph = csr_array(
            (etx[usable], (self._receivers[usable], self._senders[usable])), shape=(count, count)
        )
        roots = [gateway - 1 for gateway in city.gateways]
        cost, parent, _ = dijkstra(graph, indices=roots, min_only=True, return_predecessors=True)
        return cost, parent.astype(np.int64)

    def through(self, parent: NDArray[np.int64], etx: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each node's path costs if it stays with its parent."""
        count = len(self._city.links)
        wanted = np.arange(count) * count + np.maximum(parent, 0)
        at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        link = np.where((self._keys[at] == wanted) & (parent >= 0), self._link_etx[at], np.inf)
        held: NDArray[np.float64] = link + etx[np.maximum(parent, 0)]
        return held
