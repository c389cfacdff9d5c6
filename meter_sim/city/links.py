"""Who hears whom in a city, as compressed sparse rows, built tile by tile.

The model is that of `meter_sim.radio`; shadows and offsets come from integer hashes over whole
arrays. Loudness is rounded to tenths of a decibel and reception to 65536ths: what stands in the
table is the same on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from meter_sim.city.dice import hash_arrays, hash_ints, normals
from meter_sim.radio import (
    ACK_BYTES,
    DATA_BYTES,
    DISTANCE_MIN_M,
    ETX_MAX,
    FREE_SPACE_1M_DB,
    SURE,
    TRANSMITTER_OFFSET_DB,
    Links,
    reception,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from meter_sim.city.layout import Layout
    from meter_sim.radio import RadioModel

    _Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

SENSIBLE_TENTHS = -1120
"""Weaker signals are left out: they are 8 dB below whatever can carry a frame."""
LUCK_SIGMAS = 3.0
_SHADOW, _OFFSET = 11, 12


@dataclass(frozen=True, slots=True)
class LinkTable:
    """Links of n nodes in compressed sparse rows: row i is what is heard of transmitter i.

    Attributes:
        start: int64[n + 1], row i is start[i]:start[i + 1].
        receiver: int32[m], indices, ascending in a row.
        rssi_tenths: int16[m], tenths of a dBm.
        data: uint16[m], chance of a 120 B frame in 65536ths.
        ack: uint16[m], chance of a 12 B frame in 65536ths.
    """

    start: NDArray[np.int64]
    receiver: NDArray[np.int32]
    rssi_tenths: NDArray[np.int16]
    data: NDArray[np.uint16]
    ack: NDArray[np.uint16]

    def __len__(self) -> int:
        """Nodes."""
        return len(self.start) - 1

    @property
    def nbytes(self) -> int:
        """Octets of the arrays."""
        arrays = (self.start, self.receiver, self.rssi_tenths, self.data, self.ack)
        return sum(array.nbytes for array in arrays)

    def row(self, node: int) -> dict[int, int]:
        """Receiver -> RSSI in tenths of a dBm; nodes by number, from 1."""
        part = slice(self.start[node - 1], self.start[node])
        return dict(
            zip((self.receiver[part] + 1).tolist(), self.rssi_tenths[part].tolist(), strict=True)
        )

    def as_links(self) -> Links:
        """The same table for `meter_sim.medium`."""
        return Links({node: self.row(node) for node in range(1, len(self) + 1)})

    def senders(self) -> NDArray[np.int64]:
        """int64[m], the transmitter's index of each link."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    def etx(self) -> NDArray[np.float64]:
        """float64[m]: expected transmissions of a data frame until it is acknowledged.

        Infinite for a link that is worse than 4 in either direction.
        """
        chance = self.data.astype(np.float64) * self._back(self.ack)
        with np.errstate(divide="ignore"):
            etx = SURE * SURE / chance
        worse = np.maximum(etx, self._back(etx))
        return np.where(worse <= ETX_MAX, etx, np.inf)

    def pair_etx(self, one: int, other: int) -> float:
        """The ETX of one link, whatever it is; infinite when one end does not hear the other."""
        there, back = self._find(one, other), self._find(other, one)
        if there < 0 or back < 0:
            return math.inf
        chance = int(self.data[there]) * int(self.ack[back])
        return SURE * SURE / chance if chance else math.inf

    def _find(self, transmitter: int, receiver: int) -> int:
        first, last = int(self.start[transmitter - 1]), int(self.start[transmitter])
        found = first + int(np.searchsorted(self.receiver[first:last], receiver - 1))
        return found if found < last and self.receiver[found] == receiver - 1 else -1

    def _back(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """The value of each link's opposite, 0 where there is none."""
        senders, count = self.senders(), len(self)
        forward = senders * count + self.receiver
        backward = self.receiver.astype(np.int64) * count + senders
        found = np.minimum(np.searchsorted(forward, backward), max(0, len(forward) - 1))
        out: NDArray[np.float64] = np.where(
            forward[found] == backward, values[found].astype(np.float64), 0.0
        )
        return out


def build_link_table(model: RadioModel, layout: Layout, seed: int) -> LinkTable:
    """The links of a layout; a pure function of its arguments."""
    offsets_db = TRANSMITTER_OFFSET_DB * normals(
        hash_arrays(hash_ints(seed, _OFFSET), layout.origin.astype(np.uint64))
    )
    rows = [_rows(model, layout, seed, offsets_db, pairs) for pairs in _candidates(model, layout)]
    sender, receiver, rssi = (np.concatenate(part) for part in zip(*rows, strict=True))
    order = np.lexsort((receiver, sender))
    counts = np.bincount(sender, minlength=len(layout))
    tenths = rssi[order].astype(np.int16)
    return LinkTable(
        np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts))),
        receiver[order].astype(np.int32),
        tenths,
        _chances(tenths, DATA_BYTES),
        _chances(tenths, ACK_BYTES),
    )


