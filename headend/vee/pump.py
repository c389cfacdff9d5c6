"""The pump of validation: touched stretches -> intervals, exceptions, roll-ups due.

Theory of operation. Ingest notes which stretch of which meter has new readings. A round takes some
of the notes, loads the readings of those stretches with the last before and the first behind,
derives their intervals, fills what may be filled, judges, and writes what is new or different; the
notes go in the same transaction. A crash anywhere means that the same round is done again, and
doing it again changes nothing. People's edits are done here too: one writer, one order.

A stretch that *closes* (its day is over and its deadline has passed) is estimated to its end even
where no later reading says how much was used in all.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from headend.rollup.roll import roll
from headend.store import db
from headend.store.session import Session
from headend.vee import edits, estimate, parts, rules, run, shape, slots, store
from headend.vee.model import Check, Finding, Gap, Intervals, Limits
from headend.vee.store import SQL
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from headend.store.db import Connection
    from headend.store.plan import Row
    from headend.vee.shape import Shape
    from headend.vee.store import Loaded, Stretch

_log = logging.getLogger(__name__)
PERIOD_S: Final = 0.5
LOCK: Final = "vee"
"""One validation at a time in a database: it alone writes intervals."""
AVOID: Final = timedelta(minutes=10)
TOUCHES_MAX: Final = 1500
"""Days of meters in one transaction: with four channels about 150 MiB."""
GAP_US_MAX: Final = 45 * 86_400 * 1_000_000
_STREAMED: Final = (
    Check.GAP,
    Check.CLOCK,
    Check.NEGATIVE,
    Check.SPIKE,
    Check.HIGH,
    Check.ZERO_RUN,
    Check.SUM,
    Check.PHASE,
    Check.UNIT,
    Check.SIZE,
)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What validation goes by."""

    limits: Limits = field(default_factory=Limits)
    shape: Shape = field(default_factory=shape.evening)


def micros(at: datetime) -> int:
    """Microseconds since 2000."""
    return (at - estimate.EPOCH) // timedelta(microseconds=1)


