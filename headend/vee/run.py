"""Validation of many series at once: readings in, intervals, gaps and findings out. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from headend.vee import grid, registers, rules
from headend.vee.model import SECOND_US, Check, Finding, Gap, Intervals, Method, Outcome, Readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headend.vee.model import Bools, Ints, Limits, Series
    from headend.vee.registers import Swap
    from headend.vee.rules import Named

AHEAD_US: Final = 3600 * SECOND_US
"""A reading further in the future than this is not taken."""


def derive(
    readings: Readings, series: Series, swaps: Sequence[Swap], limits: Limits, now_us: int
) -> Outcome:
    """Intervals of series and the gaps between them; nothing is judged yet.

    Args:
        readings: sorted by series and time, with the last before and the first after the stretch.
        series: what is known of each.
        swaps: exchanges of meters that fall in.
        limits: the rules' numbers.
        now_us: UTC.
    """
    good = grid.trusted(readings, now_us, AHEAD_US)
    findings = _distrusted(readings, ~good)
    anchors, on_grid = grid.snap(grid.take(readings, good), series, limits)
    reported = series.reported[anchors.series]
    cumulative = grid.take(anchors, ~reported)
    made, gaps, backwards = registers.intervals(cumulative, on_grid[~reported], series, swaps)
    sizes = rules.size(cumulative, series)
    told = _told(grid.take(anchors, reported & on_grid))
    odd = {finding.series for finding in sizes}
    gaps = [gap for gap in gaps if gap.series not in odd] + _holes(told, series)
    findings += backwards + sizes
    findings += [Finding(Check.GAP, g.series, g.from_us, g.to_us) for g in gaps]
    return Outcome(joined(made, told), gaps, findings)


def judge(
    intervals: Intervals, series: Series, limits: Limits, chosen: Sequence[Named] = rules.RULES
) -> tuple[Intervals, list[Finding]]:
    """The intervals with the bits of what they fail, and a finding for each stretch that fails."""
    failed = intervals.failed.copy()
    findings: list[Finding] = []
    for named in chosen:
        fails = named.rule(intervals, series, limits)
        failed |= fails.astype(np.int64) << int(named.check)
        begins = intervals.end_us
        if named.check is Check.ZERO_RUN:  # one finding that grows, from where the run began
            begins = rules.zero_since(intervals, series)
        findings += _stretches(named.check, intervals, series, fails, begins)
    return replace(intervals, failed=failed), findings


def _stretches(
    check: Check, intervals: Intervals, series: Series, fails: Bools, begins: Ints
) -> list[Finding]:
    """One finding for neighbouring intervals that fail alike, with the worst of their values."""
    which = np.flatnonzero(fails)
    found: list[Finding] = []
    for i in which.tolist():
        number, end = int(intervals.series[i]), int(intervals.end_us[i])
        value, length = int(intervals.value[i]), int(series.length_us[number])
        last = found[-1] if found else None
        if last and last.series == number and last.to_us == end - length:
            worst = max(last.found or 0, value, key=abs)
            found[-1] = last._replace(to_us=end, found=worst)
        else:
            found.append(Finding(check, number, int(begins[i]) - length, end, found=value))
    return found


def _distrusted(readings: Readings, which: Bools) -> list[Finding]:
    """A finding for each series with readings that were left out."""
    findings = []
    for number in np.unique(readings.series[which]).tolist():
        times = readings.time_us[which & (readings.series == number)]
        findings.append(
            Finding(Check.CLOCK, number, int(times.min()) - 1, int(times.max()), len(times))
        )
    return findings


def _told(anchors: Readings) -> Intervals:
    """Intervals that the meter counted itself."""
    count = len(anchors.series)
    return Intervals(
        anchors.series,
        anchors.time_us,
        anchors.value,
        anchors.status,
        np.zeros(count, dtype=np.int64),
        np.full(count, int(Method.REPORTED), dtype=np.int64),
    )


def _holes(told: Intervals, series: Series) -> list[Gap]:
    if len(told) < 2:
        return []
    left = np.flatnonzero(
        (told.series[1:] == told.series[:-1])
        & (told.end_us[1:] - told.end_us[:-1] > series.length_us[told.series[1:]])
    )
    return [
        Gap(
            int(told.series[i]),
            int(told.end_us[i]),
            int(told.end_us[i + 1] - series.length_us[told.series[i]]),
            None,
        )
        for i in left
    ]


def joined(first: Intervals, second: Intervals) -> Intervals:
    """Intervals of both, sorted."""
    if not len(second):
        return first
    columns = [
        np.concatenate((getattr(first, name), getattr(second, name)))
        for name in Intervals.__slots__
    ]
    order = np.lexsort((columns[1], columns[0]))
    return Intervals(*(column[order] for column in columns))
