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
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from headend.prepayment.month import Postings, Usage, local_midnight, month_of, prorated
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from headend.prepayment.month import Month
    from headend.prepayment.tariff import Tariff

HORIZON_DAYS = 62
"""A reading of an older local day waits for a person."""
FUTURE_TOLERANCE = timedelta(minutes=5)


class Quality(IntEnum):
    """An actual value outranks an estimate of any version."""

    ESTIMATED = 0
    ACTUAL = 1


@dataclass(frozen=True, slots=True)
class Interval:
    """Energy of one interval.

    Attributes:
        start: UTC.
        minutes: length.
        wh: 0 or more.
        quality: estimates only ever pend.
        version: a correction has a higher one.
        meter: which meter counted it, so that an exchange inside an interval charges both parts.
    """

    start: datetime
    minutes: int
    wh: int
    quality: Quality = Quality.ACTUAL
    version: int = 0
    meter: str = ""

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise PrepaymentError("interval", "an interval starts at a UTC instant")
        if self.wh < 0 or self.minutes <= 0:
            raise PrepaymentError("interval", "an interval has a length and no negative energy")

    @property
    def key(self) -> tuple[datetime, int, str]:
        """What stays the same when it is corrected."""
        return self.start, self.minutes, self.meter

    @property
    def rank(self) -> tuple[Quality, int, int]:
        """The highest holds; the energy decides between equals, so that order never does."""
        return self.quality, self.version, self.wh


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
        intervals: the one that holds, by key.
        posted: of the days and components, so far.
        rating_version: how often it was corrected.
        opening_wh: block counter at its beginning.
        idle_days: days that owe the fixed charge whether anything was read or not.
    """

    intervals: Mapping[tuple[datetime, int, str], Interval] = field(default_factory=dict)
    posted: Postings = field(default_factory=dict)
    rating_version: int = 0
    opening_wh: int = 0
    idle_days: frozenset[date] = frozenset()

    @property
    def counter_wh(self) -> int:
        """The block counter: all actual energy of the month."""
        actual = (i.wh for i in self.intervals.values() if i.quality is Quality.ACTUAL)
        return self.opening_wh + sum(actual)


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
    readings: Iterable[Interval],
    state: RatingState,
    now: datetime,
    *,
    idle_days: Collection[date] = (),
    oldest: datetime | None = None,
) -> Rated:
    """Charge readings.

    Args:
        versions: all versions of the contract's tariff, in one zone, not empty.
        readings: new ones, in any order; known ones change nothing.
        state: as the last call left it.
        now: UTC.
        idle_days: local days that owe the fixed charge though nothing was read.
        oldest: readings from here on are charged; None: from HORIZON_DAYS ago on.

    Raises:
        PrepaymentError: the tariff counts purchases, so consumption has no price.
    """
    if any(t.block_basis == "purchase" for t in versions):
        raise PrepaymentError("block_basis", "a tariff on purchases is charged when energy is sold")
    by_month, held = _sorted_out(versions, readings, now, oldest)
    idle = {day: day.replace(day=1) for day in idle_days}
    months, postings, pending = dict(state.months), list[Posting](), dict[tuple[date, str], int]()
    for first_day in sorted({*by_month, *idle.values()}):
        month = month_of(versions, first_day)
        before = months.get(first_day, MonthState())
        days = before.idle_days | {day for day, first in idle.items() if first == first_day}
        before = replace(before, idle_days=days)
        after, made = _rate_month(month, before, by_month.get(first_day, []))
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
    versions: tuple[Tariff, ...],
    readings: Iterable[Interval],
    now: datetime,
    oldest: datetime | None,
) -> tuple[dict[date, list[Interval]], list[Held]]:
    """Readings by local month, and those that wait."""
    by_month: dict[date, list[Interval]] = {}
    held: list[Held] = []
    zone = versions[0].zone
    if oldest is None:
        oldest = local_midnight(now.astimezone(zone).date() - timedelta(days=HORIZON_DAYS), zone)
    priced_from = min(t.valid_from for t in versions)
    latest = now + FUTURE_TOLERANCE
    from_s = to_s = 0
    inside: list[Interval] = []
    for interval in readings:
        reason = _reason_to_hold(interval, oldest, priced_from, latest)
        if reason is not None:
            held.append(Held(interval, reason))
            continue
        start_s = interval.start.timestamp()
        if not from_s <= start_s < to_s:  # mostly they are all of one month
            first_day = interval.start.astimezone(zone).date().replace(day=1)
            edges_s = month_of(versions, first_day).edges_s
            from_s, to_s = edges_s[0], edges_s[-1]
            inside = by_month.setdefault(first_day, [])
        inside.append(interval)
    return by_month, held


def _reason_to_hold(
    interval: Interval, oldest: datetime, priced_from: datetime, latest: datetime
) -> str | None:
    if interval.start + timedelta(minutes=interval.minutes) > latest:
        return "future"
    if interval.start < oldest:
        return "horizon"
    return "tariff_missing" if interval.start < priced_from else None


def _rate_month(
    month: Month, before: MonthState, new: list[Interval]
) -> tuple[MonthState, list[Posting]]:
    intervals = dict(before.intervals)
    for interval in new:
        known = intervals.get(interval.key)
        if known is None or interval.rank > known.rank:
            intervals[interval.key] = interval
    usage = _usage(month, (i for i in intervals.values() if i.quality is Quality.ACTUAL))
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
    if all(i.quality is Quality.ACTUAL for i in state.intervals.values()):
        return {}
    usage = _usage(month, state.intervals.values())
    all_in = month.postings(usage, state.opening_wh, state.idle_days)
    added = {k: all_in.get(k, 0) - state.posted.get(k, 0) for k in all_in.keys() | state.posted}
    return {key: amount for key, amount in added.items() if amount}


def _usage(month: Month, intervals: Iterable[Interval]) -> Usage:
    """Starts and energies in order; intervals that an edge cuts are split if the tariff says so."""
    pairs = [(int(i.start.timestamp()), i.wh, i.minutes) for i in intervals]
    if month.prorates:
        pairs = [
            (part_s, part_wh, 0)
            for start_s, wh, minutes in pairs
            for part_s, part_wh in prorated(start_s, minutes * 60, wh, month.edges_s).items()
        ]
    pairs.sort()
    return Usage([start for start, _, _ in pairs], [wh for _, wh, _ in pairs])


def _first_day(at: datetime, versions: tuple[Tariff, ...]) -> date:
    return at.astimezone(versions[0].zone).date().replace(day=1)
