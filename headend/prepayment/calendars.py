"""Holiday calendars: a country's public holidays, own dates, and rules such as "2nd Saturday".

A year that the library has no data for counts as one long holiday: nobody is cut on a day that may
be a feast. The caller sees it in `knows` and raises the alarm.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import holidays
import msgspec

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from datetime import date

DayName: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[DayName, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class NthWeekday(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Such as the second Saturday of each month: n 1..5."""

    n: int
    weekday: DayName

    def falls_on(self, day: date) -> bool:
        """Whether a date is it."""
        return WEEKDAYS[day.weekday()] == self.weekday and (day.day + 6) // 7 == self.n


class HolidayCalendar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which local dates are holidays.

    Attributes:
        country, subdivision: as the `holidays` package names them; None: none of its holidays.
        dates: single days, `YYYY-MM-DD`, or days of each year, `MM-DD`.
        nth_weekdays: rules within each month.
    """

    country: str | None = None
    subdivision: str | None = None
    dates: tuple[str, ...] = ()
    nth_weekdays: tuple[NthWeekday, ...] = ()

    def __post_init__(self) -> None:
        if self.country is not None:
            _public_holidays(self.country, self.subdivision, 2026)

    def knows(self, year: int) -> bool:
        """Whether there is data for a year."""
        if self.country is None:
            return True
        return _public_holidays(self.country, self.subdivision, year) is not None

    def is_holiday(self, day: date) -> bool:
        """Whether a local date is a holiday; True for all days of a year without data."""
        text = day.isoformat()
        if text in self.dates or text[5:] in self.dates:
            return True
        if any(rule.falls_on(day) for rule in self.nth_weekdays):
            return True
        if self.country is None:
            return False
        public = _public_holidays(self.country, self.subdivision, day.year)
        return public is None or day in public


@lru_cache(maxsize=256)
def _public_holidays(country: str, subdivision: str | None, year: int) -> frozenset[date] | None:
    try:
        found = holidays.country_holidays(country, subdiv=subdivision, years=year)
    except NotImplementedError as error:
        raise ConfigError(f"no holiday calendar: {error}") from error
    if not found.start_year <= year <= found.end_year:
        return None
    return frozenset(found)
