"""Benchmarks of prepayment's pure parts: token build and rating, per second of one core."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from headend.prepayment.charges import registers_of
from headend.prepayment.charging import RatingState, rate
from headend.prepayment.registers import consumption
from headend.prepayment.tariff import load_tariff
from headend.prepayment.tokens.security import StsSoftTest
from headend.prepayment.tokens.vendor import StsVendor, VendRequest
from ohmesh.tokens.keys import KeyParams
from ohmesh.tokens.pan import MeterPan, luhn_digit
from ohmesh.tokens.sts import TokenKind
from ohmesh.tokens.tid import LastTid

if TYPE_CHECKING:
    from headend.prepayment.tariff import Tariff
    from headend.store.plan import Row

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
METERS = 200
HALF_HOUR_US = 1_800_000_000


def vend(tokens: int) -> dict[str, Any]:
    """Tokens from request to digits, EA11, for meters whose decoder key is known.

    Returns:
        `tokens_per_s` of one core's time and `p99_ms` on the clock.
    """
    dice = random.Random(1)  # noqa: S311 - a benchmark's numbers, not a token's
    vendor = StsVendor(StsSoftTest(), "test-hmac", random_bits=lambda: dice.randrange(16))
    requests = [_request(i % METERS, i // METERS) for i in range(tokens)]
    for request in requests[:METERS]:
        vendor.issue(vendor.prepare(request, NOW))
    took_s = []
    begun = process_time()
    for request in requests:
        at = perf_counter()
        vendor.issue(vendor.prepare(request, NOW))
        took_s.append(perf_counter() - at)
    spent_s = process_time() - begun
    p99_ms = 1000 * sorted(took_s)[len(took_s) * 99 // 100]
    return {"tokens": tokens, "tokens_per_s": int(tokens / spent_s), "p99_ms": round(p99_ms, 3)}


def _request(meter: int, number: int) -> VendRequest:
    drn = f"{meter:010d}"
    pan = MeterPan("600727", drn + luhn_digit(drn))
    params = KeyParams(pan, "123457", tariff_index=1, key_revision=1)
    last = LastTid(6_000_000, NOW) if number == 0 else None
    return VendRequest(TokenKind.ELECTRICITY, 100 + number, params, last)


def rating(contract_months: int) -> dict[str, Any]:
    """Whole months of half-hours, as an account is charged: from the store's octets to postings.

    Returns:
        `intervals_per_s`: flat price; `blocks_tou_per_s`: three blocks, two periods, a daily
        charge and a tax. Nothing was posted before.
    """
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    count = 31 * 48
    row = _as_the_store_sends_them(begin, count)
    spent_s = [_seconds(_tariff(tou=tou), row, begin, contract_months) for tou in (False, True)]
    intervals = contract_months * count
    return {
        "intervals": intervals,
        "intervals_per_s": int(intervals / spent_s[0]),
        "blocks_tou_per_s": int(intervals / spent_s[1]),
    }


def _as_the_store_sends_them(begin: datetime, intervals: int) -> Row:
    """The answer of the query `registers`: a register more than intervals."""
    number = np.arange(intervals + 1)
    begin_us = (begin - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return {
        "times": (begin_us + number * HALF_HOUR_US).astype(">i8").tobytes(),
        "wh": np.cumsum(7 * number % 900).astype(">i8").tobytes(),
        "estimated": bytes(4 * (intervals + 1)),
    }


def _seconds(tariff: Tariff, row: Row, begin: datetime, count: int) -> float:
    now = begin + timedelta(days=32)
    rate((tariff,), (), RatingState(), now, idle_days=[begin.date()])  # the month is prepared
    begun = process_time()
    for _ in range(count):
        used = consumption(registers_of(row))
        assert rate((tariff,), used.intervals, RatingState(), now, oldest=begin).postings
    return process_time() - begun


def _tariff(*, tou: bool) -> Tariff:
    content: dict[str, Any] = {
        "id": "bench",
        "version": 1,
        "valid_from": "2020-01-01T00:00:00Z",
        "tz": "Europe/London",
        "block_upto_wh": [None],
        "price_mu_per_kwh": {"all": [15000]},
    }
    if tou:
        content |= {
            "block_upto_wh": [100_000, 300_000, None],
            "price_mu_per_kwh": {"day": [20000, 25000, 30000], "night": [9000, 12000, 15000]},
            "tou": [{"name": "night", "from": "00:30", "to": "05:30"}],
            "tou_default": "day",
            "fixed_mu_per_day": 53000,
            "tax": [{"code": "vat", "bp": 500}],
        }
    return load_tariff(content)
