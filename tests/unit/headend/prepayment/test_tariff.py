"""Tariffs are checked when they are loaded."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headend.prepayment.tariff import load_tariff, valid_at
from ohmesh.model.errors import ConfigError

HOME = {
    "id": "home",
    "version": 1,
    "valid_from": "2026-01-01T00:00:00Z",
    "tz": "Europe/London",
    "block_upto_wh": [50000, None],
    "price_mu_per_kwh": {"day": [100, 200], "night": [50, 60]},
    "tou": [{"name": "night", "from": "00:30", "to": "05:30"}],
    "tou_default": "day",
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"block_upto_wh": [50000]}, "end with null"),
        ({"block_upto_wh": []}, "end with null"),
        ({"block_upto_wh": [None, None]}, "end with null"),
        ({"block_upto_wh": [0, None]}, "rise"),
        ({"price_mu_per_kwh": {}, "tou": [], "tou_default": None}, "no price"),
        ({"price_mu_per_kwh": {"day": [1], "night": [1, 2]}}, "one price a block"),
        ({"price_mu_per_kwh": {"day": [1.5, 2], "night": [1, 2]}}, "int"),
        ({"price_mu_per_kwh": {"day": [-1, 2], "night": [1, 2]}}, "0"),
        ({"tou_default": None}, "tou_default"),
        ({"tou_default": "peak"}, "no price for peak"),
        ({"tou": [{"name": "night", "from": "00:30", "to": "00:30"}]}, "is empty"),
        ({"tou": [{"name": "night", "from": "00:31", "to": "05:30"}]}, "cuts intervals"),
        ({"tou": [{"name": "night", "from": "25:00", "to": "05:30"}]}, "regex"),
        ({"tz": "Europe/Nowhere"}, "time zone"),
        ({"valid_from": "2026-01-01T00:00:00"}, "timezone"),
        ({"valid_from": "2026-01-01T00:00:30Z"}, "whole minute"),
        ({"tax": [{"code": "vat", "bp": 1}, {"code": "vat", "bp": 2}]}, "twice"),
        ({"lifeline": {"free_wh": 0}}, "free_wh"),
        ({"holidays": {"country": "XX"}}, "holiday"),
        ({"colour": "red"}, "colour"),
        ({"version": 0}, "version"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_tariff_is_refused_with_the_reason(change, problem):
    with pytest.raises(ConfigError, match=problem):
        load_tariff({**HOME, **change})


def test_a_window_off_the_intervals_is_fine_when_it_is_prorated():
    windows = [{"name": "night", "from": "00:31", "to": "05:30"}]
    assert load_tariff({**HOME, "tou": windows, "prorate": True}).prorate


def test_the_version_in_force_is_the_newest_begun():
    old = load_tariff(HOME)
    new = load_tariff({**HOME, "version": 2, "valid_from": "2026-06-01T00:00:00Z"})
    assert valid_at((new, old), datetime(2026, 5, 31, 23, 59, tzinfo=UTC)) is old
    assert valid_at((new, old), datetime(2026, 6, 1, tzinfo=UTC)) is new
    assert valid_at((new, old), datetime(2025, 12, 31, tzinfo=UTC)) is None


def period(tariff, *wall):
    return tariff.period_at(datetime(*wall, tzinfo=tariff.zone))


def test_a_window_that_wraps_midnight_belongs_to_the_day_on_which_it_begins():
    tariff = load_tariff(
        {**HOME, "tou": [{"name": "night", "from": "22:00", "to": "02:00", "days": ["fri"]}]}
    )
    assert period(tariff, 2026, 3, 13, 22, 0) == "night"  # a Friday
    assert period(tariff, 2026, 3, 14, 1, 59) == "night"
    assert period(tariff, 2026, 3, 14, 2, 0) == "day"
    assert period(tariff, 2026, 3, 14, 22, 0) == "day"
    assert period(tariff, 2026, 3, 13, 1, 0) == "day"


def test_holidays_may_have_windows_of_their_own():
    content = {
        **HOME,
        "holidays": {"country": "GB", "subdivision": "ENG", "dates": ["2026-07-07"]},
        "tou": [{"name": "night", "from": "00:00", "to": "24:00", "holidays": "only"}],
    }
    tariff = load_tariff(content)
    assert period(tariff, 2026, 4, 6, 12, 0) == "night"  # Easter Monday
    assert period(tariff, 2026, 7, 7, 12, 0) == "night"
    assert period(tariff, 2026, 4, 7, 12, 0) == "day"
