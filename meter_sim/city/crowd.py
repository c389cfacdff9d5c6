"""The channel of a large city, by statistics: how busy it is where, and what that costs.

Theory of operation. Every transmission adds its airtime to whatever hears it (down to -112 dBm), in
windows of a second. A sender finds its channel busy with the share it can sense; a receiver loses a
frame to others with `exp(-HIDDEN * x)`, where x is the airtime share of those within 8 dB of the
frame or louder, over the time in which a start of theirs would overlap it. `HIDDEN` is the share of
them that the sender does not hear; it is fitted once to the exact channel, which a test repeats.
All integers: a seed means the same on every machine.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np

from meter_sim.medium import CAPTURE_DB_TENTHS, PHY_BYTES, SENSE_DBM_TENTHS
from meter_sim.radio import DATA_BYTES, SURE, reception

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from meter_sim.city.links import LinkTable

WINDOW_US = 1_000_000
HIDDEN = 0.5
_ALWAYS = SURE * 15 // 16
"""A look at the channel may find it free however crowded it is."""
FULL = 256
"""A channel that is never free, in the unit of `busy`."""
_CURVE_LOW, _CURVE_HIGH = -1_300, 300
"""Loudness a reception curve covers, tenths of a dBm."""
_DEEP = 16 * FULL
_SURVIVE = [round(SURE * math.exp(-HIDDEN * step / FULL)) for step in range(_DEEP)]


class Crowd:
    """One channel over a table of links. Args: as `Air`; no coin, the caller draws."""

    def __init__(self, links: LinkTable, *, rate_kbps: int) -> None:
        self._links = links
        self._rate_kbps = rate_kbps
        self._start = links.start.data
        self._receiver = links.receiver.data
        self.hearers = links.receiver.astype(np.intp)
        """The receivers once more: numpy looks up by its own kind of index in half the time."""
        self._rssi = links.rssi_tenths.data
        self._ranked = _ranked(links).data
        self._sensed = _sensed(links).data
        self._now, self._past = self._blank(), self._blank()
        self._fresh, self._stale = self._now.data, self._past.data
        """The same two arrays, for single numbers: an eighth of the time of numpy's own way."""
        self._window = 0
        self.frame_us = self.duration_us(DATA_BYTES)
        self._curves: dict[int, NDArray[np.int64]] = {}
        self._chances: dict[int, memoryview[int]] = {}
        self.cut: set[tuple[int, int]] = set()
        self.airtime_us = 0

    def _blank(self) -> NDArray[np.int64]:
        return np.zeros(len(self._links), dtype=np.int64)

    def row(self, node: int) -> dict[int, int]:
        """Receiver -> RSSI in tenths of a dBm."""
        return self._links.row(node)

    def span(self, node: int) -> slice:
        """Where the row of a node is in the table."""
        return slice(self._start[node - 1], self._start[node])

    def duration_us(self, length_bytes: int) -> int:
        """How long a frame is on the air."""
        return (length_bytes + PHY_BYTES) * 8 * 1000 // self._rate_kbps

    def level_tenths(self, transmitter: int, receiver: int) -> int | None:
        """Loudness of one at the other by the table; None when it is not heard or cut."""
        first, last = self._start[transmitter - 1], self._start[transmitter]
        at = bisect_left(self._receiver, receiver - 1, first, last)
        if at == last or self._receiver[at] != receiver - 1:
            return None
        if self.cut and (transmitter, receiver) in self.cut:
            return None
        return self._rssi[at]

    def curve(self, length_bytes: int) -> NDArray[np.int64]:
        """Reception in 65536ths over loudness from `_CURVE_LOW` on."""
        curve = self._curves.get(length_bytes)
        if curve is None:
            levels = range(_CURVE_LOW, _CURVE_HIGH)
            # Not by way of its cache, which the levels of whole curves would fill.
            chances = [reception.__wrapped__(level, length_bytes) for level in levels]
            curve = self._curves[length_bytes] = np.array(chances, dtype=np.int64)
        return curve

    def chance(self, level_tenths: int, length_bytes: int) -> int:
        """Reception of a frame nobody disturbs, in 65536ths."""
        chances = self._chances.get(length_bytes)
        if chances is None:
            chances = self._chances[length_bytes] = self.curve(length_bytes).data
        return chances[min(max(level_tenths - _CURVE_LOW, 0), len(chances) - 1)]

    def chances(self, levels: NDArray[np.integer[Any]], length_bytes: int) -> NDArray[np.int64]:
        """The same for a row."""
        curve = self.curve(length_bytes)
        places = levels.astype(np.intp) - _CURVE_LOW
        return curve.take(places, mode="clip")

    def occupy(self, now_us: int, node: int, airtime_us: int) -> None:
        """Count airtime of a node at everybody who hears it."""
        self._turn(now_us)
        self._now[self.hearers[self.span(node)]] += airtime_us
        self.airtime_us += airtime_us

    def busy(self, now_us: int, node: int) -> int:
        """Airtime share of all a node hears, in 256ths; may be over 256 where many are hidden."""
        if now_us // WINDOW_US != self._window:
            self._turn(now_us)
        heard_us = self._fresh[node - 1] + self._stale[node - 1]
        if not heard_us:
            return 0
        return heard_us * FULL // (WINDOW_US + now_us % WINDOW_US)

    def senses(self, now_us: int, node: int) -> int:
        """The share of looks at which a node finds the channel busy, in 65536ths."""
        return min(_ALWAYS, self.busy(now_us, node) * self._sensed[node - 1])

    def survives(self, busy: int, receiver: int, level_tenths: int, airtime_us: int) -> int:
        """The chance that nobody spoils a frame at a receiver, in 65536ths."""
        if not busy:
            return SURE
        first, last = self._start[receiver - 1], self._start[receiver]
        quiet = bisect_left(self._ranked, level_tenths - CAPTURE_DB_TENTHS, first, last) - first
        heard = last - first
        rivals = heard - quiet
        window_us = airtime_us + self.frame_us
        step = busy * rivals * window_us // (max(1, heard) * self.frame_us)
        return _SURVIVE[min(step, _DEEP - 1)]

    def _turn(self, now_us: int) -> None:
        window = now_us // WINDOW_US
        if window == self._window:
            return
        self._past, self._now = self._now, self._past
        self._stale, self._fresh = self._fresh, self._stale
        self._now[:] = 0
        if window != self._window + 1:
            self._past[:] = 0
        self._window = window


def _ranked(links: LinkTable) -> NDArray[np.int16]:
    """int16[m]: the loudness in each row, ascending (both ways of a link differ by 1 dB only)."""
    order = np.lexsort((links.rssi_tenths, links.senders()))
    return np.ascontiguousarray(links.rssi_tenths[order])


def _sensed(links: LinkTable) -> NDArray[np.int64]:
    """int64[n]: of what a node hears, the share loud enough to hold it back, in 256ths."""
    loud = links.rssi_tenths >= SENSE_DBM_TENTHS
    heard = np.bincount(links.senders(), minlength=len(links))
    held = np.bincount(links.senders()[loud], minlength=len(links))
    share: NDArray[np.int64] = held * FULL // np.maximum(heard, 1)
    return share
