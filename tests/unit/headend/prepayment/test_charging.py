"""Rating beyond the shared vectors: what is held, pends, is corrected, or is free."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from headend.prepayment import charging, purchase, registers
from headend.prepayment.charging import PostingKind, RatingState, rate, simulate
from headend.prepayment.intervals import Interval, Quality
from headend.prepayment.month import prorated
from headend.prepayment.tariff import load_tariff
from ohmesh.model.errors import PrepaymentError

MONTH = date(2026, 5, 1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
FLAT = {
    "id": "t",
    "version": 1,
    "valid_from": "2026-01-01T00:00:00Z",
    "tz": "UTC",
    "block_upto_wh": [None],
    "price_mu_per_kwh": {"all": [1000]},
}


def tariff(**changes):
    return (load_tariff({**FLAT, **changes}),)


def read(day, wh, hour=0, **more):
    return Interval(datetime(2026, 5, day, hour, tzinfo=UTC), 60, wh, **more)


def totals(postings):
    total = Counter()
    for posting in postings:
        total[posting.component] += posting.amount_mu
    return {name: amount for name, amount in total.items() if amount}


def test_a_lifeline_is_a_first_block_without_a_price():
    versions = tariff(lifeline={"free_wh": 500}, block_upto_wh=[1000, None],
                      price_mu_per_kwh={"all": [1000, 5000]})  # fmt: skip
    assert simulate(versions, [read(1, 1200)]) == {(MONTH, "energy"): 500 + 5 * 200}


def test_an_exclusive_lifeline_is_lost_for_the_whole_month_and_rerated():
    versions = tariff(lifeline={"free_wh": 500, "exclusive": True})
    first = rate(versions, [read(1, 400)], RatingState(), NOW)
    assert first.postings == ()
    second = rate(versions, [read(2, 200)], first.state, NOW)
    assert totals(second.postings) == {"energy": 600}
    assert {p.day.day: p.amount_mu for p in second.postings} == {1: 400, 2: 200}
    back = rate(versions, [read(2, 50, version=1)], second.state, NOW)
    assert totals(back.postings) == {"energy": -600}
    assert {p.kind for p in back.postings} == {PostingKind.RERATE}


def test_taxes_stand_on_the_exact_charges_that_they_name():
    versions = tariff(
        fixed_mu_per_day=333,
        tax=[{"code": "vat", "bp": 1000}, {"code": "grid", "bp": 50, "on": ["energy"]}],
    )
    posted = rate(versions, [read(d, 1001) for d in (1, 2)], RatingState(), NOW).postings
    exact_energy, fixed = 2 * 1001, 2 * 333
    assert totals(posted) == {
        "energy": exact_energy,
        "fixed": fixed,
        "tax:vat": (exact_energy + fixed) * 1000 // 10000,
        "tax:grid": exact_energy * 50 // 10000,
    }


def test_a_subsidy_is_a_component_of_its_own():
    posted = rate(tariff(subsidy={"code": "state", "bp": 2500}), [read(1, 999)], RatingState(), NOW)
    assert totals(posted.postings) == {"energy": 999, "subsidy:state": 999 // 4}


def test_a_day_without_readings_owes_the_fixed_charge_once():
    versions = tariff(fixed_mu_per_day=100)
    days = [date(2026, 5, 3), date(2026, 5, 4)]
    first = rate(versions, [read(3, 0)], RatingState(), NOW, idle_days=days)
    assert totals(first.postings) == {"fixed": 200}
    again = rate(versions, [read(4, 0)], first.state, NOW, idle_days=days)
    assert again.postings == ()
    later = rate(versions, [read(5, 0)], again.state, NOW)
    assert totals(later.postings) == {"fixed": 100}


def test_an_estimate_pends_and_an_actual_takes_its_place():
    versions = tariff()
    guess = read(1, 700, quality=Quality.ESTIMATED, version=9)
    estimated = rate(versions, [guess], RatingState(), NOW)
    assert estimated.postings == ()
    assert estimated.pending == {(MONTH, "energy"): 700}
    actual = rate(versions, [read(1, 400)], estimated.state, NOW)
    assert totals(actual.postings) == {"energy": 400}
    assert actual.pending == {}
    again = rate(versions, [guess], actual.state, NOW)
    assert (again.postings, again.pending) == ((), {})


@pytest.mark.parametrize(
    ("interval", "reason"),
    [
        (Interval(NOW, 30, 1), "future"),
        (Interval(NOW - timedelta(days=63), 30, 1), "horizon"),
        (Interval(NOW - timedelta(days=20), 30, 1), "tariff_missing"),
    ],
)
def test_what_cannot_be_charged_waits(interval, reason):
    versions = tariff(valid_from="2026-05-20T00:00:00Z")
    rated = rate(versions, [interval], RatingState(), NOW)
    assert [held.reason for held in rated.held] == [reason]
    assert rated.postings == ()


def test_a_clock_five_minutes_ahead_is_no_future():
    rated = rate(tariff(), [Interval(NOW - timedelta(minutes=25), 30, 5)], RatingState(), NOW)
    assert rated.held == ()


def test_simulation_refuses_readings_without_a_price_and_keeps_nothing():
    with pytest.raises(PrepaymentError, match="no price"):
        simulate(tariff(valid_from="2026-05-20T00:00:00Z"), [read(1, 1)])
    assert simulate(tariff(), []) == {}


def test_a_version_holds_from_its_first_minute():
    versions = (
        *tariff(),
        *tariff(version=2, valid_from="2026-05-01T10:00:00Z", price_mu_per_kwh={"all": [3000]}),
    )
    rated = rate(versions, [read(1, 100, 9), read(1, 100, 10)], RatingState(), NOW)
    assert totals(rated.postings) == {"energy": 100 + 300}


def test_a_tariff_on_purchases_does_not_rate_consumption():
    with pytest.raises(PrepaymentError, match="purchases"):
        rate(tariff(block_basis="purchase"), [read(1, 1)], RatingState(), NOW)


def test_prorating_loses_no_energy():
    assert prorated(0, 3600, 10, [0, 600, 7200]) == {0: 2, 600: 8}
    assert sum(prorated(0, 3600, 7, [1000, 2000]).values()) == 7
    versions = tariff(
        prorate=True,
        price_mu_per_kwh={"day": [1000], "night": [0]},
        tou=[{"name": "night", "from": "00:00", "to": "00:20"}],
        tou_default="day",
    )
    assert simulate(versions, [read(1, 300)]) == {(MONTH, "energy"): 200}


@pytest.mark.parametrize("minutes", [45, 120, 48 * 60])
def test_prorating_loses_nothing_where_a_month_ends(minutes):
    over = Interval(datetime(2026, 5, 31, 23, 30, tzinfo=UTC), minutes, 1000)
    within = [read(31, 700, hour=22), Interval(over.start + timedelta(minutes=minutes), 60, 50)]
    flat = {"price_mu_per_kwh": {"day": [1000], "night": [1000]}, "tou_default": "day"}
    windows = [{"name": "night", "from": "00:00", "to": "00:20"}]
    versions = tariff(prorate=True, tou=windows, **flat)
    rated = rate(versions, [over, *within], RatingState(), NOW + timedelta(days=3))
    assert totals(rated.postings) == {"energy": 1750}
    counters = {first.month: state.counter_wh for first, state in rated.state.months.items()}
    assert counters == {5: 1700, 6: 50}, "an interval counts in the month of its start"


def test_two_meters_in_one_interval_are_both_charged():
    both = [read(1, 100, meter=1), read(1, 50, meter=2)]
    assert totals(rate(tariff(), both, RatingState(), NOW).postings) == {"energy": 150}


def test_an_interval_has_energy_length_and_zone():
    for wrong in ({"wh": -1}, {"minutes": 0}, {"start": datetime(2026, 5, 1)}):  # noqa: DTZ001
        fields = {"start": NOW, "minutes": 30, "wh": 1, **wrong}
        with pytest.raises(PrepaymentError):
            Interval(**fields)


def test_a_counter_comes_over_with_the_contract():
    versions = tariff(block_upto_wh=[1000, None], price_mu_per_kwh={"all": [1000, 9000]})
    state = charging.open_month(MONTH, 990)
    rated = rate(versions, [read(1, 20)], state, NOW)
    assert totals(rated.postings) == {"energy": 10 + 90}
    assert rated.state.months[MONTH].counter_wh == 1010


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (0, 0, 0),
        (99, 0, 1),
        (90, 5, 15),
        (0, 99, 99),
        (50, 40, "register_decreased"),
        (100, 0, "register_range"),
        (0, -1, "register_range"),
    ],
)
def test_a_register_rolls_over_once_and_only_plausibly(old, new, expected):
    try:
        result = registers.register_delta(old, new, modulus_wh=100, max_plausible_wh=20)
    except PrepaymentError as error:
        result = error.code
    assert result == expected


def test_a_swap_without_a_closing_read_is_an_exception():
    with pytest.raises(PrepaymentError) as missing:
        registers.MeterSwap(100, None, 0).old_usage_wh()
    assert missing.value.code == "missing_closing_read"
    with pytest.raises(PrepaymentError):
        registers.MeterSwap(100, 99, 0).old_usage_wh()
    with pytest.raises(PrepaymentError):
        registers.MeterSwap(100, 101, 10).new_usage_wh(9)


def test_money_buys_nothing_from_a_block_that_costs_nothing_for_ever():
    with pytest.raises(PrepaymentError):
        purchase.buy(1000, 0, block_upto_wh=[None], price_mu_per_kwh=[0])
    with pytest.raises(PrepaymentError):
        purchase.buy(0, 0, block_upto_wh=[None], price_mu_per_kwh=[1])
    free_first = purchase.buy(1000, 0, block_upto_wh=[500, None], price_mu_per_kwh=[0, 1000])
    assert free_first.wh == 500 + 1000
