"""Which intervals of a UTC day were read, a bit each: what read success over a fleet counts. Pure.

An interval is a multiple of the meter's `interval_s` since 1970, named by its END; a reading lies
in the one that ENDs at it or next after it. Bits are only ever added, so that looking at the same
readings twice, in any order, gives the same day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from headend.readsuccess.definition import CHANNEL
from headend.vee.model import DAY_US, SECOND_US

if TYPE_CHECKING:
    from headend.vee.store import Loaded

_SINCE_1970_US: Final = 946_684_800 * SECOND_US
_ZERO, _ONE = ord("0"), ord("1")


def read(loaded: Loaded) -> dict[str, list[object]]:
    """The days that the readings of `CHANNEL` lie in, as columns for the query `save_slots`.

    Returns: days since 1970, meters, their interval_s, and the bits as text: '1' for each interval
        that was read, the first one that ENDs in the day in front.
    """
    series, readings = loaded.series, loaded.readings
    counted = [channel.id for channel in loaded.channels.values() if channel.name == CHANNEL]
    number = readings.series[(chosen := np.isin(series.channel, counted)[readings.series])]
    meter, length_us = series.meter[number], series.length_us[number]
    slot = -(-(readings.time_us[chosen] + _SINCE_1970_US) // length_us)
    day = (slot * length_us - 1) // DAY_US
    place = slot - day * DAY_US // length_us - 1

    keys, row = np.unique(np.stack((day, meter, length_us)), axis=1, return_inverse=True)
    sizes = (-(-DAY_US // keys[2])).tolist()
    bits = np.full((len(sizes), max(sizes, default=0)), _ZERO, dtype=np.uint8)
    bits[row.reshape(-1), place] = _ONE
    return {
        "days": keys[0].tolist(),
        "meters": keys[1].tolist(),
        "intervals_s": (keys[2] // SECOND_US).tolist(),
        "bits": [bits[n, :size].tobytes().decode() for n, size in enumerate(sizes)],
    }
