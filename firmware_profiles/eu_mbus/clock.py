"""Meter time and UTC.

A meter runs on the standard time of its zone all year unless it flags summer time (EN 13757-3,
annex A), so the zone's own daylight saving is not asked.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

_SUMMER = timedelta(hours=1)
_ZERO = timedelta(0)


@lru_cache(maxsize=512)
def _standard_offset(year: int, zone: tzinfo) -> timedelta:
    """The zone's offset from UTC without daylight saving, as it was when the year began."""
    begin = datetime(year, 1, 1, tzinfo=zone)
    return (begin.utcoffset() or _ZERO) - (begin.dst() or _ZERO)


def to_utc(local: datetime, zone: tzinfo, *, summer: bool = False) -> datetime | None:
    """The instant of a meter's local time; None at the ends of the calendar."""
    try:
        utc = local - _standard_offset(local.year, zone)
        return (utc - _SUMMER if summer else utc).replace(tzinfo=UTC)
    except OverflowError:
        return None


def standard_time(moment: datetime, zone: tzinfo) -> datetime:
    """The meter's local time of an instant, in standard time and without a zone."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    offset = _standard_offset(utc.year, zone)
    return utc + _standard_offset((utc + offset).year, zone)
