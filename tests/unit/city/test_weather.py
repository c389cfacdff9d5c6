"""What moves links: the same for one link and for a row, the same both ways, bounded in share."""

import itertools

import numpy as np

from meter_sim.city.budget import HOUR_US, Budget
from meter_sim.city.weather import BAD_TENTHS, KNOT_US, Weather

SECOND_US = 1_000_000


def test_a_row_is_its_links():
    weather = Weather(5, fading_tenths=20, flaky_percent=40, good_us=60 * SECOND_US)
    weather.jam([3, 4], 900 * SECOND_US)
    receivers = np.arange(2, 60, dtype=np.int64)
    for now_us in range(0, 2 * KNOT_US, 37 * SECOND_US):
        row = weather.shifts_tenths(now_us, 1, receivers).tolist()
        assert row == [weather.shift_tenths(now_us, 1, r) for r in receivers.tolist()]


def test_both_ways_of_a_link_fade_together_and_slowly():
    weather = Weather(5, fading_tenths=20)
    assert weather.shift_tenths(77, 8, 9) == weather.shift_tenths(77, 9, 8)
    steps = [weather.shift_tenths(n * SECOND_US, 8, 9) for n in range(1_200)]
    assert max(abs(a - b) for a, b in itertools.pairwise(steps)) <= 1
    many = np.array([weather.shift_tenths(0, 1, n) for n in range(2, 3_000)])
    assert abs(many.mean()) < 2
    assert 18 < many.std() < 22


def test_flaky_links_are_bad_for_their_time_in_each_period():
    weather = Weather(5, flaky_percent=20, good_us=60 * SECOND_US, bad_us=20 * SECOND_US)
    receivers = np.arange(2, 2_002, dtype=np.int64)
    bad = np.array([weather.shifts_tenths(n * SECOND_US, 1, receivers) for n in range(80)])
    seconds = (bad == -BAD_TENTHS).sum(axis=0)
    assert set(seconds.tolist()) <= {0, 19, 20, 21}
    assert 0.17 < (seconds > 0).mean() < 0.23


def test_a_radio_that_used_its_hour_up_is_silent_until_it_refills():
    budget = Budget(3, 1)
    full_us = HOUR_US // 100
    assert budget.spend(0, 2, full_us)
    assert not budget.spend(10, 2, 50_000)
    assert budget.spend(10, 1, 5 * full_us)
    assert not budget.spend(4 * SECOND_US, 2, 50_000)
    assert budget.spend(6 * SECOND_US, 2, 50_000)
    assert (budget.over, budget.refused) == (1, 2)
