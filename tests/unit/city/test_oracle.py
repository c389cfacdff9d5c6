"""The oracle on graphs small enough to be judged by hand."""

import numpy as np
import pytest

from meter_sim.city.links import LinkTable
from meter_sim.city.oracle import Oracle, Timeline, heal_bound_us

HALF, SURE = 1 << 15, (1 << 16) - 1


def table(count, links):
    """Links (one, other, chance of data); acknowledgements always pass."""
    both = sorted([(a, b, p) for a, b, p in links] + [(b, a, p) for a, b, p in links])
    senders = np.array([a - 1 for a, _, _ in both])
    start = np.concatenate(([0], np.cumsum(np.bincount(senders, minlength=count))))
    return LinkTable(
        start,
        np.array([b - 1 for _, b, _ in both], dtype=np.int32),
        np.full(len(both), -800, dtype=np.int16),
        np.array([p for _, _, p in both], dtype=np.uint16),
        np.full(len(both), SURE, dtype=np.uint16),
    )


# 1 - 2 - 3 - 4 in a row, a bad shortcut 1 - 3, and 5 that hears 4 too badly.
ROW = table(5, [(1, 2, SURE), (2, 3, SURE), (3, 4, SURE), (1, 3, HALF * 3 // 4), (4, 5, SURE // 5)])


def test_the_cheapest_way_is_taken_and_bad_links_are_none():
    routes = Oracle(ROW).routes([1])
    assert routes.etx[:4] == pytest.approx([0, 1, 2, 3], abs=1e-3)
    assert routes.hops().tolist() == [0, 1, 2, 3, -1]
    assert routes.reachable.tolist() == [True, True, True, True, False]
    assert Oracle(ROW).degree().tolist() == [2, 2, 3, 1, 0]


def test_the_dead_carry_nothing():
    routes = Oracle(ROW).routes([1], dead=[2])
    assert routes.etx[2] == pytest.approx(8 / 3, abs=1e-3)
    assert routes.hops().tolist() == [0, -1, 1, 2, -1]
    assert not Oracle(ROW).routes([1], dead=[1]).reachable.any()


def test_cut_links_carry_nothing():
    assert Oracle(ROW).routes([1], cut=[(3, 4)]).reachable.tolist() == [1, 1, 1, 0, 0]


def test_the_nearest_of_several_roots():
    routes = Oracle(ROW).routes([1, 4])
    assert routes.hops().tolist() == [0, 1, 1, 0, -1]


def test_a_reading_is_deliverable_if_there_was_a_way_at_some_moment_before_its_deadline():
    line = Timeline(Oracle(ROW), [1])
    line.mark(0)
    line.mark(100, dead=[3])
    line.mark(200)
    readings = [(4, 50), (4, 120), (5, 50), (2, 120), (4, 150), (4, 99)]
    assert line.deliverable(readings, 40) == [(4, 50), (2, 120), (4, 99)]
    assert line.deliverable(readings, 50) == [(4, 50), (2, 120), (4, 150), (4, 99)]


def test_nobody_knows_before_somebody_tried():
    assert heal_bound_us(3_000_000, 2_402_000) == 5_402_000
