"""Meter-local time to UTC, on days of 23, 24 and 25 hours."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo


def to_utc(local: datetime, zone: tzinfo, *, summer: bool | None = None) -> datetime:
    """The UTC instant of a naive meter-local stamp.

    Args:
        local: the stamp without a zone.
        zone: the meter's zone.
        summer: what the meter says about daylight saving; it decides in the hour that comes
            twice in autumn. None takes the first of the two.
    """
    moment = local.replace(tzinfo=zone)
    if summer is not None and bool(moment.dst()) is not summer:
        other = moment.replace(fold=1)
        if bool(other.dst()) is summer:
            moment = other
    return moment.astimezone(UTC)


def is_summer(moment: datetime, zone: tzinfo) -> bool:
    """Whether daylight saving holds in a zone at a UTC instant."""
    return bool(moment.astimezone(zone).dst())