class Validator:
    """Runs until told to stop.

    Args:
        url: address of the database for ohmesh_worker.
        rulebook: limits and load shape.
        now: the clock, UTC.
    """

    def __init__(
        self,
        *,
        url: str,
        rulebook: Rulebook | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = Session(url, name="vee", channel="ohmesh_work")
        self._rulebook = rulebook or Rulebook()
        self._now = now
        self._avoided: dict[int, datetime] = {}

    def run(self, stop: threading.Event) -> None:
        """Pump until `stop` is set. Raises ConfigError, SchemaMismatch."""
        self._session.pump(stop, self._round)

    def _round(self, connection: Connection) -> None:
        if self.step(connection) < TOUCHES_MAX:  # a little at a time costs more than it is worth
            db.wait_notified(connection, PERIOD_S)

    def step(self, connection: Connection) -> int:
        """One round: stretches, edits and roll-ups done; 0 when there is nothing. StoreError."""
        now = self._now()
        with db.transaction(connection):
            if not db.try_lock(connection, LOCK):
                return 0
            done = edits.apply(connection, self._rulebook, now)
            done += self._take(connection, now)
        with db.transaction(connection):
            if not db.try_lock(connection, LOCK):
                return done
            return done + db.run(connection, roll())

    def _take(self, connection: Connection, now: datetime) -> int:
        """Validate some of the touched stretches; how many touches."""
        self._avoided = {m: until for m, until in self._avoided.items() if until > now}
        touches = db.rows(connection, SQL("take", limit=TOUCHES_MAX, avoid=list(self._avoided)))
        try:
            return self._together(connection, touches, now)
        except db.Unavailable:
            raise
        except Exception:  # noqa: BLE001 - the supervisor: one meter's data stops nobody else's
            _log.exception("%d stretches cannot be validated together; by meter now", len(touches))
        of_meter: dict[int, list[Row]] = defaultdict(list)
        for row in touches:
            of_meter[row["meter_id"]].append(row)
        return sum(self._alone(connection, rows, now) for rows in of_meter.values())

    def _alone(self, connection: Connection, touches: Sequence[Row], now: datetime) -> int:
        """One meter; if it cannot be validated it is left alone for a while, and told about."""
        try:
            return self._together(connection, touches, now)
        except db.Unavailable:
            raise
        except Exception:  # noqa: BLE001 - as above
            meter = touches[0]["meter_id"]
            _log.exception("the meter %d cannot be validated; left alone for a while", meter)
            self._avoided[meter] = now + AVOID
            return 0

    def _together(self, connection: Connection, touches: Sequence[Row], now: datetime) -> int:
        if not touches:
            return 0
        with db.transaction(connection):  # a savepoint
            validate(connection, store.stretches(touches), self._rulebook, now)
            db.execute(connection, SQL("done", ids=[row["id"] for row in touches]))
        return len(touches)


def validate(
    connection: Connection, asked: Sequence[Stretch], rulebook: Rulebook, now: datetime
) -> Intervals:
    """Derive, fill, judge and write the intervals of some stretches."""
    loaded = store.load(connection, asked, rulebook.limits)
    series = loaded.series
    db.execute(connection, SQL("save_slots", **slots.read(loaded)))
    outcome = run.derive(loaded.readings, series, loaded.swaps, rulebook.limits, micros(now))
    gaps = outcome.gaps + _open_ends(outcome.intervals, loaded, asked)
    filled = _fill(
        connection, outcome.intervals, gaps, loaded=loaded, asked=asked, rulebook=rulebook
    )
    intervals, failing = run.judge(filled, series, rulebook.limits)
    intervals, differing = parts.judge(intervals, loaded, rulebook.limits)
    findings = outcome.findings + failing + differing
    findings += [
        Finding(Check.GAP, g.series, g.from_us, g.to_us) for g in gaps[len(outcome.gaps) :]
    ]
    new = intervals.end_us > loaded.last_us[intervals.series]
    store.write(connection, intervals, series, new=new, now=now, now_us=micros(now))
    bounds = _bounds(loaded)
    store.note(connection, findings, series, bounds, rules=_STREAMED, now=now)
    _grow(connection, intervals, loaded)
    _due(connection, intervals, loaded)
    return intervals


def _bounds(loaded: Loaded) -> list[tuple[int, int, int]]:
    """(series, first time, last time) of the readings looked at."""
    readings, count = loaded.readings, len(loaded.series.meter)
    begins = np.searchsorted(readings.series, np.arange(count))
    ends = np.searchsorted(readings.series, np.arange(count), side="right") - 1
    lows, highs = readings.time_us[begins], readings.time_us[ends]
    return list(zip(range(count), lows.tolist(), highs.tolist(), strict=True))


def _open_ends(intervals: Intervals, loaded: Loaded, asked: Sequence[Stretch]) -> list[Gap]:
    """In stretches that close: what is missing between the last interval and their end."""
    gaps = []
    for number, low, _ in _bounds(loaded):
        stretch = asked[loaded.of_stretch[number]]
        if not stretch.closes:
            continue
        length = int(loaded.series.length_us[number])
        ends = intervals.end_us[intervals.series == number]
        begin = int(ends[-1]) if len(ends) else -(-low // length) * length
        end = stretch.high_us // length * length
        if begin < end and end - begin <= GAP_US_MAX:
            gaps.append(Gap(number, begin, end, None))
    return gaps


def _fill(
    connection: Connection,
    intervals: Intervals,
    gaps: Sequence[Gap],
    *,
    loaded: Loaded,
    asked: Sequence[Stretch],
    rulebook: Rulebook,
) -> Intervals:
    """The intervals with estimates where a gap's sum is known, or its stretch closes."""
    series = loaded.series
    some = [
        gap
        for gap in gaps
        if (gap.total is not None or asked[loaded.of_stretch[gap.series]].closes)
        and gap.to_us - gap.from_us <= GAP_US_MAX
    ]
    long_us = rulebook.limits.linear_s * 1_000_000
    long = [gap for gap in some if gap.to_us - gap.from_us > long_us]
    past = store.past(connection, long, series, estimate.LOOK_BACK_US)
    of_long = {gap: past.get(i, {}) for i, gap in enumerate(long)}
    made = [
        (
            gap,
            estimate.fill(
                gap, _known(gap, intervals, loaded, of_long), rulebook.shape, rulebook.limits
            ),
        )
        for gap in some
    ]
    return replaced(intervals, made, series.length_us) if made else intervals


def _known(
    gap: Gap, intervals: Intervals, loaded: Loaded, of_long: dict[Gap, dict[int, int]]
) -> estimate.Known:
    length = int(loaded.series.length_us[gap.series])
    meter = loaded.meters[int(loaded.series.meter[gap.series])]
    return estimate.Known(
        length_us=length,
        zone=meter.zone,
        before=_value(intervals, gap.series, gap.from_us),
        after=_value(intervals, gap.series, gap.to_us + length),
        past=of_long.get(gap, {}),
        usual_day=int(loaded.series.usual_day[gap.series]),
    )


def _value(intervals: Intervals, series: int, end_us: int) -> int | None:
    """The value of one interval that was measured."""
    begin, end = np.searchsorted(intervals.series, (series, series + 1))
    at = begin + np.searchsorted(intervals.end_us[begin:end], end_us)
    if at == end or intervals.end_us[at] != end_us or intervals.quality[at] & Quality.ESTIMATED:
        return None
    return int(intervals.value[at])


def replaced(
    intervals: Intervals,
    made: Sequence[tuple[Gap, estimate.Filled]],
    length_us: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> Intervals:
    """The intervals with estimates in place of what stood in the gaps, or nothing did."""
    rows = []
    for gap, (values, method) in made:
        length = int(length_us[gap.series])
        for i, value in enumerate(values):
            end = gap.from_us + (i + 1) * length
            rows.append((gap.series, end, value, int(Quality.ESTIMATED), 0, int(method)))
    estimates = Intervals(*(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))
    both = run.joined(estimates, intervals)  # stable: the estimate stands first
    first = np.ones(len(both), dtype=np.bool_)
    first[1:] = (both.series[1:] != both.series[:-1]) | (both.end_us[1:] != both.end_us[:-1])
    return Intervals(*(getattr(both, name)[first] for name in Intervals.__slots__))


def _grow(connection: Connection, intervals: Intervals, loaded: Loaded) -> None:
    """Where the series end now, and since when they have been at zero."""
    if not len(intervals):
        return
    last = np.flatnonzero(np.append(intervals.series[1:] != intervals.series[:-1], [True]))
    zeros = rules.zero_since(intervals, loaded.series)[last]
    number = intervals.series[last]
    meters = loaded.series.meter[number].tolist()
    columns = (meters, loaded.series.channel[number].tolist(), intervals.end_us[last].tolist())
    newest = {(m, c): (e, z) for m, c, e, z in sorted(zip(*columns, zeros.tolist(), strict=True))}
    db.execute(
        connection,
        SQL(
            "save_series",
            meters=[m for m, _ in newest],
            channels=[c for _, c in newest],
            ends=[e for e, _ in newest.values()],
            zeros=[z for _, z in newest.values()],
        ),
    )


def _due(connection: Connection, intervals: Intervals, loaded: Loaded) -> None:
    """A roll-up is due for each stretch, over all its series."""
    if not len(intervals):
        return
    stretch = np.array(loaded.of_stretch, dtype=np.int64)[intervals.series]
    begins = np.flatnonzero(np.append([True], stretch[1:] != stretch[:-1]))
    lows = np.minimum.reduceat(intervals.end_us, begins)
    highs = np.maximum.reduceat(intervals.end_us, begins)
    meters = loaded.series.meter[intervals.series[begins]]
    db.execute(
        connection, SQL("due", meters=meters.tolist(), lows=lows.tolist(), highs=highs.tolist())
    )
