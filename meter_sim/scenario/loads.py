"""What customers draw: integer watts by the quarter-hour, integer millilitres by the quarter-hour.

Pure and seeded: the same seed gives the same curve on every machine (CRC-32 is the only dice).
Files of measured and standard curves are read by the caller's path and never shipped.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from meter_sim.capture.telegrams import read_curve
from meter_sim.household import SLOT_MS
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from datetime import date
    from pathlib import Path
    from zoneinfo import ZoneInfo

SLOTS_A_DAY = 86_400_000 // SLOT_MS
_SLOTS_A_HOUR = SLOTS_A_DAY // 24
# Per cent of a roof's peak by hour (UTC) in December and in June.
_SUN_WINTER = (0, 0, 0, 0, 0, 0, 0, 0, 4, 14, 24, 29, 28, 22, 11, 2, 0, 0, 0, 0, 0, 0, 0, 0)
_SUN_SUMMER = (0, 0, 0, 1, 5, 14, 28, 43, 57, 68, 75, 78, 77, 72, 63, 51, 37, 23, 10, 3, 0, 0, 0, 0)
_STANDBY_W = 4
_DEFROST_W = 200
_SATURDAY, _SUNDAY = 5, 6


class Curve(Protocol):
    """Mean power by the quarter-hour."""

    def net_w(self, slot: int) -> int:
        """Watts in a slot (milliseconds since 1970 // SLOT_MS), negative when fed in."""
        ...


def _dice(seed: int, *numbers: int) -> int:
    """32 bits that depend on all of it."""
    octets = b"".join(number.to_bytes(8, "big", signed=True) for number in numbers)
    return crc32(octets, seed & 0xFFFFFFFF)


def winter_percent(slot: int) -> int:
    """How much winter it is, 0 in July to 100 in January: a triangle over the year."""
    day = (slot // SLOTS_A_DAY - 15) % 365
    return abs(day - 182) * 100 // 182


@dataclass(frozen=True, slots=True)
class Sum:
    """Several at once behind one meter."""

    parts: tuple[Curve, ...]

    def net_w(self, slot: int) -> int:
        """All together."""
        return sum(part.net_w(slot) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Empty:
    """A fridge that is off and a router that is not."""

    def net_w(self, slot: int) -> int:  # noqa: ARG002 - the same in every slot
        """The standby."""
        return _STANDBY_W


@dataclass(frozen=True, slots=True)
class Pv:
    """Panels of a peak power."""

    seed: int
    peak_w: int

    def net_w(self, slot: int) -> int:
        """Fed in: the sun by season and hour, the day's clouds, the quarter-hour's."""
        hour = slot % SLOTS_A_DAY // _SLOTS_A_HOUR
        winter = winter_percent(slot)
        sun = (_SUN_WINTER[hour] * winter + _SUN_SUMMER[hour] * (100 - winter)) // 100
        day_cloud = 25 + _dice(self.seed, slot // SLOTS_A_DAY) % 76
        cloud = 70 + _dice(self.seed, slot, 1) % 31
        return -(self.peak_w * sun * day_cloud * cloud // 1_000_000)


@dataclass(frozen=True, slots=True)
class HeatPump:
    """Runs by the quarter-hour, more of them in winter."""

    seed: int
    peak_w: int

    def net_w(self, slot: int) -> int:
        """Its draw: on, defrosting or standing by."""
        share = 8 + winter_percent(slot) * 62 // 100
        if _dice(self.seed, slot) % 100 >= share:
            return _STANDBY_W
        return self.peak_w if _dice(self.seed, slot, 2) % 12 else _DEFROST_W


@dataclass(frozen=True, slots=True)
class Ev:
    """A car that charges on seven evenings in ten, from some time between 16 and 20 UTC on."""

    seed: int
    peak_w: int

    def net_w(self, slot: int) -> int:
        """Its draw; a charge ends before noon of the next day."""
        day, within = divmod(slot - 12 * _SLOTS_A_HOUR, SLOTS_A_DAY)
        dice = _dice(self.seed, day)
        if dice % 10 >= 7:
            return 0
        begins = 4 * _SLOTS_A_HOUR + dice // 10 % (4 * _SLOTS_A_HOUR)
        slots = 4 + dice // 1000 % 13
        return self.peak_w if begins <= within < begins + slots else 0


@dataclass(frozen=True, slots=True)
class PastTheMeter:
    """What a meter sees of a load that is tapped before it."""

    load: Curve
    percent: int

    def net_w(self, slot: int) -> int:
        """The rest of what is drawn; what is fed in is not stolen."""
        drawn_w = self.load.net_w(slot)
        return drawn_w if drawn_w <= 0 else drawn_w * (100 - self.percent) // 100


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured curve, repeated from its end on."""

    watts: Sequence[int]
    first_slot: int
    slots_a_step: int

    @classmethod
    def read(cls, path: Path, column: str) -> Measured:
        """Read a CSV. Raises ConfigError."""
        begin, step, watts = read_curve(_lines(path), column)
        step_ms = step // timedelta(milliseconds=1)
        if step_ms % SLOT_MS:
            raise ConfigError(f"{path}: a step of {step} is no multiple of a quarter-hour")
        return cls(watts, int(begin.timestamp() * 1000) // SLOT_MS, step_ms // SLOT_MS)

    def net_w(self, slot: int) -> int:
        """The mean of the step that the slot lies in."""
        return self.watts[(slot - self.first_slot) // self.slots_a_step % len(self.watts)]


@dataclass(frozen=True, slots=True)
class Standard:
    """A standard profile by month and kind of day, scaled to a customer's year.

    Attributes:
        watts: [month 0..11][0 Saturday, 1 Sunday, 2 workday][quarter-hour] mean watts.
        zone: whose clock it follows.
        holidays: public ones, which are like Sundays.
    """

    watts: Sequence[Sequence[Sequence[int]]]
    zone: ZoneInfo
    holidays: Container[date]

    @classmethod
    def read(cls, path: Path, annual_kwh: int, zone: ZoneInfo, region: str = "DE") -> Standard:
        """Read BDEW's table of 2025: kWh by the quarter-hour of a customer of 1 000 000 kWh a year.

        Args:
            path: of the table.
            annual_kwh: what the customer draws in a year.
            zone: whose clock it follows.
            region: whose holidays count, as ISO 3166 has it: `DE` or `DE-BY`.

        Raises:
            ConfigError: another table, or no such region.
        """
        days_off = holidays_of(region)
        rows = list(csv.reader(_lines(path)))
        try:
            days = [name.strip() for name in rows[1][1:37]]
            values = [[Decimal(cell) for cell in row[1:37]] for row in rows[2:98]]
        except (IndexError, InvalidOperation) as error:
            raise ConfigError(f"{path} is no BDEW table of 2025: {error!r}") from error
        if len(values) != SLOTS_A_DAY or days != ["SA", "FT", "WT"] * 12:
            raise ConfigError(f"{path} is no BDEW table of 2025: 96 rows of 12 x SA, FT, WT")
        # kWh a quarter-hour x 4000 is mean watts, of a millionth of the customer's year each.
        watts = [
            [
                [int(row[3 * month + kind] * 4000 * annual_kwh / 1_000_000) for row in values]
                for kind in range(3)
            ]
            for month in range(12)
        ]
        return cls(watts, zone, days_off)

    def net_w(self, slot: int) -> int:
        """By the local month, kind of day and quarter-hour."""
        local = datetime.fromtimestamp(slot * SLOT_MS // 1000, UTC).astimezone(self.zone)
        kind = self._kind(local.date())
        return self.watts[local.month - 1][kind][local.hour * 4 + local.minute // 15]

    def _kind(self, day: date) -> int:
        """Christmas Eve and New Year's Eve are like Saturdays, unless they are Sundays."""
        if day.weekday() == _SUNDAY or day in self.holidays:
            return 1
        is_eve = (day.month, day.day) in {(12, 24), (12, 31)}
        return 0 if day.weekday() == _SATURDAY or is_eve else 2


def holidays_of(region: str) -> Container[date]:
    """Public holidays of a country or one of its parts. Raises ConfigError."""
    import holidays  # noqa: PLC0415 - start lean

    country, _, part = region.partition("-")
    try:
        return holidays.country_holidays(country, subdiv=part or None)
    except NotImplementedError as error:
        raise ConfigError(f"no holidays of {region!r} are known: {error}") from None


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the curve {path}: {error}") from error


@dataclass(frozen=True, slots=True)
class Water:
    """A household's water: nights without a drop, unless it leaks."""

    seed: int
    leak_ml_per_h: int = 0

    def ml(self, slot: int) -> int:
        """Millilitres in a slot."""
        hour = slot % SLOTS_A_DAY // _SLOTS_A_HOUR
        busy = 0 if hour in {0, 1, 2, 3, 22, 23} else 45 if hour in {5, 6, 7, 18, 19, 20} else 15
        dice = _dice(self.seed, slot)
        used = 2000 + dice // 100 % 14_000 if dice % 100 < busy else 0
        return used + self.leak_ml_per_h // _SLOTS_A_HOUR


@dataclass(frozen=True, slots=True)
class Gas:
    """A boiler: by season and hour, and hot water all the year."""

    seed: int

    def ml(self, slot: int) -> int:
        """Millilitres (1e-6 m3) in a slot."""
        hour = slot % SLOTS_A_DAY // _SLOTS_A_HOUR
        day = 100 if 4 <= hour <= 20 else 30
        heat = winter_percent(slot) * day * (500 + _dice(self.seed, slot) % 1000) // 100
        return heat + (60_000 if _dice(self.seed, slot, 3) % 9 == 0 else 0)
