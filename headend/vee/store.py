"""What validation reads and writes, set by set: the SQL stands in vee.sql."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from headend.store import db
from headend.store.plan import Queries
from headend.vee import channels, rows
from headend.vee.model import DAY_US, SECOND_US, Intervals, Readings, Series
from headend.vee.registers import Swap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from headend.store.db import Connection
    from headend.store.plan import Row
    from headend.vee.channels import Channel
    from headend.vee.model import Bools, Check, Finding, Gap, Ints, Limits

    Past = dict[int, dict[int, int]]

SQL: Final = Queries("headend.vee", "vee.sql")
APART_US: Final = 2 * DAY_US
"""Touches of one meter nearer than this are looked at together."""


class Stretch(NamedTuple):
    """A stretch of one meter to look at; `closes`: what is missing in it may be estimated."""

    meter: int
    low_us: int
    high_us: int
    closes: bool


class Meter(NamedTuple):
    """What validation must know of a meter."""

    interval_s: int
    zone: ZoneInfo


class Loaded(NamedTuple):
    """Everything that a number of stretches is judged by.

    `of_stretch` is the stretch of each series, `last_us` where a series ends in the store (or -1).
    """

    readings: Readings
    series: Series
    of_stretch: list[int]
    channels: dict[int, Channel]
    meters: dict[int, Meter]
    swaps: list[Swap]
    last_us: Ints


def stretches(touches: Sequence[Row]) -> list[Stretch]:
    """Touches by meter; those near each other become one stretch."""
    found: list[Stretch] = []
    for row in sorted(touches, key=lambda r: (r["meter_id"], r["from_us"])):
        new = Stretch(row["meter_id"], row["from_us"], row["to_us"], row["closes"])
        last = found[-1] if found else None
        if last and last.meter == new.meter and new.low_us - last.high_us <= APART_US:
            high_us = max(last.high_us, new.high_us)
            found[-1] = Stretch(new.meter, last.low_us, high_us, last.closes or new.closes)
        else:
            found.append(new)
    return found


def load(connection: Connection, asked: Sequence[Stretch], limits: Limits) -> Loaded:
    """Readings and all that is known of the series in some stretches."""
    ids = sorted({stretch.meter for stretch in asked})
    known = {
        row["id"]: channels.channel(row)
        for row in db.rows(connection, SQL("channels", names=list(channels.kinds())))
    }
    meters = {
        row["id"]: Meter(row["interval_s"], zone(row["zone"]))
        for row in db.rows(connection, SQL("meters", meters=ids))
    }
    found, channel = rows.readings(
        db.copy_out(
            connection,
            SQL(
                "readings",
                numbers=list(range(len(asked))),
                meters=[s.meter for s in asked],
                lows=[s.low_us for s in asked],
                highs=[s.high_us for s in asked],
                closes=[s.closes for s in asked],
                channels=list(known),
            ),
        )
    )
    _, first, number = np.unique(
        found.series << 32 | channel, return_index=True, return_inverse=True
    )
    of_stretch = found.series[first].tolist()
    pairs = [(asked[w].meter, c) for w, c in zip(of_stretch, channel[first].tolist(), strict=True)]
    state = {
        (row["meter_id"], row["channel"]): row
        for row in db.rows(connection, SQL("series", meters=ids))
    }
    return Loaded(
        Readings(number.reshape(-1), found.time_us, found.value, found.status),
        _series(pairs, state, known, meters, limits),
        of_stretch,
        known,
        meters,
        _swaps(connection, pairs, ids),
        _column(state[p]["last_us"] if p in state else _NEVER for p in pairs),
    )


_NEVER: Final = -(2**62)


def _column(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


def _series(
    pairs: Sequence[tuple[int, int]],
    state: Mapping[tuple[int, int], Row],
    known: Mapping[int, Channel],
    meters: Mapping[int, Meter],
    limits: Limits,
) -> Series:
    lengths = [meters[m].interval_s for m, _ in pairs]
    kinds = [known[c] for _, c in pairs]
    usual = [state.get(pair, _NEW) for pair in pairs]
    return Series(
        meter=_column(m for m, _ in pairs),
        channel=_column(c for _, c in pairs),
        length_us=_column(s * SECOND_US for s in lengths),
        reported=_column(kind.reported for kind in kinds).astype(np.bool_),
        signed=_column(kind.signed for kind in kinds).astype(np.bool_),
        most=_column(
            kind.most(limits.power_w_max, s) for kind, s in zip(kinds, lengths, strict=True)
        ),
        usual_max=_column(row["usual_max"] for row in usual),
        usual_day=_column(row["usual_day"] for row in usual),
        days=_column(row["days"] for row in usual),
        zero_since_us=_column(row["zero_us"] for row in usual),
    )


_NEW: Final = {"usual_max": 0, "usual_day": 0, "days": 0, "zero_us": -1}


def _swaps(
    connection: Connection, pairs: Sequence[tuple[int, int]], ids: Sequence[int]
) -> list[Swap]:
    found = db.rows(connection, SQL("swaps", meters=ids))
    return [
        Swap(number, row["at_us"], row["old_close"], row["new_open"])
        for row in found
        for number, pair in enumerate(pairs)
        if pair == (row["meter_id"], row["channel"])
    ]


def past(connection: Connection, gaps: Sequence[Gap], series: Series, back_us: int) -> Past:
    """Measured intervals of the weeks before each gap: gap's place -> END -> value."""
    found: Past = {}
    if not gaps:
        return found
    numbers = [gap.series for gap in gaps]
    statement = SQL(
        "past",
        numbers=list(range(len(gaps))),
        meters=series.meter[numbers].tolist(),
        channels=series.channel[numbers].tolist(),
        lows=[gap.from_us - back_us for gap in gaps],
        highs=[gap.to_us for gap in gaps],
    )
    for row in db.rows(connection, statement):
        found.setdefault(row["gap"], {})[row["end_us"]] = row["value"]
    return found


