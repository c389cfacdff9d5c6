"""What counts as read: one definition, for the report, the table and whoever checks them. Pure.

* An interval of a meter is a multiple of its `interval_s` in UTC, named by its END.
* It is *expected* in a day when its END lies in the day (after its first instant, up to its last)
  by the clock of the meter's service point, and behind the meter's beginning: its registration, or
  its first reading where that is earlier and another followed within two days: one telegram tried
  on the bench begins no schedule.
* It is *read* when a reading of the channel `el.energy.import` whose clock is to be trusted
  (status without 1, 8, 32) has a time in (END - interval, END].
* It is read *on time* when that reading was in the database at the deadline: five hours after the
  day has ended, as the province of Ontario wants it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

CHANNEL: Final = "el.energy.import"
DEADLINE: Final = timedelta(hours=5)
ONTARIO_PPM: Final = 980_000
"""At least 98.0 % of the reads in any daily period (Functional Specification for an AMI, 2.3.1)."""
FIELD_PPM: Final = 998_000
"""The 99.8 % that a field test in Sweden reported."""
RUNNING: Final = 3
"""A component that causes misses in so many daily periods running has failed."""


class Day(NamedTuple):
    """A local day: its first and last instant."""

    begin: datetime
    end: datetime


def local_day(day: date, zone: ZoneInfo) -> Day:
    """The instants between which a local day lies; 23 to 25 hours."""
    begin = datetime.combine(day, time(), zone).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    return Day(begin, end)


def slots(day: Day, interval_s: int, beginning: datetime) -> range:
    """Numbers of the intervals that are expected in a day."""
    after = max(day.begin, beginning)
    first = int(after.timestamp()) // interval_s + 1
    last = int(day.end.timestamp()) // interval_s
    return range(first, max(first, last + 1))


def slot_of(at: datetime, interval_s: int) -> int:
    """The number of the interval that a reading lies in."""
    micros = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return -(-micros // (interval_s * 1_000_000))


def running(days: Iterable[date], last: date) -> int:
    """How many days up to `last` follow each other in `days`."""
    known = set(days)
    count = 0
    while last - timedelta(days=count) in known:
        count += 1
    return count
