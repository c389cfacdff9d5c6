"""A read in one message sees its tenant and leaves nothing of it on the pooled connection."""

from __future__ import annotations

import asyncio

import pytest
from api_site import OURS, THEIRS

from headend.store import db
from headend.store.message import PREPARED_MAX
from headend.store.plan import Statement
from ohmesh.model.errors import StoreError

NAMES = Statement("select tenant_id, name from ohmesh.meter", {})
LEFT = Statement(
    "select current_setting('ohmesh.tenant', true) as tenant,"
    " current_setting('plan_cache_mode') as plan",
    {},
)


async def left_behind(pool):
    async with pool.connection() as connection:
        return (await (await connection.execute(LEFT.sql)).fetchall())[0]


@pytest.fixture
async def pool(site):
    async with db.make_pool(site.urls["api"], size_max=1) as made:
        yield made


@pytest.mark.parametrize("one_plan", [False, True])
async def test_nothing_of_a_tenant_stays(pool, one_plan):
    question = NAMES.planned_once() if one_plan else NAMES
    for tenant in (OURS, THEIRS, OURS):
        rows = await db.read(pool, tenant, question)
        assert {row["tenant_id"] for row in rows} == {tenant}
        assert await left_behind(pool) == {"tenant": "", "plan": "force_custom_plan"}
        assert await db.read(pool, 0, question) == []


async def test_an_error_leaves_nothing_either(pool):
    for _ in range(3):
        with pytest.raises(StoreError, match="division by zero"):
            await db.read(pool, OURS, Statement("select 1 / 0 as x", {}))
        assert await left_behind(pool) == {"tenant": "", "plan": "force_custom_plan"}
    assert await db.read(pool, THEIRS, NAMES)


async def test_ten_thousand_reads_and_transactions_on_a_pool_of_four_never_mix(site):
    async with db.make_pool(site.urls["api"], size_max=4) as pool:

        async def ask(number):
            tenant = (0, OURS, THEIRS)[number % 3]
            if number % 2:
                rows = await db.read(pool, tenant, NAMES)
            else:
                async with db.tenant_transaction(pool, tenant) as connection:
                    rows = await (await connection.execute(NAMES.sql)).fetchall()
            assert {row["tenant_id"] for row in rows} == ({tenant} if tenant else set())

        for first in range(0, 10_000, 50):
            await asyncio.gather(*(ask(n) for n in range(first, first + 50)))


PREPARED = Statement("select count(*)::int as n from pg_prepared_statements", {})
SLOW = Statement("select pg_sleep(30)", {})


async def prepared(pool):
    async with pool.connection() as connection:
        return (await (await connection.execute(PREPARED.sql)).fetchall())[0]["n"]


async def test_a_value_may_stand_twice_and_be_null_and_a_percent_is_one(pool):
    asked = "select %(a)s::text as a, %(b)s::int as b, %(a)s || '%%' as c, %(d)s::text as d"
    for _ in range(3):
        rows = await db.read(pool, OURS, Statement(asked, {"b": 7, "a": "x", "d": None}))
        assert rows == [{"a": "x", "b": 7, "c": "x%", "d": None}]
    assert await db.read(pool, OURS, Statement("set constraints all deferred", {})) == []


async def test_what_fails_each_time_is_prepared_once(pool):
    """An error leaves the statement prepared; the next time it is used, not prepared again."""
    bad = Statement("select 1 / %(n)s as x", {"n": 0}).planned_once()
    wrong = Statement("select no_such_column", {}).planned_once()
    for _ in range(20):
        for statement in (bad, wrong):
            with pytest.raises(StoreError):
                await db.read(pool, OURS, statement)
    assert await prepared(pool) == 2, "the tenant's and the one that can be prepared"
    assert await db.read(pool, OURS, Statement(bad.sql, {"n": 1}).planned_once()) == [{"x": 1}]


async def test_prepared_statements_do_not_pile_up(pool):
    for number in range(2 * PREPARED_MAX):
        await db.read(pool, OURS, Statement(f"select {number} as n", {}).planned_once())
    assert await prepared(pool) <= PREPARED_MAX


async def test_who_goes_away_leaves_the_connection_fit_for_the_next(pool):
    task = asyncio.create_task(db.read(pool, OURS, SLOW))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(60):
        assert {row["tenant_id"] for row in await db.read(pool, OURS, NAMES)} == {OURS}
        assert await left_behind(pool) == {"tenant": "", "plan": "force_custom_plan"}


async def test_a_lost_connection_is_an_error_and_the_next_one_is_new(pool, site):
    await db.read(pool, OURS, NAMES)
    end = (
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where usename = 'ohmesh_api' and datname = current_database()"
    )
    task = asyncio.create_task(db.read(pool, OURS, SLOW))
    await asyncio.sleep(0.3)
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        admin.execute(end)
    with pytest.raises(db.Unavailable):
        await task
    assert {row["tenant_id"] for row in await db.read(pool, OURS, NAMES)} == {OURS}
