"""Gaps: intervals that are missing now, listed minutes after they were due. Plans, for the watch.

Theory of operation. An interval is looked for once, `GRACE` after its END; when nothing was read of
it, it is listed with the cause as far as it is known then. A gap is looked at again when readings
of its time were validated; what has come leaves it. The causes of a closed day are those of
`closing`, which sees all of it.

The clock is that of the data: the newest interval, and the time gone since any meter was heard. So
a fleet that is simulated, or catches up, is not behind; and one that falls silent as a whole is.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from headend.readsuccess.causes import misses
from headend.readsuccess.closing import channels_read
from headend.readsuccess.definition import Day
from headend.readsuccess.facts import Lacking, columns, gather, ways
from headend.store.plan import Queries

if TYPE_CHECKING:
    from headend.store.plan import Plan, Row

SQL: Final = Queries("headend.readsuccess", "gaps.sql")
GRACE: Final = timedelta(minutes=10)
"""From an interval's END until it is missed: with the watch's minute still within 15 minutes."""
BACK_MAX: Final = timedelta(days=2)
"""How far back a watch that was away looks; days before that are closed anyway."""
KEPT: Final = timedelta(days=45)
GAPS_AT_ONCE: Final = 5000


def step(now: datetime) -> Plan[int]:
    """Look for what has become due, and again at gaps to which something came; how many."""
    channels = yield from channels_read()
    done = 0
    for row in (yield SQL("clocks")):
        if row["newest"] is not None and channels:
            done += yield from _look(row, channels, now)
    return done + (yield from _again(channels))


def due(newest: datetime, seen: datetime | None, now: datetime) -> datetime:
    """Up to which END intervals are due, by the clock of the data."""
    silent = max(timedelta(0), now - (seen or now))
    return min(now, newest + silent) - GRACE


def _look(row: Row, channels: list[int], now: datetime) -> Plan[int]:
    """Find what is missing of one utility since it was last looked at."""
    until = due(row["newest"], row["seen"], now)
    span = Day(max(row["until"] or until - timedelta(days=1), until - BACK_MAX), until)
    if span.begin >= span.end:
        return 0
    which = {"begin": span.begin, "end": span.end, "tenant": row["tenant"], "channels": channels}
    found = [Lacking(meter, meter["slots"]) for meter in (yield SQL("missing", **which))]
    routes = yield from ways(found, span)
    facts = yield from gather(row["tenant"], found, span, channels, routes)
    if found:
        gaps = misses(facts.missing, facts)
        yield SQL("save", **columns(gaps, facts.length_s), now=now)
    yield SQL("checked", tenant=row["tenant"], until=until)
    yield SQL("forget", tenant=row["tenant"], before=until - KEPT)
    return len(found)


def _again(channels: list[int]) -> Plan[int]:
    """Take out of gaps what has been read by now; what is left keeps its cause."""
    rows = yield SQL("stale", channels=channels, limit=GAPS_AT_ONCE)
    same = [row for row in rows if row["count"] == row["intervals"]]
    less = [row for row in rows if row["count"] != row["intervals"]]
    if same:
        yield SQL("fresh", meters=_all(same, "meter_id"), froms=_all(same, "from_ts"))
    if less:
        yield from _split(less)
    return len(less)


def _split(rows: list[Row]) -> Plan[None]:
    gone = sorted({(row["meter_id"], row["from_ts"]) for row in rows})
    left = [row for row in rows if row["count"]]
    kept = yield SQL(
        "split",
        gone_meters=[meter for meter, _ in gone],
        gone_froms=[begin for _, begin in gone],
        meters=_all(left, "meter_id"),
        froms=_all(left, "from_ts"),
        lows=_all(left, "low"),
        highs=_all(left, "high"),
        counts=_all(left, "count"),
    )
    if kept:
        names = {"meters": "meter_id", "lows": "low", "highs": "high", "counts": "count"}
        names |= {"causes": "cause", "gateways": "gateway_id", "nodes": "node", "found": "found_at"}
        yield SQL("rest", **{name: _all(kept, field) for name, field in names.items()})


def _all(rows: list[Row], name: str) -> list[object]:
    return [row[name] for row in rows]
