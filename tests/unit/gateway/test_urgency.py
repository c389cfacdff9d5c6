from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.urgency import is_urgent
from ohmesh.model.telegram import TelegramKind
from ohmesh.wire.sealed import SealedKind, seal


@pytest.mark.parametrize("kind", SealedKind)
def test_sealed_results_and_events_are_urgent(telegram, kind):
    payload = seal(bytes(16), "M1", kind, 1, b"body")
    urgent = kind in {SealedKind.RESULT, SealedKind.EVENT}
    assert is_urgent(replace(telegram(1), payload=payload)) is urgent


@pytest.mark.parametrize("kind", TelegramKind)
def test_reports_on_commands_and_supply_are_urgent_and_routes_are_not(telegram, kind):
    urgent = kind in {TelegramKind.DELIVERY, TelegramKind.POWER}
    assert is_urgent(replace(telegram(1), kind=kind)) is urgent


def test_an_empty_telegram_is_not(telegram):
    assert not is_urgent(replace(telegram(1), payload=b""))
