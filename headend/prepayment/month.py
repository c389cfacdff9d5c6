"""One local month of one tariff: where each interval belongs, and what it costs, exactly.

Theory of operation. A month is cut into runs: stretches of the same local day, period and tariff
version. Intervals are columns in order of their starts and are summed run by run, so the cost per
interval is that of a running sum; only a run in which the month's counter crosses a block's edge is
split, by Wh.

Exact charges are integers: energy and fixed in 1e-3 mu, taxes and subsidies in 1e-7 mu. What is
posted for a day is the growth of the floor of the exact charge since the month began. So nothing
drifts, and the total posted of a component is the floor of its exact total.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from math import gcd
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from headend.prepayment.intervals import microseconds
from headend.prepayment.tariff import valid_at

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from headend.prepayment.intervals import Intervals
    from headend.prepayment.tariff import Block, Tariff

ENERGY, FIXED = "energy", "fixed"
MILLI = 1000
"""Milli-mu in a mu; Wh in a kWh."""
_BASIS_POINTS = 10_000
_OFFSET_MINUTES = 15
"""Every zone's offset of our time is a multiple of it."""
Postings: TypeAlias = dict[tuple[date, str], int]
"""(local day, component) -> mu; a subsidy counts against the others."""


@dataclass(frozen=True, slots=True)
class Run:
    """Microseconds since 1970, half-open, of one local day, period and tariff version."""

    start_us: int
    end_us: int
    day: date
    period: str
    tariff: Tariff | None


class Month:
    """A local month under the versions of a tariff; prepared once, shared by all its contracts."""

    def __init__(self, versions: tuple[Tariff, ...], first_day: date) -> None:
        self.runs = tuple(_runs(versions, first_day))
        self.edges_us = [run.start_us for run in self.runs] + [self.runs[-1].end_us]
        self._ends_us = np.array(self.edges_us[1:], np.int64)
        self.prorates = any(run.tariff is not None and run.tariff.prorate for run in self.runs)
        self._day_tariff: dict[date, Tariff | None] = {}
        for run in self.runs:
            self._day_tariff.setdefault(run.day, run.tariff)

    def exact(
        self, used: Intervals, opening_wh: int = 0, idle_days: Collection[date] = ()
    ) -> dict[date, Counter[str]]:
        """Local day -> component -> exact charge, in the component's fraction of a mu.

        Args:
            used: all priced intervals of the month, by start.
            opening_wh: the block counter before the first of them.
            idle_days: days that owe the fixed charge though nothing was read.
        """
        month_wh = opening_wh + used.total_wh
        counter = opening_wh
        by_day: dict[date, Counter[str]] = {}
        for run, wh in self._filled(used):
            assert run.tariff is not None
            milli = _priced(run.tariff.blocks(month_wh), run.period, counter, wh)
            counter += wh
            by_day.setdefault(run.day, Counter())[ENERGY] += milli
        for day in idle_days:
            if day in self._day_tariff:
                by_day.setdefault(day, Counter())
        for day, charges in by_day.items():
            _add_daily(charges, self._day_tariff[day])
        return by_day

    def postings(
        self, used: Intervals, opening_wh: int = 0, idle_days: Collection[date] = ()
    ) -> Postings:
        """What is to be posted for each day and component; zeros are left out."""
        exact = self.exact(used, opening_wh, idle_days)
        total: Counter[str] = Counter()
        posted: Postings = {}
        for day in sorted(exact):
            for component, amount in exact[day].items():
                before = total[component]
                total[component] = before + amount
                parts = _parts(component)
                growth = total[component] // parts - before // parts
                if growth:
                    posted[day, component] = growth
        return posted

    def _filled(self, used: Intervals) -> Iterable[tuple[Run, int]]:
        """Runs that hold intervals, and their Wh."""
        ends = np.searchsorted(used.start_us, self._ends_us)
        wh_to = np.append(0, np.cumsum(used.wh))[ends].tolist()
        before = before_wh = 0
        for run, end, end_wh in zip(self.runs, ends.tolist(), wh_to, strict=True):
            if end > before:
                yield run, end_wh - before_wh
            before, before_wh = end, end_wh


@lru_cache(maxsize=1024)
def month_of(versions: tuple[Tariff, ...], first_day: date) -> Month:
    """The prepared month."""
    return Month(versions, first_day)


def _parts(component: str) -> int:
    """Into how many parts a mu is cut in exact charges."""
    return MILLI if component in {ENERGY, FIXED} else MILLI * _BASIS_POINTS


def _priced(blocks: tuple[Block, ...], period: str, counter: int, wh: int) -> int:
    """The exact charge in 1e-3 mu of `wh` from the counter on, block by block."""
    milli, end = 0, counter + wh
    for block in blocks:
        upto = end if block.upto_wh is None else min(block.upto_wh, end)
        if upto > counter:
            milli += (upto - counter) * block.price_mu_per_kwh[period]
            counter = upto
    return milli


def _add_daily(charges: Counter[str], tariff: Tariff | None) -> None:
    if tariff is None:
        return
    if tariff.fixed_mu_per_day:
        charges[FIXED] += tariff.fixed_mu_per_day * MILLI
    for tax in tariff.tax:
        charges[tax.component] += tax.bp * sum(charges[base] for base in tax.on)
    if tariff.subsidy is not None:
        charges[tariff.subsidy.component] += tariff.subsidy.bp * charges[ENERGY]


def _runs(versions: tuple[Tariff, ...], first_day: date) -> Iterable[Run]:
    """Walk the month in steps that no edge can fall between; join what is alike."""
    zone = versions[0].zone
    start, end = local_midnight(first_day, zone), local_midnight(_next_month(first_day), zone)
    step = timedelta(minutes=_step_minutes(versions))
    stretches: list[tuple[datetime, date, str, Tariff | None]] = []
    at = start
    while at < end:
        local = at.astimezone(zone)
        tariff = valid_at(versions, at)
        period = "" if tariff is None else tariff.period_at(local)
        found = (local.date(), period, tariff)
        if not stretches or stretches[-1][1:] != found:
            stretches.append((at, *found))
        at += step
    ends = [*(s[0] for s in stretches[1:]), end]
    for (begun, day, period, tariff), until in zip(stretches, ends, strict=True):
        yield Run(microseconds(begun), microseconds(until), day, period, tariff)


def _step_minutes(versions: tuple[Tariff, ...]) -> int:
    edges = [e for t in versions for w in t.tou for e in w.edges]
    return gcd(_OFFSET_MINUTES, *edges, *(t.valid_from.minute for t in versions))


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant, UTC, at which a local day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _next_month(first_day: date) -> date:
    return (first_day + timedelta(days=31)).replace(day=1)


def prorated(start: int, length: int, wh: int, edges: Sequence[int]) -> Mapping[int, int]:
    """Split an interval at edges in proportion to time: part's start -> Wh.

    The largest remainders take the Wh that whole division leaves, so that none is lost.
    """
    inside = [edge for edge in edges if start < edge < start + length]
    bounds = [start, *inside, start + length]
    lengths = {a: b - a for a, b in pairwise(bounds)}
    parts = {a: wh * part // length for a, part in lengths.items()}
    left = wh - sum(parts.values())
    by_remainder = sorted(lengths, key=lambda a: (-(wh * lengths[a] % length), a))
    for a in by_remainder[:left]:
        parts[a] += 1
    return parts
