"""Rating: the order of arrival does not matter, and nothing is lost to rounding."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from headend.prepayment.charging import RatingState, rate
from headend.prepayment.intervals import Interval, Quality
from headend.prepayment.purchase import buy
from headend.prepayment.tariff import load_tariff

NOW = datetime(2026, 4, 15, tzinfo=UTC)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
ZONES = ("UTC", "Europe/London", "Asia/Kolkata", "America/St_Johns")


@st.composite
def tariffs(draw):
    edges = sorted(draw(st.sets(st.integers(1, 5000), max_size=2)))
    prices = st.lists(st.integers(0, 60_000), min_size=len(edges) + 1, max_size=len(edges) + 1)
    lifeline = st.builds(dict, free_wh=st.integers(1, 4000), exclusive=st.booleans())
    return (
        load_tariff(
            {
                "id": "t",
                "version": 1,
                "valid_from": "2026-01-01T00:00:00Z",
                "tz": draw(st.sampled_from(ZONES)),
                "block_upto_wh": [*edges, None],
                "price_mu_per_kwh": {"day": draw(prices), "night": draw(prices)},
                "tou": [{"name": "night", "from": "22:00", "to": "05:30"}],
                "tou_default": "day",
                "fixed_mu_per_day": draw(st.integers(0, 1000)),
                "tax": [{"code": "vat", "bp": draw(st.integers(0, 2500))}],
                "lifeline": draw(st.none() | lifeline),
            }
        ),
    )


readings = st.lists(
    st.builds(
        lambda slot, wh, quality, version: Interval(
            FIRST + timedelta(minutes=30 * slot), 30, wh, quality, version
        ),
        st.integers(0, 48 * 40),
        st.integers(0, 999),
        st.sampled_from(Quality),
        st.integers(0, 2),
    ),
    max_size=25,
)


def run(versions, batches):
    """The ledger after all batches, by (day, component)."""
    state, ledger, pending = RatingState(), Counter(), {}
    for batch in batches:
        rated = rate(versions, batch, state, NOW)
        state = rated.state
        months = {i.start.astimezone(versions[0].zone).date().replace(day=1) for i in batch}
        pending = {k: v for k, v in pending.items() if k[0].replace(day=1) not in months}
        pending |= rated.pending
        for posting in rated.postings:
            ledger[posting.day, posting.component] += posting.amount_mu
    return {k: v for k, v in ledger.items() if v}, pending, state


@settings(max_examples=120)
@given(tariffs(), readings, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_in_any_batches_gives_the_same_ledger(versions, intervals, dice, size):
    once, pending, state = run(versions, [intervals])
    shuffled = [*intervals, *intervals[:3]]
    dice.shuffle(shuffled)
    batches = [shuffled[i : i + size] for i in range(0, len(shuffled), size)]
    assert run(versions, batches)[0] == once
    assert run(versions, batches)[1] == pending
    posted = {k: v for m in state.months.values() for k, v in m.posted.items()}
    assert posted == once


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 1300), st.integers(0, 999)), min_size=1, max_size=40,
             unique_by=lambda pair: pair[0]),
    st.integers(0, 60_000),
    st.integers(0, 2500),
)  # fmt: skip
def test_the_posted_total_is_the_floor_of_the_exact_total(pairs, price, bp):
    content = {
        "id": "t",
        "version": 1,
        "valid_from": "2026-01-01T00:00:00Z",
        "tz": "UTC",
        "block_upto_wh": [None],
        "price_mu_per_kwh": {"all": [price]},
        "tax": [{"code": "vat", "bp": bp}],
    }
    batches = [[Interval(FIRST + timedelta(minutes=30 * slot), 30, wh)] for slot, wh in pairs]
    ledger, _, state = run((load_tariff(content),), batches)
    energy = Fraction(sum(wh for _, wh in pairs) * price, 1000)
    total = Counter()
    for (_, component), amount in ledger.items():
        total[component] += amount
    assert total["energy"] == energy // 1
    assert total["tax:vat"] == energy * bp / 10_000 // 1
    assert state.months[date(2026, 3, 1)].counter_wh == sum(wh for _, wh in pairs)


@settings(max_examples=60)
@given(st.sampled_from(ZONES), st.integers(1, 12), st.integers(1, 28))
def test_each_interval_of_a_local_day_is_priced_once(zone_name, month, day):
    zone = ZoneInfo(zone_name)
    begin = datetime(2026, month, day, tzinfo=zone).astimezone(UTC)
    following = date(2026, month, day) + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)
    content = {
        "id": "t",
        "version": 1,
        "valid_from": "2020-01-01T00:00:00Z",
        "tz": zone_name,
        "block_upto_wh": [None],
        "price_mu_per_kwh": {"all": [1000]},
        "fixed_mu_per_day": 7,
    }
    count = (end - begin) // timedelta(minutes=15)
    assert count in {92, 96, 100}
    day_read = [Interval(begin + timedelta(minutes=15 * n), 15, 10) for n in range(count)]
    rated = rate((load_tariff(content),), day_read, RatingState(), end)
    posted = {p.component: p.amount_mu for p in rated.postings}
    assert posted == {"energy": 10 * count, "fixed": 7}
    assert {p.day for p in rated.postings} == {date(2026, month, day)}


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=8),
    st.lists(st.integers(1, 10**5), max_size=3, unique=True),
    st.lists(st.integers(1, 10**5), min_size=4, max_size=4),
)
def test_money_split_into_parts_buys_the_same_energy(parts, edges, prices):
    """Up to the Wh that a counter of whole Wh drops at each part."""
    blocks = {
        "block_upto_wh": [*sorted(edges), None],
        "price_mu_per_kwh": sorted(prices[: len(edges) + 1]),
    }
    whole = buy(sum(parts), 0, **blocks).exact_wh
    bought = 0
    exact = Fraction(0)
    for part in parts:
        purchase = buy(part, bought, **blocks)
        exact += purchase.exact_wh
        bought += purchase.wh
    assert whole <= exact
    cheapest, dearest = blocks["price_mu_per_kwh"][0], blocks["price_mu_per_kwh"][-1]
    assert exact - whole <= len(parts) * Fraction(dearest, cheapest)
