"""Columns of registers to columns of intervals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from headend.prepayment.charges import registers_of
from headend.prepayment.intervals import Interval, Quality, instant, intervals_of, microseconds
from headend.prepayment.registers import Registers, consumption
from ohmesh.model.errors import PrepaymentError

START = datetime(2026, 5, 1, tzinfo=UTC)
QUARTER_US = 900_000_000


def registers(*values, estimated=(), at=None):
    at = range(len(values)) if at is None else at
    return Registers(
        np.array([microseconds(START) + QUARTER_US * n for n in at], np.int64),
        np.array(values, np.int64),
        np.array([n in estimated for n in range(len(values))], np.bool_),
    )


def energies(found):
    return found.intervals.wh.tolist()


def test_each_register_counts_from_the_one_before():
    found = consumption(registers(100, 150, 150, 175, at=[0, 1, 2, 5]))
    assert energies(found) == [50, 0, 25]
    assert found.intervals.minutes.tolist() == [15, 15, 45]  # the gap is one long interval
    assert found.intervals.one(2).start == START + timedelta(minutes=30)
    assert not len(found.decreased.wh)


def test_a_register_that_goes_back_waits_and_the_highest_stays_the_base():
    found = consumption(registers(100, 40, 60, 110))
    assert energies(found) == [10]
    assert found.decreased.wh.tolist() == [40, 60]


def test_a_known_modulus_makes_it_a_roll_over():
    found = consumption(registers(990, 5, 25), modulus_wh=1000, max_plausible_wh=50)
    assert energies(found) == [15, 20]
    implausible = consumption(registers(600, 5, 700), modulus_wh=1000, max_plausible_wh=50)
    assert energies(implausible) == [100]


def test_estimates_count_only_behind_the_newest_actual_register():
    found = consumption(registers(0, 7, 10, 16, 30, estimated={1, 3, 4}))
    assert energies(found) == [10, 6, 14]
    assert found.intervals.actual.tolist() == [True, False, False]
    assert energies(consumption(registers(0, 7, estimated={0, 1}))) == []


@pytest.mark.parametrize("values", [(), (5,)])
def test_one_register_says_nothing(values):
    assert energies(consumption(registers(*values))) == []


def test_a_register_beyond_every_meter_is_refused_rather_than_wrapped():
    with pytest.raises(PrepaymentError) as found:
        consumption(registers(-(2**62) - 1, 2**62 + 1))
    assert found.value.code == "register_range"
    with pytest.raises(PrepaymentError):
        Interval(START, 15, 2**41)


def test_the_stores_octets_are_registers():
    row = {
        "times": (830_908_800_000_000).to_bytes(8, "big"),  # 2026-05-01, from 2000 on
        "wh": (-7).to_bytes(8, "big", signed=True),
        "estimated": (8).to_bytes(4, "big"),
    }
    found = registers_of(row)
    assert instant(int(found.at_us[0])) == START
    assert (found.wh.tolist(), found.estimated.tolist()) == ([-7], [True])
    assert not len(registers_of({"times": None, "wh": None, "estimated": None}).wh)


def test_of_one_key_the_best_holds_in_any_order():
    best = Interval(START, 15, 9, version=1)
    others = [
        Interval(START, 15, 99, Quality.ESTIMATED, 7),
        Interval(START, 15, 100),
        Interval(START, 15, 8, version=1),
        Interval(START + timedelta(microseconds=1), 15, 3),
        Interval(START, 30, 4),
        Interval(START, 15, 5, meter=1),
    ]
    for turn in range(len(others) + 1):
        order = [*others[turn:], best, *others[:turn]]
        found = intervals_of(order).holding()
        assert sorted(found.wh.tolist()) == [3, 4, 5, 9]
        assert (np.diff(found.start_us) >= 0).all()
