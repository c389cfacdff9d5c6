"""Benchmarks of the wallet on a database: top-ups that are booked, and the sweep over all balances.

`topup` books payments of many contracts through the API's own plan, its role and its pool, first as
fast as eight connections can, then at 200 a second, where the time of each is taken. HTTP is not in
it. `sweep` looks at every contract once, page by page, as the worker does, one in a hundred due.
"""

from __future__ import annotations

import asyncio
import resource
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from headend.bench.pipeline.servers import servers
from headend.prepayment import engine
from headend.service.payments import Payment, pay
from headend.store import bootstrap, db

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headend.bench.pipeline.servers import Servers

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
DATABASE: Final = "ohmesh_bench"
CONNECTIONS: Final = 8
RATE: Final = 200
"""Top-ups a second at which the time of each is taken."""
DUE_EVERY: Final = 100


def topup(payments: int, admin_url: str | None = None) -> dict[str, Any]:
    """`topups_per_s` with eight connections, `p99_ms` at 200 a second."""
    contracts = max(50, payments // 10)
    with servers(admin_url, admin_url and "-") as lent:
        urls = _bootstrap(lent)
        _fill(urls["owner"], contracts)
        return asyncio.run(_topup(urls["api"], payments, contracts))


async def _topup(url: str, payments: int, contracts: int) -> dict[str, Any]:
    took_s: list[float] = []
    turns = asyncio.Semaphore(CONNECTIONS)

    async def book(number: int, due_s: float) -> None:
        wish = Payment(f"A{1 + number % contracts}", 100_000, f"p{number}")
        async with turns, db.tenant_transaction(pool, 1) as connection:
            await db.run_async(connection, pay(1, wish, NOW))
        took_s.append(time.perf_counter() - due_s)

    async with db.make_pool(url, size_max=CONNECTIONS) as pool:
        numbers = iter(range(payments))
        begun = time.perf_counter()

        async def drain() -> None:
            for number in numbers:
                await book(number, time.perf_counter())

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(drain())
        per_s = payments / (time.perf_counter() - begun)
        took_s.clear()
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(payments, 2 * payments):
                due_s = begun + (number - payments) / RATE
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                group.create_task(book(number, due_s))
    return {
        "topups": payments,
        "topups_per_s": int(per_s),
        "rate_per_s": RATE,
        "p50_ms": _percentile_ms(took_s, 50),
        "p99_ms": _percentile_ms(took_s, 99),
    }


def _percentile_ms(took_s: list[float], percent: int) -> float:
    return round(1000 * sorted(took_s)[len(took_s) * percent // 100], 2)


def sweep(contracts: int, admin_url: str | None = None) -> dict[str, Any]:
    """`seconds` for a look at all contracts, and the resident memory at the end."""
    with servers(admin_url, admin_url and "-") as lent:
        urls = _bootstrap(lent)
        _fill(urls["owner"], contracts)
        with db.connect(urls["worker"], name="bench", autocommit=True) as worker:
            before_mib = _rss_mib()
            begun = time.perf_counter()
            due, after = 0, 0
            while True:
                with db.transaction(worker):
                    accounts, following = db.run(worker, engine.sweep(after, NOW))
                for account in accounts:
                    with db.transaction(worker):
                        db.run(worker, engine.visit(account, NOW))
                due += len(accounts)
                if following is None:
                    break
                after = following
            seconds = time.perf_counter() - begun
    return {
        "contracts": contracts,
        "due": due,
        "seconds": round(seconds, 2),
        "rss_mib": _rss_mib(),
        "rss_growth_mib": _rss_mib() - before_mib,
    }


def _rss_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _bootstrap(lent: Servers) -> Mapping[str, str]:
    made = bootstrap.bootstrap(
        lent.database,
        database=DATABASE,
        file=lent.folder / "headend.toml",
        broker_url="mqtt://127.0.0.1:1883",
        api_port=8080,
    )
    return made.urls


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
