"""Readings on the grid of intervals: stamps a little off stand on it, clocks that lie are left out.

The grid of a meter is every multiple of its interval in UTC; so a day of 23 or 25 local hours has
92 or 100 quarter-hours and none of them is odd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headend.vee.model import Readings
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from headend.vee.model import Bools, Ints, Limits, Series

DISTRUSTED = int(Quality.CLOCK_INVALID | Quality.ESTIMATED | Quality.OVERFLOW)


def trusted(readings: Readings, now_us: int, ahead_us: int) -> Bools:
    """Which readings may be used: a clock to be trusted, and not from the future."""
    clock: Bools = (readings.status & DISTRUSTED) == 0
    return clock & (readings.time_us <= now_us + ahead_us)


def take(readings: Readings, which: Bools) -> Readings:
    """Some of the readings."""
    return Readings(
        readings.series[which],
        readings.time_us[which],
        readings.value[which],
        readings.status[which],
    )


def snap(readings: Readings, series: Series, limits: Limits) -> tuple[Readings, Bools]:
    """The readings with stamps near a boundary moved onto it, and which now stand on one.

    Of several on one boundary the nearest stays, of equally near ones the first.
    """
    length = series.length_us[readings.series]
    nearest = (readings.time_us + length // 2) // length * length
    off = np.abs(readings.time_us - nearest)
    received = (readings.status & int(Quality.RECEIVED_TIME)) != 0
    near = off <= length // np.where(received, limits.snap_received_divisor, limits.snap_divisor)
    time = np.where(near, nearest, readings.time_us)
    order = np.lexsort((off, time, readings.series))
    group, time, near = readings.series[order], time[order], near[order]
    first = fresh(group, time)
    kept = Readings(
        group[first], time[first], readings.value[order][first], readings.status[order][first]
    )
    return kept, near[first]


def fresh(group: Ints, key: Ints) -> Bools:
    """True where (group, key) differs from the row before; both sorted."""
    new = np.ones(len(group), dtype=np.bool_)
    new[1:] = (group[1:] != group[:-1]) | (key[1:] != key[:-1])
    return new
