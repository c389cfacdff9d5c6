"""Registers to intervals: order, duplicates, roll-over, exchange, drift, gaps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headend.vee.model import SECOND_US, Check, Limits, Method
from headend.vee.registers import Swap
from headend.vee.run import derive
from ohmesh.model.reading import Quality

sys.path.append(str(Path(__file__).parent))
from kit import NOW, START, L, readings, series, shown


def run(*rows, swaps=(), now=NOW, **columns):
    count = 1 + max(row[0] for row in rows)
    return derive(readings(*rows), series(count, **columns), swaps, Limits(), now)


def checks(outcome):
    return {finding.check for finding in outcome.findings}


def test_differences_of_registers():
    found = run((0, 0, 100), (0, 1, 130), (0, 2, 130), (0, 3, 175), (1, 0, 7), (1, 1, 9))
    assert shown(found.intervals) == [(1, 30), (2, 0), (3, 45)]
    assert shown(found.intervals, 1) == [(1, 2)]
    assert set(found.intervals.method) == {Method.DIFFERENCE}
    assert not found.findings
    assert not found.gaps


def test_one_reading_makes_no_interval():
    found = run((0, 5, 100))
    assert shown(found.intervals) == []
    assert found.findings == []


def test_a_stamp_a_little_off_stands_on_the_grid():
    found = run((0, (0, 20), 100), (0, (1, -50), 130), (0, 2, 160))
    assert shown(found.intervals) == [(1, 30), (2, 30)]
    assert set(found.intervals.quality) == {0}


def test_of_two_stamps_on_one_boundary_the_nearer_counts():
    found = run((0, 0, 0), (0, (1, -40), 29), (0, (1, 5), 30), (0, 2, 50))
    assert shown(found.intervals) == [(1, 30), (2, 20)]


def test_a_gateways_stamp_may_be_further_off():
    off = Quality.RECEIVED_TIME
    found = run((0, (0, 200), 0, off), (0, (1, 250), 10, off), (0, (2, 120), 30, off))
    assert shown(found.intervals) == [(1, 10), (2, 20)]
    assert set(found.intervals.quality) == {off}


def test_a_clock_that_runs_off_the_grid_keeps_the_energy():
    """Readings seven minutes past: boundaries lie on the line between them."""
    rows = [(0, (i, 420), 900 * i) for i in range(6)]
    found = run(*rows)
    assert shown(found.intervals) == [(i, 900) for i in range(2, 6)]
    assert set(found.intervals.quality) == {Quality.ESTIMATED}


def test_roll_over():
    found = run((0, 0, 9_999_990), (0, 1, 9_999_998), (0, 2, 7), (0, 3, 20))
    assert shown(found.intervals) == [(1, 8), (2, 9), (3, 13)]
    assert not found.findings


@pytest.mark.parametrize(("old", "new"), [(500_000, 7), (9_999_000, 8_000_000), (9_200_000, 900)])
def test_what_is_no_roll_over_breaks_the_series(old, new):
    found = run((0, 0, old - 10), (0, 1, old), (0, 2, new), (0, 3, new + 5))
    assert shown(found.intervals) == [(1, 10), (3, 5)]
    finding = next(f for f in found.findings if f.check is Check.NEGATIVE)
    assert (finding.from_us, finding.to_us) == (START + L, START + 2 * L)
    assert finding.found == new - old


def test_a_net_register_may_go_back():
    found = run((0, 0, 100), (0, 1, 40), (0, 2, 60), signed=[True])
    assert shown(found.intervals) == [(1, -60), (2, 20)]
    assert not found.findings


def test_an_exchange_that_is_written_down():
    swap = Swap(0, START + L + 300 * SECOND_US, old_close=5_020, new_open=3)
    found = run((0, 0, 5_000), (0, 1, 5_010), (0, 2, 18), (0, 3, 30), swaps=[swap])
    assert shown(found.intervals) == [(1, 10), (2, 25), (3, 12)]
    assert not found.findings


def test_a_gap_has_its_sum():
    found = run((0, 0, 100), (0, 1, 110), (0, 5, 150), (0, 6, 170))
    assert shown(found.intervals) == [(1, 10), (2, 10), (3, 10), (4, 10), (5, 10), (6, 20)]
    assert list(found.intervals.method[1:5]) == [Method.LINEAR_SCALED] * 4
    assert [(g.from_us, g.to_us, g.total) for g in found.gaps] == [(START + L, START + 5 * L, 40)]
    assert checks(found) == {Check.GAP}


def test_a_clock_that_lies_is_left_out():
    bad = Quality.CLOCK_INVALID
    found = run((0, 0, 100), (0, 1, 999_999, bad), (0, 2, 130))
    assert shown(found.intervals) == [(1, 15), (2, 15)]
    assert checks(found) == {Check.CLOCK, Check.GAP}


def test_a_reading_from_the_future_is_left_out():
    found = run((0, 0, 100), (0, 1, 110), (0, 400, 120), now=START + 2 * L)
    assert shown(found.intervals) == [(1, 10)]
    assert checks(found) == {Check.CLOCK}


def test_the_meters_own_intervals_are_taken_as_they_are():
    found = run((0, 1, 10), (0, 2, 12), (0, 4, 9), reported=[True])
    assert shown(found.intervals) == [(1, 10), (2, 12), (4, 9)]
    assert set(found.intervals.method) == {Method.REPORTED}
    assert [(g.from_us, g.to_us, g.total) for g in found.gaps] == [
        (START + 2 * L, START + 3 * L, None)
    ]


def test_readings_at_another_interval_are_named_once():
    found = run(*[(0, 2 * i, 100 * i) for i in range(10)])
    assert checks(found) == {Check.SIZE}
    finding = found.findings[0]
    assert (finding.found, finding.allowed) == (1800, 900)
    assert shown(found.intervals) == [(i, 50) for i in range(1, 19)]
