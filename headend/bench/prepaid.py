"""Benchmarks of prepayment's pure parts: token build and rating, per second of one core."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from headend.prepayment.charging import Interval, RatingState, rate
from headend.prepayment.month import Usage, month_of
from headend.prepayment.tariff import load_tariff
from headend.prepayment.tokens.security import StsSoftTest
from headend.prepayment.tokens.vendor import StsVendor, VendRequest
from ohmesh.tokens.keys import KeyParams
from ohmesh.tokens.pan import MeterPan, luhn_digit
from ohmesh.tokens.sts import TokenKind
from ohmesh.tokens.tid import LastTid

if TYPE_CHECKING:
    from headend.prepayment.tariff import Tariff

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
METERS = 200
HALF_HOUR_S = 1800


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
    """Intervals through the month's arithmetic, and through the whole engine with its state.

    Returns:
        `intervals_per_s`: flat price, from starts and energies in order; `blocks_tou_per_s`: three
        blocks and two periods; `engine_per_s`: single readings through `rate` from nothing.
    """
    flat = _tariff(tou=False)
    rich = _tariff(tou=True)
    month = date(2026, 3, 1)
    begin_s = month_of((flat,), month).edges_s[0]
    starts = list(range(begin_s, month_of((flat,), month).edges_s[-1], HALF_HOUR_S))
    usage = Usage(starts, [(7 * i) % 900 for i in range(len(starts))])
    readings = [
        Interval(datetime.fromtimestamp(s, UTC), 30, wh)
        for s, wh in zip(usage.starts_s, usage.wh, strict=True)
    ]
    return {
        "intervals": contract_months * len(starts),
        "intervals_per_s": _months_per_s(flat, usage, contract_months) * len(starts),
        "blocks_tou_per_s": _months_per_s(rich, usage, contract_months) * len(starts),
        "engine_per_s": _engine_per_s(flat, readings, max(1, contract_months // 20)),
    }


def _months_per_s(tariff: Tariff, usage: Usage, count: int) -> int:
    prepared = month_of((tariff,), date(2026, 3, 1))
    begun = process_time()
    for opening_wh in range(count):
        prepared.postings(usage, opening_wh)
    return int(count / (process_time() - begun))


def _engine_per_s(tariff: Tariff, readings: list[Interval], count: int) -> int:
    now = readings[-1].start + timedelta(hours=1)
    begun = process_time()
    for _ in range(count):
        rate((tariff,), readings, RatingState(), now)
    return int(count * len(readings) / (process_time() - begun))


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
