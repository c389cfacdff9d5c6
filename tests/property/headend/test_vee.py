"""Whatever arrives in whatever order: no energy is lost or made, and the answer is one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headend.vee.estimate import apportion
from headend.vee.model import SECOND_US, Limits, Readings, Series
from headend.vee.run import derive, judge

L = 900 * SECOND_US
START = 9000 * 86_400 * SECOND_US
NOW = START + 10**6 * L


def column(values, kind=np.int64):
    return np.array(list(values), dtype=kind)


def one_series():
    zero = column([0])
    return Series(
        meter=column([1]),
        channel=column([1]),
        length_us=column([L]),
        reported=column([False], np.bool_),
        signed=column([False], np.bool_),
        most=column([10**9]),
        usual_max=zero,
        usual_day=zero,
        days=zero,
        zero_since_us=column([-1]),
    )


def outcome(rows):
    rows = sorted(rows)
    readings = Readings(
        column([0] * len(rows)),
        column(t for t, _ in rows),
        column(v for _, v in rows),
        column([0] * len(rows)),
    )
    return derive(readings, one_series(), [], Limits(), NOW)


registers = st.lists(
    st.tuples(st.integers(0, 400), st.integers(-400, 400), st.integers(0, 5000)), min_size=2
).map(
    lambda steps: [(START + slot * L + off * SECOND_US, used) for slot, off, used in sorted(steps)]
)


def rising(steps):
    """(time, register) with times of their own and a register that only rises."""
    found, total = {}, 1_000_000
    for time, used in steps:
        total += used
        found.setdefault(time, total)
    return list(found.items())


@given(registers)
def test_intervals_add_up_to_the_advance_between_the_boundaries(steps):
    rows = rising(steps)
    found = outcome(rows).intervals
    assert (found.value >= 0).all()
    assert (np.diff(found.end_us) > 0).all()
    assert (np.diff(found.end_us) == L).all()  # a rising register leaves no hole
    assert int(found.value.sum()) <= rows[-1][1] - rows[0][1]
    on_grid = [row for row in rows if (row[0] - START) % L == 0]
    if len(rows) == len(on_grid) and len(rows) > 1:
        assert int(found.value.sum()) == rows[-1][1] - rows[0][1]


@given(registers, st.randoms(use_true_random=False))
def test_any_order_is_the_same_order(steps, dice):
    rows = rising(steps)
    shuffled = rows[:]
    dice.shuffle(shuffled)
    first, second = outcome(rows).intervals, outcome(shuffled).intervals
    assert first.value.tolist() == second.value.tolist()


@given(
    st.lists(
        st.tuples(st.integers(START, START + 10**12), st.integers(-(2**40), 2**40)), min_size=1
    )
)
def test_no_registers_whatever_break_it(rows):
    found = outcome(dict(rows).items())
    judged, findings = judge(found.intervals, one_series(), Limits())
    assert (judged.value >= 0).all()
    assert all(finding.from_us < finding.to_us for finding in findings)


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**6), min_size=1, max_size=300))
def test_apportioning_gives_everything_away(total, weights):
    parts = apportion(total, weights)
    assert sum(parts) == total
    assert len(parts) == len(weights)
