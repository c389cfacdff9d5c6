"""What people read: amounts, quantities, times, sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from gettext import NullTranslations
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from headend.api.money import format_mu, format_price, mu_per_minor
from headend.api.problems import Problem
from headend.api.views import Account
from headend.web import format as fmt
from headend.web import words
from headend.web.pages import amount_mu
from ohmesh.model.command import RelayState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
THIN = fmt.THIN
ENGLISH = NullTranslations()


@pytest.mark.parametrize(
    ("mu", "currency", "text"),
    [
        (0, "EUR", "0.00 EUR"),
        (1_000, "EUR", "0.01 EUR"),
        (999, "EUR", "0.00 EUR"),
        (-1, "EUR", "\u22120.01 EUR"),
        (-100_000, "EUR", "\u22121.00 EUR"),
        (123_456_789_000, "EUR", f"1{THIN}234{THIN}567.89 EUR"),
        (250_000, "KRW", "2 KRW"),
        (123_450, "KWD", "1.234 KWD"),
    ],
)
def test_a_balance_is_cut_downwards_to_the_minor_unit(mu, currency, text):
    assert format_mu(mu, currency) == text


@pytest.mark.parametrize(
    ("mu", "currency", "text"),
    [(28_500, "EUR", "0.285 EUR"), (30_000, "EUR", "0.30 EUR"), (12_345, "KRW", "0.12345 KRW")],
)
def test_a_price_is_exact(mu, currency, text):
    assert format_price(mu, currency) == text


@pytest.mark.parametrize(("currency", "mu"), [("EUR", 1000), ("KRW", 100_000), ("TND", 100)])
def test_minor_units(currency, mu):
    assert mu_per_minor(currency) == mu


@pytest.mark.parametrize(
    ("text", "currency", "mu"),
    [
        ("20", "EUR", 2_000_000),
        (" 0,01 ", "EUR", 1_000),
        ("12.34", "EUR", 1_234_000),
        ("5", "KRW", 500_000),
        ("1.5", "KRW", None),
        ("0.001", "EUR", None),
        ("0", "EUR", None),
        ("-5", "EUR", None),
        ("1e3", "EUR", None),
        ("NaN", "EUR", None),
        ("", "EUR", None),
        ("1,000.00", "EUR", None),
        ("99999999999999", "EUR", None),
        ("\u0665", "EUR", None),
    ],
)
def test_an_amount_typed_by_a_person(text, currency, mu):
    if mu is None:
        with pytest.raises(Problem) as refused:
            amount_mu(text, currency)
        assert refused.value.status_code == 422
    else:
        assert amount_mu(text, currency) == mu


@pytest.mark.parametrize(
    ("value", "scaler", "unit", "text"),
    [
        (1_040_625, 0, "Wh", f"1{THIN}040.625{THIN}kWh"),
        (333, 0, "Wh", f"333{THIN}Wh"),
        (2322, -1, "V", f"232.2{THIN}V"),
        (5, 3, "W", f"5{THIN}000{THIN}W"),
        (-12_000, 0, "W", f"-12.000{THIN}kW"),
        (7, 0, "m3", f"7{THIN}m3"),
    ],
)
def test_a_quantity_is_exact_and_has_its_unit(value, scaler, unit, text):
    assert fmt.quantity(value, scaler, unit) == text


def test_only_all_is_a_hundred_percent():
    assert fmt.percent(1_000_000) == f"100.00{THIN}%"
    assert fmt.percent(999_999) == f"99.99{THIN}%"
    assert fmt.percent(0) == f"0.00{THIN}%"
    assert fmt.percent(None) == fmt.MISSING


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (90_000, "25 h"),
        (172_800, "2 d"),
    ],
)
def test_how_long_ago(seconds, text):
    ago = fmt.ago(NOW - timedelta(seconds=seconds), NOW, ENGLISH)
    assert ago == text.replace(" ", THIN) + " ago"


def test_never_and_the_future():
    assert fmt.ago(None, NOW, ENGLISH) == "never"
    assert fmt.ago(NOW + timedelta(seconds=5), NOW, ENGLISH) == f"0{THIN}s ago"


def account(wanted: str | None, actual: str | None, reason: str = "opened") -> Account:
    return Account(
        account="A",
        meter="M",
        tariff="t",
        currency="EUR",
        price_mu_per_kwh=1,
        balance_mu=0,
        opened_at=NOW,
        rated_to=None,
        supply_wanted=wanted,
        supply_actual=actual,
        supply_actual_at=NOW,
        reason=reason,
        decided_at=NOW,
        command=None,
    )


def test_every_state_of_a_supply_has_words():
    states = [None, *(s.name.lower() for s in RelayState)]
    for wanted, actual in product(states, states):
        found = words.supply(account(wanted, actual))
        assert found.tone in {"good", "warn", "bad"}
        assert found.sentence.endswith(".")
        assert "%" not in found.sentence % {"why": "because"}


def test_only_what_was_read_back_is_told_as_done():
    cut = words.supply(account("disconnected", "disconnected", "credit_exhausted"))
    assert (cut.word, cut.tone) == ("cut off", "bad")
    assert words.reason("credit_exhausted") == "the credit is used up"
    assert "%(why)s" in cut.sentence
    assert words.supply(account("disconnected", "connected")).word == "being cut"
    assert words.supply(account("connected", "disconnected")).word == "coming back"
    assert words.supply(account("connected", "connected")).tone == "good"
    assert words.supply(account("connected", None)).word == "not read yet"


def test_a_reason_that_is_not_known_is_text():
    assert words.reason("100%d_{0}") == "100%d {0}"


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0.25, "2026-03-01 01:00 \u2013 01:15 CET"),
        (24, "2026-03-01 01:00 \u2013 2026-03-02 01:00 CET"),
        (24 * 40, "2026-03-01 01:00 CET \u2013 2026-04-10 02:00 CEST"),
    ],
)
def test_a_stretch_of_time_says_its_zone_and_each_date_once(hours, text):
    start = datetime(2026, 3, 1, tzinfo=UTC)
    assert fmt.stretch(start, start + timedelta(hours=hours), ZoneInfo("Europe/Berlin")) == text
