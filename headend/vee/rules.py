"""The rules: each a function from columns to findings, with nothing behind it. Pure.

A rule over intervals returns which of them fail; `RULES` names it with the class of its cost.
Cost classes follow the trade: `0-5`, `5-20` and `>20` percent of what ingest costs for the same
readings; `ohmesh bench vee` measures them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from headend.vee.grid import fresh
from headend.vee.model import DAY_US, SECOND_US, Check, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headend.vee.model import Bools, Intervals, Ints, Limits, Readings, Series

PEAKS_MIN: Final = 12
"""Intervals of a day that a spike needs to be seen against."""


class Rule(Protocol):
    """Which intervals fail."""

    def __call__(self, intervals: Intervals, series: Series, limits: Limits, /) -> Bools:
        """True where an interval fails."""


def negative(intervals: Intervals, series: Series, _limits: Limits) -> Bools:
    """Below zero where nothing can be."""
    return (intervals.value < 0) & ~series.signed[intervals.series]


def spike(intervals: Intervals, series: Series, limits: Limits) -> Bools:
    """Above what the supply carries, or far above the third peak of its day."""
    value = intervals.value
    beyond = np.abs(value) > series.most[intervals.series]
    day = (intervals.end_us - 1) // DAY_US
    order = np.lexsort((-value, day, intervals.series))
    begins = np.flatnonzero(fresh(intervals.series[order], day[order]))
    if not len(begins):
        return beyond
    sizes = np.diff(np.append(begins, len(value)))
    third = value[order][np.minimum(begins + 2, len(value) - 1)]
    third = np.where((sizes >= PEAKS_MIN) & (third > 0), third, np.iinfo(np.int64).max // 64)
    above = np.empty(len(value), dtype=np.bool_)
    above[order] = value[order] > np.repeat(third, sizes) * limits.spike_times
    return beyond | above


def high(intervals: Intervals, series: Series, limits: Limits) -> Bools:
    """Above the highest of the history by a factor."""
    usual = series.usual_max[intervals.series]
    known = (series.days[intervals.series] >= limits.history_days) & (usual > 0)
    return known & (intervals.value > usual * limits.high_times)


def zero_run(intervals: Intervals, series: Series, limits: Limits) -> Bools:
    """At zero for long, where usually something is used."""
    begun = zero_since(intervals, series)
    expects = series.usual_day[intervals.series] > 0
    length = series.length_us[intervals.series]
    lasted = intervals.end_us - begun + length
    return expects & (begun >= 0) & (lasted >= limits.zero_run_s * SECOND_US)


def zero_since(intervals: Intervals, series: Series) -> Ints:
    """For each interval the END of the first of the zeros that it ends, or -1.

    A run that reaches back before the first interval here goes on where the series says.
    """
    zero = intervals.value == 0
    length = series.length_us[intervals.series]
    follows = np.zeros(len(zero), dtype=np.bool_)
    follows[1:] = (
        (intervals.series[1:] == intervals.series[:-1])
        & (intervals.end_us[1:] - intervals.end_us[:-1] == length[1:])
        & zero[:-1]
    )
    first_here = fresh(intervals.series, np.zeros(len(zero), dtype=np.int64))
    before = series.zero_since_us[intervals.series]
    earlier = first_here & (before >= 0) & (before < intervals.end_us)
    start = np.where(earlier, before, intervals.end_us)
    begins = np.maximum.accumulate(np.where(follows, 0, np.arange(len(zero))))
    return np.where(zero, start[begins], -1)


class Named(NamedTuple):
    """A rule over intervals with its place in `failed` and its cost class."""

    check: Check
    rule: Rule
    cost: str


RULES: Final = (
    Named(Check.NEGATIVE, negative, "0-5"),
    Named(Check.SPIKE, spike, "0-5"),
    Named(Check.HIGH, high, "0-5"),
    Named(Check.ZERO_RUN, zero_run, "0-5"),
)


def sums(
    intervals: Intervals, total: int, parts: Sequence[int], tolerance: int
) -> list[tuple[int, int, int]]:
    """Where parts do not add up to their total.

    Args:
        intervals: sorted by series and END, all series of a meter in one resolution.
        total: the series of the total.
        parts: the series that should add up to it; all of them must be there.
        tolerance: what each part may be off.

    Returns: (END, sum of the parts, total) of the slots where they differ.
    """
    ends, value = _of(intervals, total)
    summed = np.zeros(len(ends), dtype=np.int64)
    for part in parts:
        part_ends, part_value = _of(intervals, part)
        shared, mine, theirs = np.intersect1d(
            ends, part_ends, assume_unique=True, return_indices=True
        )
        ends, value, summed = shared, value[mine], summed[mine] + part_value[theirs]
    off = np.abs(summed - value) > tolerance * len(parts)
    return list(zip(ends[off].tolist(), summed[off].tolist(), value[off].tolist(), strict=True))


def _of(intervals: Intervals, series: int) -> tuple[Ints, Ints]:
    begin, end = np.searchsorted(intervals.series, (series, series + 1))
    return intervals.end_us[begin:end], intervals.value[begin:end]


def size(readings: Readings, series: Series) -> list[Finding]:
    """Series whose readings come regularly at another interval than the meter's.

    Four readings and more at one distance, and that distance in nine of ten cases.
    """
    same = readings.series[1:] == readings.series[:-1]
    group = readings.series[1:][same]
    step = np.diff(readings.time_us)[same]
    wrong = np.abs(step - series.length_us[group]) > series.length_us[group] // 10
    candidates = np.bincount(group[wrong], minlength=len(series.meter))
    findings = []
    for number in np.flatnonzero(candidates >= PEAKS_MIN // 3):
        steps = step[group == number]
        usual = int(np.median(steps))
        if np.mean(np.abs(steps - usual) <= usual // 10) < 0.9:
            continue
        if abs(usual - int(series.length_us[number])) <= series.length_us[number] // 10:
            continue
        times = readings.time_us[readings.series == number]
        findings.append(
            Finding(
                Check.SIZE,
                int(number),
                int(times[0]),
                int(times[-1]),
                found=usual // SECOND_US,
                allowed=int(series.length_us[number]) // SECOND_US,
            )
        )
    return findings


def low_days(days: Ints, usual_day: Ints, history: Ints, limits: Limits) -> Bools:
    """Whole days far below the usual day."""
    return (
        (history >= limits.history_days) & (usual_day > 0) & (days * limits.low_divisor < usual_day)
    )
