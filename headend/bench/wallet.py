"""Benchmarks of the wallet on a database: top-ups, tokens, and the sweep over all balances.

`topup` books payments of many contracts, `api_vend` sells tokens, both over HTTP: first as fast as
they are answered, then at the rate of the target, where the time of each is taken. `sweep` looks at
every contract once, page by page, as the worker does, one in a hundred due.
"""

from __future__ import annotations

import resource
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from headend.bench import writes
from headend.bench.pipeline.servers import home_of, servers
from headend.prepayment import engine
from headend.prepayment.tokens.security import StsSoftTest
from headend.prepayment.tokens.vending import STS, StsVending
from headend.prepayment.tokens.vendor import StsVendor
from headend.service import tokens
from headend.store import db
from ohmesh.tokens.pan import MeterPan, luhn_digit

if TYPE_CHECKING:
    from headend.store.db import Connection
    from headend.store.plan import Plan

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
TOPUPS_OFFERED: Final = 200
TOKENS_OFFERED: Final = 300
"""A second, while the time of each is taken."""
DUE_EVERY: Final = 100


def topup(payments: int, admin_url: str | None = None) -> dict[str, Any]:
    """`topups_per_s` as fast as they are answered, `p99_ms` at 200 a second, over HTTP."""
    contracts = max(50, payments // 10)
    with servers(admin_url, admin_url and "-") as lent:
        urls = home_of(lent)
        _fill(urls["owner"], contracts)
        taken = writes.measure(urls, partial(_topup, contracts), payments, TOPUPS_OFFERED)
    return {
        "topups": payments,
        "topups_per_s": taken["max_per_s"],
        "api_cpu_ms": taken["cpu_ms"],
        "rate_per_s": TOPUPS_OFFERED,
        "p50_ms": taken["p50_ms"],
        "p99_ms": taken["p99_ms"],
    }


def _topup(contracts: int, number: int) -> tuple[str, dict[str, Any]]:
    return f"/v1/contracts/A{1 + number % contracts}/topups", {"amount_mu": 100_000}


def api_vend(count: int, admin_url: str | None = None) -> dict[str, Any]:
    """Tokens end to end: from the request to the digits, paid from a wallet, over HTTP.

    Returns: `api_tokens_per_s` as fast as they are answered; `api_p99_ms` at 300 a second.
    """
    meters = max(50, count // 4)
    with servers(admin_url, admin_url and "-") as lent:
        urls = home_of(lent)
        _fill(urls["owner"], meters)
        with db.connect(urls["owner"], name="bench", autocommit=True) as owner:
            for number in range(1, meters + 1):
                with db.transaction(owner):
                    db.run(owner, _takes_tokens(number))
        taken = writes.measure(urls, partial(_token, meters), count, TOKENS_OFFERED)
    return {
        "api_tokens_per_s": taken["max_per_s"],
        "api_cpu_ms": taken["cpu_ms"],
        "api_rate_per_s": TOKENS_OFFERED,
        "api_p50_ms": taken["p50_ms"],
        "api_p99_ms": taken["p99_ms"],
    }


def _takes_tokens(number: int) -> Plan[None]:
    drn = f"{number:010d}"
    pan = MeterPan("600727", drn + luhn_digit(drn))
    vendings = {STS: StsVending(StsVendor(StsSoftTest(), "test-hmac", random_bits=lambda: 0))}
    device = {"pan": str(pan), "supply_group": "123457"}
    yield from tokens.set_device(1, f"M{number}", STS, device, vendings)


def _token(meters: int, number: int) -> tuple[str, dict[str, Any]]:
    path = f"/v1/meters/M{1 + number % meters}/tokens"
    return path, {"kind": "electricity", "units": 100, "amount_mu": 1}


def sweep(contracts: int, admin_url: str | None = None) -> dict[str, Any]:
    """`seconds` for a look at all contracts, and the resident memory at the end."""
    with servers(admin_url, admin_url and "-") as lent:
        urls = home_of(lent)
        _fill(urls["owner"], contracts)
        with db.connect(urls["worker"], name="bench", autocommit=True) as worker:
            before_mib = _rss_mib()
            begun = time.perf_counter()
            due = _visit_all(worker)
            seconds = time.perf_counter() - begun
    return {
        "contracts": contracts,
        "due": due,
        "seconds": round(seconds, 2),
        "rss_mib": _rss_mib(),
        "rss_growth_mib": _rss_mib() - before_mib,
    }


def _visit_all(worker: Connection) -> int:
    """Page by page, as the worker does; how many accounts were due."""
    due = 0
    after: int | None = 0
    while after is not None:
        with db.transaction(worker):
            accounts, after = db.run(worker, engine.sweep(after, NOW))
        for account in accounts:
            with db.transaction(worker):
                db.run(worker, engine.visit(account, NOW))
        due += len(accounts)
    return due


def _rss_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


_FILL: Final = (
    """insert into ohmesh.tariff (tenant_id, name, currency, price_mu_per_kwh, valid_from, body)
       values (1, 'flat', 'EUR', 1000, 'epoch', '{"id": "flat", "version": 1, "tz": "UTC",
       "valid_from": "1970-01-01T00:00:00Z", "block_upto_wh": [null],
       "price_mu_per_kwh": {"all": [1000]}}')""",
    """insert into ohmesh.meter (tenant_id, name, address, profile, interval_s, key_sealed)
       select 1, 'M' || n, 'M' || n, 'nl_dsmr', 900, '\\x00' from generate_series(1, %(n)s) n""",
    """insert into ohmesh.account (tenant_id, name, meter_id, tariff, currency, terms)
       select 1, 'A' || substr(name, 2), id, 'flat', 'EUR',
       '{"pack": "unrestricted-demo", "low_mu": 500, "notice_minutes": 30}' from ohmesh.meter""",
    """insert into ohmesh.transfer (id, tenant_id, account_id, currency, txn, debit, credit,
       amount_mu, code, value_at, idempotency_key)
       select gen_random_uuid(), 1, id, 'EUR', 'open:' || id, 'cash', 'wallet',
       case when id %% %(due)s = 0 then 100 else 1000000 end, 10, now(), 'open:' || id
       from ohmesh.account""",
    """insert into ohmesh.rating_state (account_id) select id from ohmesh.account""",
    """insert into ohmesh.supply (account_id, next_eval_at) select id, null from ohmesh.account""",
)


def _fill(owner_url: str, contracts: int) -> None:
    with db.connect(owner_url, name="bench", autocommit=True) as owner:
        for statement in _FILL:
            owner.execute(statement, {"n": contracts, "due": DUE_EVERY})
        owner.execute("analyze")