def write(
    connection: Connection,
    intervals: Intervals,
    series: Series,
    *,
    new: Bools,
    now: datetime,
    now_us: int,
) -> int:
    """Write intervals: `new` ones straight, the others as versions. Returns how many were new."""
    intervals, new = _once(intervals, series, new)
    stream = _stream(intervals, series, new, now_us)
    try:
        with db.transaction(connection):  # a savepoint
            db.copy(connection, SQL.sql("copy_intervals"), stream)
    except db.KeyTaken:
        new = np.zeros(len(new), dtype=np.bool_)
    merge(connection, intervals, series, ~new, now=now)
    return int(new.sum())


def _once(intervals: Intervals, series: Series, new: Bools) -> tuple[Intervals, Bools]:
    """Every (meter, channel, END) once: two stretches of a meter may reach into one gap."""
    meter, channel = series.meter[intervals.series], series.channel[intervals.series]
    order = np.lexsort((intervals.end_us, channel, meter))
    keys = (meter[order], channel[order], intervals.end_us[order])
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    kept = order[first]
    return Intervals(*(getattr(intervals, name)[kept] for name in Intervals.__slots__)), new[kept]


def _stream(intervals: Intervals, series: Series, which: Bools, now_us: int) -> bytes:
    number = intervals.series[which]
    return rows.intervals(
        meter=series.meter[number],
        channel=series.channel[number],
        ts=intervals.end_us[which],
        value=intervals.value[which],
        length=series.length_us[number] // SECOND_US,
        quality=intervals.quality[which],
        failed=intervals.failed[which],
        method=intervals.method[which],
        version=1,
        made_at=now_us,
    )


def merge(
    connection: Connection,
    intervals: Intervals,
    series: Series,
    which: Bools,
    *,
    now: datetime,
    author: str | None = None,
) -> int:
    """Write intervals that may be there already. Returns how many are new or different.

    `author`: a person, whose word stands against what is there; None: validation.
    """
    if not which.any():
        return 0
    number = intervals.series[which]
    return db.execute(
        connection,
        SQL(
            "merge_intervals",
            meters=series.meter[number].tolist(),
            channels=series.channel[number].tolist(),
            ends=intervals.end_us[which].tolist(),
            amounts=intervals.value[which].tolist(),
            lengths=(series.length_us[number] // SECOND_US).tolist(),
            qualities=intervals.quality[which].tolist(),
            failed=intervals.failed[which].tolist(),
            methods=intervals.method[which].tolist(),
            now=now,
            author=author,
            force=author is not None,
        ),
    )


def note(
    connection: Connection,
    findings: Sequence[Finding],
    series: Series,
    bounds: Sequence[tuple[int, int, int]],
    *,
    rules: Sequence[Check],
    now: datetime,
) -> None:
    """Findings of `series` as exceptions; those of before that were not found again are gone.

    `bounds` are (series, from, to) of what was looked at, `rules` what was looked for.
    """
    once = {(int(series.meter[f.series]), int(series.channel[f.series]), *f): f for f in findings}
    keys = {(m, c, int(check), low): f for (m, c, check, _, low, *_), f in once.items()}
    meters, channels_, numbers, lows = map(list, zip(*keys, strict=True)) if keys else ([],) * 4
    found = list(keys.values())
    if found:
        db.execute(
            connection,
            SQL(
                "find",
                meters=meters,
                channels=channels_,
                rules=numbers,
                lows=lows,
                highs=[f.to_us for f in found],
                found=[f.found for f in found],
                allowed=[f.allowed for f in found],
                now=now,
            ),
        )
    which = [number for number, _, _ in bounds]
    db.execute(
        connection,
        SQL(
            "settle",
            meters=series.meter[which].tolist(),
            channels=series.channel[which].tolist(),
            lows=[low for _, low, _ in bounds],
            highs=[high for _, _, high in bounds],
            rules=[int(rule) for rule in rules],
            found_meters=meters,
            found_channels=channels_,
            found_rules=numbers,
            found_lows=lows,
            now=now,
        ),
    )


def one(meter: int, channel: int, length_us: int) -> Series:
    """A single series, of which nothing else is known."""
    zero, no = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.bool_)
    return Series(
        meter=_column([meter]),
        channel=_column([channel]),
        length_us=_column([length_us]),
        reported=no,
        signed=no,
        most=zero,
        usual_max=zero,
        usual_day=zero,
        days=zero,
        zero_since_us=zero,
    )


def zone(name: str) -> ZoneInfo:
    """A zone; UTC for a name that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
