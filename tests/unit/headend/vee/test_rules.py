"""Each rule: what fails and what just does not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from headend.vee import rules
from headend.vee.model import Check, Intervals, Limits
from headend.vee.run import judge

sys.path.append(str(Path(__file__).parent))
from kit import START, L, intervals, ints, series

LIMITS = Limits()


def failing(rule, values, **columns):
    found = rule(intervals(values), series(1, **columns), LIMITS)
    return np.flatnonzero(found).tolist()


def test_negative():
    assert failing(rules.negative, [5, -1, 0]) == [1]
    assert failing(rules.negative, [5, -1, 0], signed=[True]) == []


def test_spike_beyond_what_the_supply_carries():
    assert failing(rules.spike, [27_500, 27_501, 3]) == [1]


def test_spike_against_the_third_peak_of_the_day():
    day = [100] * 20
    assert failing(rules.spike, [*day, 500]) == []
    assert failing(rules.spike, [*day, 501]) == [20]
    assert failing(rules.spike, [*day, 501, 501, 501]) == []
    assert failing(rules.spike, [100] * 8 + [501]) == []  # too few to say


def test_high_needs_history():
    assert failing(rules.high, [200, 201], usual_max=[100], days=[3]) == [1]
    assert failing(rules.high, [200, 201], usual_max=[100], days=[2]) == []
    assert failing(rules.high, [200, 201], usual_max=[0], days=[9]) == []


@pytest.mark.parametrize(("zeros", "fails"), [(95, []), (96, [95]), (98, [95, 96, 97])])
def test_zero_run(zeros, fails):
    assert failing(rules.zero_run, [0] * zeros, usual_day=[9]) == fails
    assert failing(rules.zero_run, [0] * zeros, usual_day=[0]) == []


def test_a_zero_run_goes_on_from_what_the_series_says():
    since = ints([START - 90 * L])
    assert failing(rules.zero_run, [0] * 6, usual_day=[9], zero_since_us=since) == [4, 5]
    assert failing(rules.zero_run, [0, 0, 1, 0], usual_day=[9], zero_since_us=since) == []


def test_a_missing_interval_ends_a_zero_run():
    assert failing(rules.zero_run, [0] * 60 + [None] + [0] * 60, usual_day=[9]) == []


def test_neighbours_that_fail_are_one_finding():
    marked, findings = judge(intervals([1, 30_000, 40_000, 1, 30_000]), series(), LIMITS)
    assert (marked.failed >> int(Check.SPIKE)).tolist() == [0, 1, 1, 0, 1]
    assert [(f.check, f.from_us, f.to_us, f.found) for f in findings] == [
        (Check.SPIKE, START + L, START + 3 * L, 40_000),
        (Check.SPIKE, START + 4 * L, START + 5 * L, 30_000),
    ]


def joined(*parts):
    columns = [
        np.concatenate([getattr(part, name) for part in parts]) for name in Intervals.__slots__
    ]
    return Intervals(*columns)


def test_sums_of_phases():
    found = joined(
        intervals([30, 31, 60, 7], number=0),
        intervals([10, 10, 10, None], number=1),
        intervals([10, 10, 20, 3], number=2),
        intervals([10, 10, 20, 3], number=3),
    )
    assert rules.sums(found, 0, [1, 2, 3], 2) == [(START + 3 * L, 50, 60)]
    assert rules.sums(found, 0, [1], 100) == []


def test_low_days():
    found = rules.low_days(
        ints([9, 10, 9, 9]), ints([100, 100, 0, 100]), ints([3, 3, 3, 2]), LIMITS
    )
    assert found.tolist() == [True, False, False, False]
