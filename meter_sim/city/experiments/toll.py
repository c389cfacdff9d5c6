"""What a network spends on itself, from one moment on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meter_sim.medium import PHY_BYTES

if TYPE_CHECKING:
    from collections import Counter

    from meter_sim.city.build import City

_DATA = {5, 6}
"""UP and DOWN carry payloads."""
_HACK = 7


@dataclass(frozen=True, slots=True)
class Toll:
    """The counters of a world at one moment."""

    city: City
    count: Counter[int]
    octets: Counter[int]
    airtime_us: int

    @classmethod
    def of(cls, city: City) -> Toll:
        """Start counting now."""
        frames = city.world.frames
        return cls(city, frames.count.copy(), frames.octets.copy(), city.world.air.airtime_us)

    def control_frames(self) -> int:
        """Frames since then that are neither data nor acknowledgements."""
        spent = self.city.world.frames.count - self.count
        return sum(times for kind, times in spent.items() if kind not in _DATA and kind != _HACK)

    def control_share(self) -> float:
        """The share of the airtime since then, acknowledgements aside, that is not data."""
        count = self.city.world.frames.count - self.count
        octets = self.city.world.frames.octets - self.octets
        airtime = {
            kind: octets[kind] + PHY_BYTES * times for kind, times in count.items() if kind != _HACK
        }
        data = sum(spent for kind, spent in airtime.items() if kind in _DATA)
        return 1 - data / max(1, sum(airtime.values()))

    def airtime_share(self, span_us: int) -> float:
        """The mean share of the time a node was on the air."""
        spent_us = self.city.world.air.airtime_us - self.airtime_us
        return spent_us / (span_us * len(self.city.layout))
