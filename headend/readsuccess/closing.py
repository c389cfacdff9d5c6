"""Close days: what was read of each, and the causes of what was not. Plans, run by the worker.

Theory of operation. A day of a zone is closed once, five hours after it has ended by the clock of
the data: the newest interval of the utility. (A fleet may be simulated, and its clock may lag; when
a whole utility has been silent for two days the time itself counts, so that its days close too.)
What is read by then is on time. Readings that come later mark their day as stale; it is counted
again, `on_time` stays, `stored` and the misses' `late` move.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from headend.readsuccess.causes import misses
from headend.readsuccess.definition import CHANNEL, DEADLINE, Day, local_day, slot_of, slots
from headend.readsuccess.facts import SQL, Lacking, columns, gather, instant, ways
from headend.vee.model import Check, Limits
from headend.vee.rules import low_days

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headend.store.plan import Plan, Row

SILENT: Final = timedelta(days=2)
STALE_MAX: Final = 2000


class Group(NamedTuple):
    """The meters of one utility in one zone."""

    tenant: int
    zone: str


class Read(NamedTuple):
    """What was read of a meter in a day: numbers of intervals."""

    meter: Row
    expected: range
    read: set[int]

    @property
    def missing(self) -> list[int]:
        """What was not."""
        return [slot for slot in self.expected if slot not in self.read]


def step(now: datetime) -> Plan[int]:
    """Close a day of each group where one is due, and count stale days again; how many rows."""
    channels = yield from channels_read()
    done = 0
    for row in (yield SQL("groups")):
        group = Group(row["tenant_id"], row["zone"])
        day = yield from _next_day(row, group, channels, now)
        if day is not None:
            done += yield from close(group, day, channels, now)
    return done + (yield from refresh(channels))


def channels_read() -> Plan[list[int]]:
    """The channels whose readings count."""
    return [row["id"] for row in (yield SQL("channels", name=CHANNEL))]


def _next_day(row: Row, group: Group, channels: list[int], now: datetime) -> Plan[date | None]:
    """The day that is due, or None."""
    if row["newest"] is None:
        return None
    alive = row["seen"] is not None and now - row["seen"] < SILENT
    clock = min(now, row["newest"]) if alive else now
    zone = ZoneInfo(group.zone)
    if row["closed"] is not None:
        day = row["closed"] + timedelta(days=1)
    else:
        found = yield SQL("first_reading", tenant=group.tenant, zone=group.zone, channels=channels)
        if found[0]["first"] is None:
            return None
        begin = min(found[0]["first"], row["registered"])
        day = begin.astimezone(zone).date()
    return day if local_day(day, zone).end + DEADLINE <= clock else None


def close(group: Group, day: date, channels: list[int], now: datetime) -> Plan[int]:
    """Close one day of a group. Returns its meters."""
    span = local_day(day, ZoneInfo(group.zone))
    reads = yield from read(group, span, channels)
    lacking = [Lacking(one.meter, one.missing) for one in reads if one.missing]
    routes = yield from ways(lacking, span)
    facts = yield from gather(group.tenant, lacking, span, channels, routes)
    found = misses(facts.missing, facts)
    hops = {meter: rows[-1]["hops"] for meter, rows in routes.items()}
    yield SQL(
        "save_days",
        day=day,
        now=now,
        meters=[one.meter["id"] for one in reads],
        gateways=[one.meter["gateway_id"] for one in reads],
        hops=[hops.get(one.meter["id"]) for one in reads],
        expected=[len(one.expected) for one in reads],
        reads=[len(one.expected) - len(one.missing) for one in reads],
    )
    if found:
        yield SQL("save_misses", day=day, **columns(found, facts.length_s))
    if lacking:
        ids = [one.meter["id"] for one in lacking]
        yield SQL("estimate", meters=ids, begin=span.begin, end=span.end)
    yield from _low(reads, day, span, now)
    yield SQL("save_closing", tenant=group.tenant, zone=group.zone, day=day)
    return len(reads)


def _low(reads: Sequence[Read], day: date, span: Day, now: datetime) -> Plan[None]:
    """An exception for each whole day far below the usual one."""
    rows = yield SQL(
        "totals",
        day=day,
        meters=[one.meter["id"] for one in reads],
        seconds=int((span.end - span.begin).total_seconds()),
    )
    limits = Limits()
    totals, usual, days = (
        np.array([row[name] for row in rows], dtype=np.int64)
        for name in ("total", "usual_day", "days")
    )
    fails = low_days(totals, usual, days, limits)
    some = [row for row, low in zip(rows, fails, strict=True) if low]
    if some:
        yield SQL(
            "low",
            rule=int(Check.LOW),
            begin=span.begin,
            end=span.end,
            now=now,
            meters=[row["meter_id"] for row in some],
            channels=[row["channel"] for row in some],
            found=[row["total"] for row in some],
            allowed=[row["usual_day"] // limits.low_divisor for row in some],
        )


def read(group: Group, span: Day, channels: list[int]) -> Plan[list[Read]]:
    """What was expected and read of each meter of a group in a day."""
    rows = yield SQL(
        "meters",
        tenant=group.tenant,
        zone=group.zone,
        channels=channels,
        begin=span.begin,
        end=span.end,
    )
    return [_read(row, span) for row in rows]


def _read(row: Row, span: Day) -> Read:
    length = row["interval_s"]
    beginning = row["registered_at"]
    if row["first"] is not None:
        first = instant(slot_of(row["first"], length) - 1, length)
        beginning = min(beginning, first)
    expected = slots(span, length, beginning)
    return Read(row, expected, set(row["slots"] or ()) & set(expected))


def refresh(channels: list[int]) -> Plan[int]:
    """Count days again to which readings have come since they were closed."""
    rows = yield SQL("stale", limit=STALE_MAX)
    if not rows:
        return 0
    which = {"meters": [r["meter_id"] for r in rows], "days": [r["day"] for r in rows]}
    yield SQL("late", **which, channels=channels)
    yield SQL("fresh", **which)
    return len(rows)