def _chances(rssi_tenths: NDArray[np.int16], length_bytes: int) -> NDArray[np.uint16]:
    low, high = int(rssi_tenths.min(initial=0)), int(rssi_tenths.max(initial=0))
    # Not by way of its cache, which the levels of whole curves would fill.
    chance = reception.__wrapped__
    table = [min(SURE - 1, chance(level, length_bytes)) for level in range(low, high + 1)]
    return np.array(table, dtype=np.uint16)[rssi_tenths.astype(np.int64) - low]


def reach_dm(model: RadioModel, gain_db: float = 0.0) -> int:
    """How far anybody is looked for, in decimetres. Args: gain_db: of both ends together."""
    budget_db = model.transmit_dbm - SENSIBLE_TENTHS / 10 - FREE_SPACE_1M_DB
    budget_db += gain_db - 2 * model.end_loss_db + LUCK_SIGMAS * model.shadow_db
    return int(10 * 10 ** (budget_db / (10 * model.exponent))) + 1


def _candidates(model: RadioModel, layout: Layout) -> Iterator[_Pairs]:
    """Pairs (i < j) that may hear each other, a tile at a time."""
    gateways = layout.gateways
    far_dm = reach_dm(model, 2 * float(layout.gain_db[:gateways].max()))
    for pole in range(gateways):
        others = np.arange(pole + 1, len(layout))
        yield _within(layout, np.full(1, pole), others, far_dm)
    yield from _tile_pairs(layout, np.arange(gateways, len(layout)), reach_dm(model))


def _tile_pairs(layout: Layout, nodes: NDArray[np.int64], reach_dm: int) -> Iterator[_Pairs]:
    """All pairs within reach: a tile with itself and with half of the tiles around it."""
    across, along = layout.x_dm[nodes] // reach_dm, layout.y_dm[nodes] // reach_dm
    keys = np.stack((across, along), axis=1)
    found, inverse = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    parts = np.split(nodes[order], np.cumsum(np.bincount(inverse))[:-1])
    tiles = {(x, y): part for (x, y), part in zip(found.tolist(), parts, strict=True)}
    for (x, y), part in tiles.items():
        yield _within(layout, part, part, reach_dm)
        for beside in ((x + 1, y - 1), (x + 1, y), (x + 1, y + 1), (x, y + 1)):
            if beside in tiles:
                yield _within(layout, part, tiles[beside], reach_dm)


def _within(
    layout: Layout, ones: NDArray[np.int64], others: NDArray[np.int64], reach_dm: int
) -> _Pairs:
    dx = layout.x_dm[ones][:, None] - layout.x_dm[others][None, :]
    dy = layout.y_dm[ones][:, None] - layout.y_dm[others][None, :]
    near = dx * dx + dy * dy <= reach_dm * reach_dm
    if ones is others:
        near = np.triu(near, 1)
    first, second = np.nonzero(near)
    one, other = ones[first], others[second]
    return np.minimum(one, other), np.maximum(one, other)


def _rows(
    model: RadioModel,
    layout: Layout,
    seed: int,
    offsets_db: NDArray[np.float64],
    pairs: _Pairs,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sender, receiver and loudness of the links of some pairs, both ways."""
    low, high = pairs
    level_dbm = _level_dbm(model, layout, seed, low, high)
    sender = np.concatenate((low, high))
    receiver = np.concatenate((high, low))
    rssi = np.rint(10 * (np.concatenate((level_dbm, level_dbm)) + offsets_db[sender]))
    loud = rssi >= SENSIBLE_TENTHS
    return sender[loud], receiver[loud], rssi[loud].astype(np.int64)


def _level_dbm(
    model: RadioModel,
    layout: Layout,
    seed: int,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> NDArray[np.float64]:
    """What arrives over a pair before the transmitter's own offset, the same both ways."""
    dx, dy = layout.x_dm[low] - layout.x_dm[high], layout.y_dm[low] - layout.y_dm[high]
    distance_m = np.maximum(DISTANCE_MIN_M, np.sqrt(dx * dx + dy * dy) / 10)
    labels = (layout.origin[ends].astype(np.uint64) for ends in (low, high))
    shadows = normals(hash_arrays(hash_ints(seed, _SHADOW), *labels))
    loss_db = FREE_SPACE_1M_DB + 10 * model.exponent * np.log10(distance_m)
    loss_db += 2 * model.end_loss_db + model.shadow_db * shadows
    out: NDArray[np.float64] = (
        model.transmit_dbm - loss_db + layout.gain_db[low] + layout.gain_db[high]
    )
    return out
