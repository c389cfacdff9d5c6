"""A month of a meter as a table of days and hours: the table is the picture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from headend.store.plan import Queries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from headend.store.plan import Plan
    from headend.web.load import LoadCurve

SQL: Final = Queries("headend.web", "pages.sql")
DAYS: Final = 28
SHADES: Final = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """One hour: `shade` 0 (nothing) to SHADES; `total` None where no interval is known."""

    hour: int
    total: int | None
    shade: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class Day:
    """One local day: 23, 24 or 25 hours long, shown in 24 places.

    The hour that a change of clocks leaves out stays empty; the one it repeats is added up.
    """

    day: date
    total: int
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Month:
    """Days, newest first, and the most of an hour."""

    days: list[Day]
    most: int


def month_of(tenant_id: int, meter_id: int, curve: LoadCurve) -> Plan[Month | None]:
    """The DAYS days up to the curve's end; None: no interval of them is validated yet."""
    last = (curve.end.astimezone(curve.zone) - timedelta(microseconds=1)).date()
    first = last - timedelta(days=DAYS - 1)
    rows = yield SQL(
        "hours",
        tenant_id=tenant_id,
        meter_id=meter_id,
        channel=curve.channel,
        from_ts=datetime.combine(first, time(), curve.zone).astimezone(UTC),
        to_ts=curve.end,
    )
    if not rows:
        return None
    known: dict[tuple[date, int], tuple[int, bool]] = {}
    for row in rows:
        place = _place(row["hour"], curve.zone)
        total, measured = known.get(place, (0, True))
        known[place] = (total + row["total"], measured and row["measured"])
    most = max(total for total, _ in known.values())
    days = [last - timedelta(days=i) for i in range(DAYS)]
    return Month([_day(day, known, most) for day in days if _is_known(day, known)], most)


def _place(hour: datetime, zone: ZoneInfo) -> tuple[date, int]:
    local = hour.astimezone(zone)
    return local.date(), local.hour


def _is_known(day: date, known: Mapping[tuple[date, int], object]) -> bool:
    return any((day, hour) in known for hour in range(24))


def _day(day: date, known: Mapping[tuple[date, int], tuple[int, bool]], most: int) -> Day:
    cells = [_cell(hour, known.get((day, hour)), most) for hour in range(24)]
    return Day(day, sum(cell.total or 0 for cell in cells), cells)


def _cell(hour: int, found: tuple[int, bool] | None, most: int) -> Cell:
    if found is None:
        return Cell(hour, None, 0, estimated=False)
    total, measured = found
    shade = -(-SHADES * total // most) if most > 0 else 0
    return Cell(hour, total, max(0, shade), estimated=not measured)
