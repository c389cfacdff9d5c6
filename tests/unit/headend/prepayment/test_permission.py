"""Permission to disconnect beyond the shared vectors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from headend.prepayment import breaker
from headend.prepayment.permission import (
    PermissionContext,
    may_disconnect,
    next_closed,
    next_open,
)
from headend.prepayment.rules import RulePack, load_pack, pack_names, parse_pack
from ohmesh.model.errors import ConfigError, PrepaymentError

LONDON = ZoneInfo("Europe/London")
OPEN = datetime(2026, 3, 11, 12, tzinfo=UTC)  # a Wednesday at noon
HOUR = timedelta(hours=1)


def ask(now=OPEN, pack="gb-example", zone=LONDON, **facts):
    return may_disconnect(now, load_pack(pack), PermissionContext(zone, **facts))


def test_all_packs_load_and_give_each_number_a_source():
    assert {"gb-example", "ie-example", "in-up-example", "za-example", "unrestricted-demo"} <= set(
        pack_names()
    )
    for name in pack_names():
        pack = load_pack(name)
        assert pack.permitted
        assert bool(pack.grace_days) == bool(pack.grace_source)
        assert bool(pack.minimum_debt_mu) == bool(pack.minimum_debt_source)


def test_an_empty_pack_permits_nothing_ever():
    empty = RulePack(title="empty")
    answer = may_disconnect(OPEN, empty, PermissionContext(LONDON))
    assert (answer.ok, answer.reason, answer.next_permitted) == (False, "no_rules", None)


def test_no_restriction_is_written():
    saturday_night = datetime(2026, 12, 26, 3, tzinfo=UTC)
    assert ask(saturday_night, "unrestricted-demo").ok
    assert next_closed(load_pack("unrestricted-demo"), LONDON, OPEN) is None


@pytest.mark.parametrize(
    ("facts", "reason", "heals"),
    [
        ({"exempt": True}, "exempt", None),
        ({"flags": frozenset({"child_under_2"})}, "vulnerable", None),
        ({"flags": frozenset({"a_flag_nobody_knows"})}, "vulnerable", None),
        ({"grace_until": OPEN + HOUR}, "grace", OPEN + HOUR),
        ({"notice_minutes": 30}, "notice", None),
        (
            {"notice_minutes": 30, "notice_at": OPEN},
            "notice",
            OPEN + timedelta(minutes=30),
        ),
        ({"stale_after": HOUR}, "stale_data", None),
        ({"stale_after": HOUR, "data_at": OPEN - 2 * HOUR}, "stale_data", None),
        ({"breaker_open": True}, "breaker", None),
        ({"cut_limit_until": OPEN + 12 * HOUR}, "cut_limit", OPEN + 23 * HOUR),
    ],
)
def test_any_doubt_keeps_supply_on(facts, reason, heals):
    answer = ask(**facts)
    assert (answer.ok, answer.reason, answer.next_permitted) == (False, reason, heals)


def test_the_first_reason_in_the_fixed_order_is_told():
    night = datetime(2026, 3, 11, 20, tzinfo=UTC)
    assert ask(night, exempt=True, breaker_open=True).reason == "exempt"
    assert ask(night, grace_until=night + HOUR, breaker_open=True).reason == "grace"
    assert ask(night, breaker_open=True, notice_minutes=5).reason == "evening"


def test_a_seasonal_protection_ends_with_its_season():
    flags, zone = frozenset({"vulnerable"}), ZoneInfo("Europe/Dublin")
    assert ask(datetime(2026, 3, 11, 12, tzinfo=UTC), "ie-example", zone, flags=flags).reason
    assert ask(datetime(2026, 6, 10, 12, tzinfo=UTC), "ie-example", zone, flags=flags).ok


@pytest.mark.parametrize(
    ("temperature_dc", "ok"), [(None, False), (0, False), (1, True), (349, True), (350, False)]
)
def test_a_missing_or_extreme_temperature_forbids(temperature_dc, ok):
    at = datetime(2026, 11, 3, 19, tzinfo=UTC)
    zone = ZoneInfo("America/Phoenix")
    assert ask(at, "us-az-example", zone, temperature_dc=temperature_dc).ok is ok


def test_a_year_without_holiday_data_is_one_long_holiday():
    pack = load_pack("gb-example")
    assert not pack.calendar.knows(2101)
    assert pack.closed(datetime(2101, 3, 9, 12, tzinfo=LONDON)) == "weekend_or_holiday"
    assert next_open(pack, LONDON, datetime(2101, 6, 1, tzinfo=UTC)) is None


def test_hours_end_where_the_pack_says():
    pack = load_pack("gb-example")
    assert next_closed(pack, LONDON, OPEN) == OPEN.replace(hour=18)
    summer = datetime(2026, 7, 8, 12, tzinfo=UTC)
    assert next_closed(pack, LONDON, summer) == summer.replace(hour=17)


@pytest.mark.parametrize(
    "text",
    ["", "title = 3", 'title = "x"\n[[permitted]]\ndays = ["mon"]\nfrom = "11:00"\nto = "18:00"',
     'title = "x"\ncolour = "red"', 'title = "x"\n[calendar]\ncountry = "XX"'],
)  # fmt: skip
def test_a_wrong_pack_is_refused(text):
    with pytest.raises(ConfigError):
        parse_pack(text, "wrong")


def test_there_is_no_pack_by_another_name():
    for name in ("nowhere", "../rules", "gb-example.toml"):
        with pytest.raises(ConfigError):
            load_pack(name)


def test_the_breaker_opens_before_half_a_percent_are_cut():
    state, limit = breaker.Breaker(), breaker.cuts_max(100_000, None)
    allowed = 0
    for _ in range(100_000):
        state, ok = breaker.request_cut(state, OPEN, limit)
        allowed += ok
    assert allowed == limit == 500
    assert state.is_open
    assert breaker.request_cut(state, OPEN + 24 * HOUR, limit)[1] is False


def test_the_breaker_forgets_cuts_of_an_hour_ago_and_two_people_close_it():
    state = breaker.Breaker(tuple([OPEN] * 50))
    assert breaker.request_cut(state, OPEN + HOUR, 50)[1]
    state, _ = breaker.request_cut(state, OPEN + HOUR / 2, 50)
    for first, second in (("a", "a"), ("a", ""), ("", "b")):
        with pytest.raises(PrepaymentError):
            breaker.close(state, first, second)
    assert not breaker.close(state, "a", "b").is_open


@pytest.mark.parametrize(
    ("contracts", "median", "limit"),
    [(100, None, 50), (100_000, None, 500), (100_000, 20, 100), (100_000, 0, 10), (10, 100, 50)],
)
def test_the_breakers_limit(contracts, median, limit):
    assert breaker.cuts_max(contracts, median) == limit
