"""The rating engine: readings in, postings out; pure, exact, and blind to the order of arrival.

Theory of operation. The state holds, month by month, the newest version of each interval and what
has been posted of it. Rating adds the new intervals and computes each touched month anew from its
first day; what is posted is the difference to what was posted before. So the final ledger is a
function of the set of readings alone: late, corrected, double and shuffled readings end in the same
totals (`rate(A + B)` posts what `rate(A)`, then `rate(B)` post together), and an equal value posts
nothing.

A difference on the newest day, or after it, is a CHARGE; one on an earlier day, or after a reading
that came late, is a RERATE with the next `rating_version`. Estimates are never posted: what they
would add is `pending`, given whole each time, and the actual reading takes their place.

What cannot be charged is an exception and waits: a missing tariff (no default price), a month older
than the horizon, a start in the future.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from headend.prepayment.intervals import (
    NONE,
    US_PER_MINUTE,
    Interval,
    Intervals,
    instant,
    intervals_of,
    measured,
    microseconds,
)
from headend.prepayment.month import Postings, local_midnight, month_of, prorated
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from headend.prepayment.month import Month
    from headend.prepayment.tariff import Tariff

HORIZON_DAYS = 62
"""A reading of an older local day waits for a person."""
FUTURE_TOLERANCE = timedelta(minutes=5)


class PostingKind(StrEnum):
    """A charge as use goes on, or the correction of one."""

    CHARGE = "charge"
    RERATE = "rerate"


@dataclass(frozen=True, slots=True)
class Posting:
    """A difference to post.

    Attributes:
        day: local day.
        component: `energy`, `fixed`, `tax:CODE`, or `subsidy:CODE`, which goes to the wallet.
        amount_mu: not 0; below 0 it goes back.
        kind: charge or correction.
        rating_version: of the month.
    """

    day: date
    component: str
    amount_mu: int
    kind: PostingKind
    rating_version: int


@dataclass(frozen=True, slots=True)
class Held:
    """A reading that is not charged: `tariff_missing`, `horizon` or `future`."""

    interval: Interval
    reason: str


@dataclass(frozen=True, slots=True)
class MonthState:
    """What is known and posted of one local month.

    Attributes:
        intervals: those that hold, by start.
        posted: of the days and components, so far.
        rating_version: how often it was corrected.
        opening_wh: block counter at its beginning.
        idle_days: days that owe the fixed charge whether anything was read or not.
    """

    intervals: Intervals = NONE
    posted: Postings = field(default_factory=dict)
    rating_version: int = 0
    opening_wh: int = 0
    idle_days: frozenset[date] = frozenset()

    @property
    def counter_wh(self) -> int:
        """The block counter: all actual energy of the month."""
        return self.opening_wh + self.intervals.only_actual().total_wh


@dataclass(frozen=True, slots=True)
class RatingState:
    """A contract's months, by their first day."""

    months: Mapping[date, MonthState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rated:
    """The result of rating; `pending` replaces what was pending before in the touched months."""

    postings: tuple[Posting, ...]
    pending: Postings
    held: tuple[Held, ...]
    state: RatingState


def rate(
    versions: tuple[Tariff, ...],
    readings: Intervals | Iterable[Interval],
    state: RatingState,
    now: datetime,
    *,
    idle_days: Collection[date] = (),
    oldest: datetime | None = None,
) -> Rated:
    """Charge readings.

    Args:
        versions: all versions of the contract's tariff, in one zone, not empty.
        readings: new ones, in any order; known ones change nothing. Columns cost least.
        state: as the last call left it.
        now: UTC.
        idle_days: local days that owe the fixed charge though nothing was read.
        oldest: readings from here on are charged; None: from HORIZON_DAYS ago on.

    Raises:
        PrepaymentError: the tariff counts purchases, so consumption has no price.
    """
    if any(t.block_basis == "purchase" for t in versions):
        raise PrepaymentError("block_basis", "a tariff on purchases is charged when energy is sold")
    if not isinstance(readings, Intervals):
        readings = intervals_of(readings)
    charged, held = _sorted_out(versions, readings, now, oldest)
    by_month = _by_month(versions, charged)
    idle = {day: day.replace(day=1) for day in idle_days}
    months, postings, pending = dict(state.months), list[Posting](), dict[tuple[date, str], int]()
    for first_day in sorted({*by_month, *idle.values()}):
        month = month_of(versions, first_day)
        before = months.get(first_day, MonthState())
        days = before.idle_days | {day for day, first in idle.items() if first == first_day}
        before = replace(before, idle_days=days)
        after, made = _rate_month(month, before, by_month.get(first_day, NONE))
        months[first_day] = after
        postings.extend(made)
        pending.update(_pending(month, after))
    return Rated(tuple(postings), pending, tuple(held), RatingState(months))


def open_month(first_day: date, counter_wh: int) -> RatingState:
    """The state of a contract that comes over with a block counter, such as by migration."""
    return RatingState({first_day: MonthState(opening_wh=counter_wh)})


def simulate(
    versions: tuple[Tariff, ...], readings: Iterable[Interval], opening_wh: int = 0
) -> dict[tuple[date, str], int]:
    """What readings would cost, (local day, component) -> mu; nothing is kept.

    Raises:
        PrepaymentError(code="tariff_missing"): an interval lies before the first version.
    """
    total: dict[tuple[date, str], int] = {}
    intervals = list(readings)
    if not intervals:
        return total
    last = max(i.start + timedelta(minutes=i.minutes) for i in intervals)
    first_day = _first_day(min(i.start for i in intervals), versions)
    state = open_month(first_day, opening_wh)
    rated = rate(versions, intervals, state, last)
    if missing := [held for held in rated.held if held.reason == "tariff_missing"]:
        raise PrepaymentError("tariff_missing", f"no price at {missing[0].interval.start}")
    for month in rated.state.months.values():
        total.update(month.posted)
    return total


def _sorted_out(
    versions: tuple[Tariff, ...], readings: Intervals, now: datetime, oldest: datetime | None
) -> tuple[Intervals, list[Held]]:
    """Readings that are charged, and those that wait."""
    zone = versions[0].zone
    if oldest is None:
        oldest = local_midnight(now.astimezone(zone).date() - timedelta(days=HORIZON_DAYS), zone)
    priced_us = microseconds(min(t.valid_from for t in versions))
    reasons = {
        "future": readings.end_us > microseconds(now + FUTURE_TOLERANCE),
        "horizon": readings.start_us < microseconds(oldest),
        "tariff_missing": readings.start_us < priced_us,
    }
    waits = np.logical_or.reduce(list(reasons.values()))
    if not waits.any():
        return readings, []
    held = [
        Held(readings.one(at), next(name for name, mask in reasons.items() if mask[at]))
        for at in np.flatnonzero(waits).tolist()
    ]
    return readings.take(~waits), held


def _by_month(versions: tuple[Tariff, ...], readings: Intervals) -> dict[date, Intervals]:
    """Readings by the first day of their local month."""
    by_month: dict[date, Intervals] = {}
    while len(readings):
        begin = instant(int(readings.start_us.min()))
        first_day = begin.astimezone(versions[0].zone).date().replace(day=1)
        inside = readings.start_us < month_of(versions, first_day).edges_us[-1]
        by_month[first_day] = readings if inside.all() else readings.take(inside)
        readings = readings.take(~inside)
    return by_month


def _rate_month(
    month: Month, before: MonthState, new: Intervals
) -> tuple[MonthState, list[Posting]]:
    intervals = before.intervals.followed_by(new).holding()
    usage = _priced(month, intervals.only_actual())
    posted = month.postings(usage, before.opening_wh, before.idle_days)
    changes = {
        key: posted.get(key, 0) - before.posted.get(key, 0)
        for key in sorted(posted.keys() | before.posted.keys())
    }
    newest = max((day for day, _ in before.posted), default=date.min)
    late = any(change and day < newest for (day, _), change in changes.items())
    version = before.rating_version + 1 if late else before.rating_version
    made = [
        Posting(day, component, change, PostingKind.RERATE if late else PostingKind.CHARGE, version)
        for (day, component), change in changes.items()
        if change
    ]
    return replace(before, intervals=intervals, posted=posted, rating_version=version), made


def _pending(month: Month, state: MonthState) -> Postings:
    """What the estimates would add."""
    if state.intervals.actual.all():
        return {}
    usage = _priced(month, state.intervals)
    all_in = month.postings(usage, state.opening_wh, state.idle_days)
    added = {k: all_in.get(k, 0) - state.posted.get(k, 0) for k in all_in.keys() | state.posted}
    return {key: amount for key, amount in added.items() if amount}


def _priced(month: Month, intervals: Intervals) -> Intervals:
    """Intervals by start; those that an edge cuts are split if the tariff says so.

    An interval belongs to the month of its start, whole: what reaches over the month's end is
    priced as the last stretch before it, so that none of it is lost between two months.
    """
    if not month.prorates:
        return intervals
    edges_us = month.edges_us[:-1]
    columns = (intervals.start_us, intervals.minutes * US_PER_MINUTE, intervals.wh)
    parts = sorted(
        part
        for start, length, wh in zip(*(column.tolist() for column in columns), strict=True)
        for part in prorated(start, length, wh, edges_us).items()
    )
    start_us, energy = np.array(parts, np.int64).reshape(-1, 2).T
    return measured(start_us, np.zeros_like(energy), energy, np.ones(len(energy), np.bool_))


def _first_day(at: datetime, versions: tuple[Tariff, ...]) -> date:
    return at.astimezone(versions[0].zone).date().replace(day=1)
