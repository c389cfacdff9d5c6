"""LocalTimeParameters of a zone: when its clocks change, as ESPI's 32 bits.

Source: NAESB REQ.21, DstRuleType: month 28-31, operator 25-27 (2 first, 3 second, 4 third,
5 fourth, 7 last), day 20-24, weekday 17-19 (Monday 1), hour 12-16, second 0-11; FFFFFFFF: never.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER: Final = "FFFFFFFF"
_LAST: Final = 7
_YEARS: Final = 4
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LocalTime:
    """Offsets in seconds, rules as eight hex digits."""

    start_rule: str
    end_rule: str
    offset_s: int
    dst_s: int


def local_time(zone: str, year: int) -> LocalTime:
    """The parameters of a zone as its clocks change in a year and the three after it."""
    changes = [change for y in range(year, year + _YEARS) for change in _changes(ZoneInfo(zone), y)]
    first = datetime(year, 1, 1, tzinfo=UTC).astimezone(ZoneInfo(zone))
    offsets = {_seconds(first), *(after for _, _, after in changes)}
    starts = [at for at, before, after in changes if after > before]
    ends = [at for at, before, after in changes if after < before]
    start, end = _rule(starts), _rule(ends)
    if NEVER in (start, end):
        return LocalTime(NEVER, NEVER, _seconds(first), 0)
    return LocalTime(start, end, min(offsets), max(offsets) - min(offsets))


def _seconds(at: datetime) -> int:
    offset = at.utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _changes(zone: ZoneInfo, year: int) -> Iterator[tuple[datetime, int, int]]:
    """The wall clock (whole hours) at which it changes, and the offsets before and after."""
    at = datetime(year, 1, 1, tzinfo=UTC)
    while at.year == year:
        before, after = at.astimezone(zone), (at + _HOUR).astimezone(zone)
        if _seconds(before) != _seconds(after):
            wall = before.replace(tzinfo=None) + _HOUR
            yield wall, _seconds(before), _seconds(after)
        at += _HOUR


def _rule(times: list[datetime]) -> str:
    """The rule that holds in every year, NEVER when there is none."""
    found = {(at.month, at.isoweekday(), at.hour) for at in times}
    if len(times) != _YEARS or len(found) != 1:
        return NEVER
    if all((at + timedelta(days=7)).month != at.month for at in times):
        operator = _LAST
    else:
        weeks = {(at.day - 1) // 7 for at in times}
        if len(weeks) != 1:
            return NEVER
        operator = weeks.pop() + 2
    month, weekday, hour = found.pop()
    return f"{month << 28 | operator << 25 | weekday << 17 | hour << 12:08X}"
