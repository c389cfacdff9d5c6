"""The report over closed days, and the check that counts it again from the raw readings. Plans."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from headend.readsuccess.definition import (
    CHANNEL,
    DEADLINE,
    FIELD_PPM,
    ONTARIO_PPM,
    RUNNING,
    local_day,
    running,
    slot_of,
    slots,
)
from headend.store.plan import Plan, Queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headend.store.plan import Row

SQL: Final = Queries("headend.readsuccess", "report.sql")
BACK_DAYS: Final = 92
"""How far back runs of failing days are followed."""
METERS_AT_ONCE: Final = 500


class Period(NamedTuple):
    """Closed days, both included."""

    first: date
    last: date


def ppm(part: int, whole: int) -> int | None:
    """A share in millionths, rounded down; None of nothing."""
    return part * 1_000_000 // whole if whole else None


def report(tenant: int, period: Period, worst: int) -> Plan[dict[str, object]]:
    """The figures of some days; the fields are those of `reads_views.ReadDays`."""
    which = {"tenant_id": tenant, "first": period.first, "last": period.last}
    days = yield SQL("days", **which)
    of_day: dict[date, dict[str, int]] = defaultdict(dict)
    causes: dict[str, int] = defaultdict(int)
    for row in (yield SQL("causes", **which)):
        of_day[row["day"]][row["cause"]] = row["intervals"]
        causes[row["cause"]] += row["intervals"]
    gateways = yield SQL("gateways", **which)
    hops = yield SQL("hops", **which)
    named = yield SQL("worst", **which, limit=worst)
    components = yield SQL("components", tenant_id=tenant, last=period.last, back=BACK_DAYS)
    total = {name: sum(row[name] for row in days) for name in ("expected", "on_time", "stored")}
    return {
        "period_from": period.first,
        "period_to": period.last,
        "deadline_h": int(DEADLINE.total_seconds()) // 3600,
        "meters": max((row["meters"] for row in days), default=0),
        **total,
        "on_time_ppm": ppm(total["on_time"], total["expected"]),
        "stored_ppm": ppm(total["stored"], total["expected"]),
        "lines": [_line(limit, days) for limit in (ONTARIO_PPM, FIELD_PPM)],
        "failing": _failing(components, period.last),
        "causes": dict(causes),
        "days": [_share(row) | {"causes": of_day.get(row["day"], {})} for row in days],
        "gateways": [_share(row) for row in gateways],
        "hops": hops,
        "worst": named,
    }


def _share(row: Row) -> dict[str, object]:
    return {**row, "on_time_ppm": ppm(row["on_time"], row["expected"])}


def _line(limit_ppm: int, days: list[Row]) -> dict[str, object]:
    """Which days stay below a line; a day on which nothing was expected is below none."""
    below = [
        row["day"]
        for row in days
        if row["expected"] and row["on_time"] * 1_000_000 < limit_ppm * row["expected"]
    ]
    return {"limit_ppm": limit_ppm, "met": not below and bool(days), "below": below}


def _failing(components: list[Row], last: date) -> list[dict[str, object]]:
    """Components that caused misses on three days running and more, up to the last day."""
    runs = [
        {"kind": row["kind"], "component": row["component"], "days": running(row["days"], last)}
        for row in components
    ]
    long = [run for run in runs if int(str(run["days"])) >= RUNNING]
    return sorted(long, key=lambda run: (-int(str(run["days"])), str(run["component"])))


def gaps(
    tenant: int,
    after: tuple[datetime, int],
    limit: int,
    *,
    cause: str | None = None,
    meter: str | None = None,
    gateway: str | None = None,
) -> Plan[list[Row]]:
    """What is missing now, behind (beginning, meter); see `headend.readsuccess.gaps`."""
    which = {"cause": cause, "meter": meter, "gateway": gateway}
    place = {"after_ts": after[0], "after_meter": after[1], "limit": limit}
    return (yield SQL("gaps", tenant_id=tenant, **which, **place))


def gap_causes(tenant: int) -> Plan[dict[str, int]]:
    """How many intervals are missing now, by cause."""
    rows = yield SQL("gap_causes", tenant_id=tenant)
    return {row["cause"]: row["intervals"] for row in rows}


class Difference(NamedTuple):
    """A meter's day whose table and raw readings disagree."""

    meter: str
    day: date
    table: tuple[int, int]
    raw: tuple[int, int]


def recount(tenant: int, period: Period) -> Plan[list[Difference]]:
    """Count every closed day again from the raw readings; what differs from the table."""
    table = {
        (row["name"], row["day"]): (row["expected"], row["stored"])
        for row in (yield SQL("table", tenant_id=tenant, first=period.first, last=period.last))
    }
    channels = [row["id"] for row in (yield SQL("channels", name=CHANNEL))]
    found: list[Difference] = []
    after = ""
    while True:
        rows = yield SQL(
            "raw",
            tenant_id=tenant,
            channels=channels,
            low=datetime(*period.first.timetuple()[:3], tzinfo=UTC) - timedelta(days=2),
            high=datetime(*period.last.timetuple()[:3], tzinfo=UTC) + timedelta(days=2),
            after=after,
            limit=METERS_AT_ONCE,
        )
        if not rows:
            return found
        after = rows[-1]["name"]
        for row in rows:
            found += _differences(row, period, table)


def _differences(
    row: Row, period: Period, table: Mapping[tuple[str, date], tuple[int, int]]
) -> list[Difference]:
    zone, length = ZoneInfo(row["zone"]), row["interval_s"]
    read = {slot_of(at, length) for at in row["times"] or ()}
    beginning = row["registered_at"]
    if row["first"] is not None:
        first = datetime.fromtimestamp((slot_of(row["first"], length) - 1) * length, UTC)
        beginning = min(beginning, first)
    found = []
    for number in range((period.last - period.first).days + 1):
        day = period.first + timedelta(days=number)
        known = table.get((row["name"], day))
        expected = slots(local_day(day, zone), length, beginning)
        raw = (len(expected), len(read & set(expected)))
        if known is not None and known != raw:
            found.append(Difference(row["name"], day, known, raw))
    return found


def newest_day(tenant: int) -> Plan[date | None]:
    """The last closed day."""
    day: date | None = (yield SQL("newest_day", tenant_id=tenant))[0]["day"]
    return day
