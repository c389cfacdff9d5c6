"""A read in one message sees its tenant and leaves nothing of it on the pooled connection."""

from __future__ import annotations

import asyncio

import pytest
from api_site import OURS, THEIRS

from headend.store import db
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


async def test_a_thousand_reads_and_transactions_on_a_pool_of_four_never_mix(site):
    async with db.make_pool(site.urls["api"], size_max=4) as pool:

        async def ask(number):
            tenant = (0, OURS, THEIRS)[number % 3]
            if number % 2:
                rows = await db.read(pool, tenant, NAMES)
            else:
                async with db.tenant_transaction(pool, tenant) as connection:
                    rows = await (await connection.execute(NAMES.sql)).fetchall()
            assert {row["tenant_id"] for row in rows} == ({tenant} if tenant else set())

        for first in range(0, 1000, 50):
            await asyncio.gather(*(ask(n) for n in range(first, first + 50)))
