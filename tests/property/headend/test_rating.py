"""Rating: exact, independent of arrival order, never twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from headend.prepayment.rating import RatingState, RegisterAt, rate

START = datetime(2026, 1, 1, tzinfo=UTC)


def registers(energies):
    """Cumulative registers from energies per interval, the first one the base."""
    total, found = 0, []
    for number, energy in enumerate([0, *energies]):
        total += energy
        found.append(RegisterAt(START + timedelta(minutes=15 * number), total))
    return found


energies = st.lists(st.integers(0, 5000), min_size=1, max_size=60)
prices = st.integers(0, 10**7)


@given(energies, prices, st.data())
def test_any_delivery_order_gives_the_same_total(energies, price, data):
    readings = registers(energies)
    base, rest = readings[:1], readings[1:]
    shuffled = data.draw(st.permutations(rest))
    cuts = data.draw(st.lists(st.integers(0, len(rest)), max_size=6))
    state, posted = rate(RatingState(), base, price).state, 0
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(rest)], strict=True):
        rated = rate(state, shuffled[first:last], price)
        state, posted = rated.state, posted + (rated.charge.amount_mu if rated.charge else 0)
    assert posted == state.posted_mu == Fraction(sum(energies) * price, 1000) // 1
    assert state.register_wh == readings[-1].wh


@given(energies, prices)
def test_rating_again_posts_nothing(energies, price):
    readings = registers(energies)
    state = rate(RatingState(), readings, price).state
    again = rate(state, readings, price)
    assert (again.charge, again.state, again.decreased) == (None, state, ())


@given(energies, prices)
def test_one_by_one_posts_what_one_go_posts(energies, price):
    readings = registers(energies)
    state, posted = RatingState(), 0
    for reading in readings:
        rated = rate(state, [reading], price)
        state, posted = rated.state, posted + (rated.charge.amount_mu if rated.charge else 0)
    at_once = rate(RatingState(), readings, price)
    assert posted == (at_once.charge.amount_mu if at_once.charge else 0)


@given(energies, prices, st.integers(1, 10**9), st.data())
def test_a_register_that_goes_back_charges_nothing_and_is_reported(energies, price, drop, data):
    readings = registers(energies)
    place = data.draw(st.integers(1, len(readings) - 1))
    at = readings[place].at + timedelta(minutes=1)
    low = RegisterAt(at, max(wh.wh for wh in readings[: place + 1]) - drop)
    clean = rate(RatingState(), readings, price)
    dirty = rate(RatingState(), [*readings, low], price)
    assert dirty.decreased == (low,)
    assert dirty.state.posted_mu == clean.state.posted_mu


def test_the_floor_does_not_drift():
    """prepayment: 48 x 1 Wh at 12345 mu/kWh posts 592 mu, not 48 x 12 = 576."""
    state, posted = rate(RatingState(), registers([])[:1], 12345).state, 0
    for reading in registers([1] * 48)[1:]:
        rated = rate(state, [reading], 12345)
        state, posted = rated.state, posted + rated.charge.amount_mu
    assert posted == 592
