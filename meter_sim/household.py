"""What a household draws from the grid and feeds into it, by the quarter-hour. Pure and seeded."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

SLOT_MS = 900_000
_SLOTS_A_HOUR = 3_600_000 // SLOT_MS
_SLOTS_A_DAY = 24 * _SLOTS_A_HOUR
_WEEK_BEGAN_DAY = 4
"""1970-01-05 was a Monday."""
# Per cent of the mean, by hour of the day (UTC): quiet nights, a morning and an evening peak.
_WEEKDAY = (
    *(45, 40, 38, 38, 42, 60, 105, 130, 105, 85, 80, 90),
    *(100, 90, 80, 85, 105, 150, 195, 200, 180, 145, 100, 65),
)
_WEEKEND = (
    *(55, 45, 40, 38, 40, 45, 60, 90, 125, 140, 145, 155),
    *(150, 130, 115, 110, 120, 145, 175, 180, 160, 130, 100, 70),
)
# Per cent of the peak power of a roof, by hour of the day (UTC).
_SUN = (0, 0, 0, 0, 0, 3, 12, 28, 45, 60, 70, 74, 72, 65, 52, 36, 20, 7, 0, 0, 0, 0, 0, 0)
_ROOF_SHARE = 5
"""One household in five has panels."""


@dataclass(frozen=True, slots=True)
class Household:
    """One customer's habits.

    Attributes:
        seed: of everything that is random about it.
        mean_w: mean draw in watts.
        roof_w: peak power of its panels in watts, 0 without.
        first_wh: what the meter showed when the simulation began.
    """

    seed: int
    mean_w: int
    roof_w: int
    first_wh: int

    @classmethod
    def of(cls, seed: int, node: int) -> Household:
        """The household behind a node's meter."""
        mix = crc32(f"{seed}/{node}".encode())
        has_roof = mix % _ROOF_SHARE == 0
        return cls(
            seed=mix,
            mean_w=200 + (mix >> 8) % 500,
            roof_w=2000 + (mix >> 4) % 4000 if has_roof else 0,
            first_wh=1000 * ((mix >> 3) % 20_000),
        )

    def net_w(self, slot: int) -> int:
        """Mean power in a slot (milliseconds since 1970 // SLOT_MS), negative when fed in."""
        day, within = divmod(slot, _SLOTS_A_DAY)
        hour = within // _SLOTS_A_HOUR
        shape = _WEEKEND if (day - _WEEK_BEGAN_DAY) % 7 >= 5 else _WEEKDAY
        luck = crc32(slot.to_bytes(8, "big"), self.seed)
        drawn_w = self.mean_w * shape[hour] * (50 + luck % 101) // 10_000
        if luck % 23 == 0:
            drawn_w += 2000  # somebody cooks
        cloud = 20 + (luck >> 12) % 81
        return drawn_w - self.roof_w * _SUN[hour] * cloud // 10_000
