"""Rule packs: data that says when an automatic disconnection is allowed, each number with a source.

A pack is a TOML file in `packs/`. It names the hours in which cutting is permitted: what is not
named is closed, so that an empty pack permits nothing. All times are local to the service point.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec

from headend.prepayment.calendars import WEEKDAYS, DayName, HolidayCalendar
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from datetime import date

_Clock: TypeAlias = Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
_YearDay: TypeAlias = Annotated[str, msgspec.Meta(pattern="^(0[1-9]|1[0-2])-[0-3][0-9]$")]
_Source: TypeAlias = Annotated[str, msgspec.Meta(min_length=8)]
_FROM_TO = {"start": "from", "end": "to"}
NO_RULES = "no_rules"


class PermittedHours(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_FROM_TO, kw_only=True
):
    """Hours of some weekdays in which cutting is permitted, half-open, within one local day.

    `season`: while the clocks are in summer or in winter time; None: all year.
    """

    days: frozenset[DayName]
    start: _Clock
    end: _Clock
    season: Literal["summer", "winter"] | None = None
    source: _Source

    @property
    def minutes(self) -> tuple[int, int]:
        """Minutes after local midnight."""
        return _minutes(self.start), _minutes(self.end)

    def holds(self, local: datetime) -> bool:
        """Whether it applies on the day of a local time."""
        if WEEKDAYS[local.weekday()] not in self.days:
            return False
        return self.season is None or (self.season == "summer") == _is_summer(local)


class DateRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_FROM_TO):
    """Days of each year, both ends included; it may span the new year."""

    start: _YearDay
    end: _YearDay
    source: _Source

    def covers(self, day: date) -> bool:
        """Whether a local date lies in it."""
        return in_year_range(day, self.start, self.end)


class Protection(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_FROM_TO, kw_only=True
):
    """Customers with a flag who are never cut, or not between two days of the year."""

    flag: str
    start: _YearDay = "01-01"
    end: _YearDay = "12-31"
    source: _Source


class TemperatureLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No cut at extreme temperatures, in tenths of a degree Celsius."""

    at_or_below_dc: int
    at_or_above_dc: int
    source: _Source

    def forbids(self, temperature_dc: int | None) -> bool:
        """Whether cutting is forbidden; an unknown temperature forbids it."""
        if temperature_dc is None:
            return True
        return not self.at_or_below_dc < temperature_dc < self.at_or_above_dc


class RulePack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rules of one place; `closed_day_reason` and `holiday_reason` are what is answered."""

    title: str
    closed_day_reason: str = "weekend_or_holiday"
    holiday_reason: str = "weekend_or_holiday"
    calendar: HolidayCalendar = HolidayCalendar()
    permitted: tuple[PermittedHours, ...] = ()
    moratorium: tuple[DateRange, ...] = ()
    temperature: TemperatureLimits | None = None
    protected: tuple[Protection, ...] = ()
    grace_days: int = 0
    grace_source: str = ""
    minimum_debt_mu: int = 0
    minimum_debt_source: str = ""

    def __hash__(self) -> int:
        return hash((self.title, self.permitted, self.moratorium))

    def protects(self, flags: frozenset[str], day: date) -> bool:
        """Whether a customer's flag forbids a cut on a local date.

        A flag that the pack does not name protects all the year: flags exist to protect.
        """
        named = {p.flag for p in self.protected}
        if flags - named:
            return True
        return any(p.flag in flags and in_year_range(day, p.start, p.end) for p in self.protected)

    def closed(self, local: datetime) -> str | None:
        """Why a local time is closed to cutting; None: it is open."""
        if not self.permitted:
            return NO_RULES
        if any(m.covers(local.date()) for m in self.moratorium):
            return "moratorium"
        if self.calendar.is_holiday(local.date()):
            return self.holiday_reason
        hours = [h.minutes for h in self.permitted if h.holds(local)]
        if not hours:
            return self.closed_day_reason
        minute = local.hour * 60 + local.minute
        if any(start <= minute < end for start, end in hours):
            return None
        return "morning" if any(minute < start for start, _ in hours) else "evening"

    @property
    def edges(self) -> tuple[int, ...]:
        """Minutes of a local day at which the answer may change."""
        return tuple(sorted({0, *(m for h in self.permitted for m in h.minutes)}))


@cache
def load_pack(name: str) -> RulePack:
    """A pack of the product by its name. Raises ConfigError."""
    try:
        text = (files("headend.prepayment.packs") / f"{name}.toml").read_text(encoding="utf-8")
    except (FileNotFoundError, ValueError):
        raise ConfigError(f"there is no rule pack {name!r}") from None
    return parse_pack(text, name)


def parse_pack(text: str, name: str) -> RulePack:
    """A pack from TOML. Raises ConfigError with what is wrong, and where."""
    try:
        return msgspec.toml.decode(text, type=RulePack)
    except msgspec.DecodeError as error:
        raise ConfigError(f"rule pack {name}: {error}") from error


def pack_names() -> list[str]:
    """All packs of the product."""
    found = (entry.name for entry in files("headend.prepayment.packs").iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def in_year_range(day: date, start: str, end: str) -> bool:
    """Whether a date lies from `MM-DD` to `MM-DD`, both included, perhaps across the new year."""
    text = day.isoformat()[5:]
    return start <= text <= end if start <= end else text >= start or text <= end


def _is_summer(local: datetime) -> bool:
    """Whether the clocks are ahead; by offsets: Ireland's law calls its winter time the odd one."""
    offsets = [datetime(local.year, m, 1, tzinfo=local.tzinfo).utcoffset() for m in (1, 7)]
    now = local.utcoffset()
    known = [offset for offset in offsets if offset is not None]
    return now is not None and bool(known) and now > min(known)


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])
