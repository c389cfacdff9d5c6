"""COSEM date-time <-> UTC (IEC 62056-6-2, clause 4.1.6.1).

offset  size  field
0       2     year, FFFF not specified
2       1     month 1-12
3       1     day of month 1-31
4       1     day of week 1-7, Monday first
5       1     hour       6  1  minute       7  1  second, each FF not specified
8       1     hundredths of a second, FF not specified
9       2     deviation: minutes from local time to UTC, signed; 8000 not specified
11      1     clock status; FF not specified
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from firmware_profiles.codecs.clock import to_utc
from ohmesh.model.reading import Quality

SIZE = 12
_NOT_SPECIFIED = 0xFF
_DEVIATION_MINUTES_MAX = 720 + 120
_STATUS_INVALID = 0x01 | 0x02 | 0x08
"""Invalid value, doubtful value, invalid clock status."""
_STATUS_SUMMER = 0x80


class Stamp(NamedTuple):
    """A point in time as a meter gives it.

    Attributes:
        time: UTC, None when the meter does not say.
        quality: ACTUAL, or CLOCK_INVALID when the meter does not trust its clock.
    """

    time: datetime | None
    quality: Quality


def parse_date_time(octets: bytes, zone: tzinfo) -> Stamp:
    """Read 12 octets.

    Args:
        octets: the date-time; another length gives no time.
        zone: of stamps without a deviation.
    """
    if len(octets) != SIZE:
        return Stamp(None, Quality.CLOCK_INVALID)
    year = octets[0] << 8 | octets[1]
    month, day, _, hour, minute, second, hundredths = octets[2:9]
    deviation = int.from_bytes(octets[9:11], "big", signed=True)
    status = octets[11]
    centi = 0 if hundredths == _NOT_SPECIFIED else hundredths
    seconds = 0 if second == _NOT_SPECIFIED else second
    try:
        local = datetime(year, month, day, hour, minute, seconds, centi * 10_000)  # noqa: DTZ001
        time = _to_utc(local, deviation, status, zone)
    except (ValueError, OverflowError):
        return Stamp(None, Quality.CLOCK_INVALID)
    trusted = status == _NOT_SPECIFIED or not status & _STATUS_INVALID
    return Stamp(time, Quality.ACTUAL if trusted else Quality.CLOCK_INVALID)


def _to_utc(local: datetime, deviation: int, status: int, zone: tzinfo) -> datetime:
    if abs(deviation) <= _DEVIATION_MINUTES_MAX:
        return (local + timedelta(minutes=deviation)).replace(tzinfo=UTC)
    summer = None if status == _NOT_SPECIFIED else bool(status & _STATUS_SUMMER)
    return to_utc(local, zone, summer=summer)


def date_time_bytes(moment: datetime, zone: tzinfo) -> bytes:
    """The 12 octets of a UTC instant in a zone, with deviation and daylight-saving status."""
    local = moment.astimezone(zone)
    offset = local.utcoffset() or timedelta(0)
    deviation = -int(offset.total_seconds()) // 60
    status = _STATUS_SUMMER if local.dst() else 0
    return (
        local.year.to_bytes(2, "big")
        + bytes((local.month, local.day, local.isoweekday()))
        + bytes((local.hour, local.minute, local.second, local.microsecond // 10_000))
        + deviation.to_bytes(2, "big", signed=True)
        + bytes((status,))
    )
