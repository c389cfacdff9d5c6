"""Metres on the utility's own map and degrees on the earth. Pure.

A flat earth is close enough for one utility: 100 km from the origin it is wrong by some metres in
the north-south direction and by the change of the parallel's length in the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

METRES_A_DEGREE: Final = 111_320.0


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of x_m = 0, y_m = 0; degrees, WGS 84."""

    latitude: float
    longitude: float

    def degrees(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Longitude and latitude of a point on the utility's map (GeoJSON's order)."""
        return self.longitude + x_m / self._width, self.latitude + y_m / METRES_A_DEGREE

    def metres(self, longitude: float, latitude: float) -> tuple[float, float]:
        """x_m, y_m of a place on the earth."""
        return (
            (longitude - self.longitude) * self._width,
            (latitude - self.latitude) * METRES_A_DEGREE,
        )

    @property
    def _width(self) -> float:
        return METRES_A_DEGREE * math.cos(math.radians(self.latitude))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on the utility's map, metres."""

    west_m: float
    south_m: float
    east_m: float
    north_m: float

    def cell_m(self, cells: int) -> float:
        """The side of square cells so that about as many of them fill the box."""
        area = max((self.east_m - self.west_m) * (self.north_m - self.south_m), 1.0)
        return max(math.sqrt(area / cells), 1.0)
