"""The audit log under many writers at once: one chain, every entry, none twice."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

import pytest

from headend.security import audit
from headend.security.audit import Deed
from headend.store import db

TENANT = 1
CONNECTIONS = 8
"""Of one process of the API. More of them wait longer for the end of a chain."""


async def write(url, writers, lines):
    """So many writers, each so many entries, one after the other."""
    pool = db.make_pool(url, size_max=CONNECTIONS)
    pool.timeout = 60
    await pool.open()

    async def add(deed):
        """Until it is there: what waited for too long was undone, and is asked again."""
        while True:
            with suppress(db.Unavailable):
                async with db.tenant_transaction(pool, TENANT) as connection:
                    return await db.run_async(connection, audit.append(deed))

    async def one(number):
        for line in range(lines):
            await add(Deed(f"writer-{number}", "write", f"/{line}"))

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(writers):
                group.create_task(one(number))
    finally:
        await pool.close()


@pytest.mark.parametrize(
    ("writers", "lines"),
    [
        (64, 3),
        pytest.param(64, 1000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
async def test_many_writers_make_one_chain_without_a_gap(store, writers, lines):
    await write(store.urls["api"], writers, lines)
    with db.connect(store.urls["owner"], name="test", autocommit=True) as owner:
        (head,) = [head for head in db.run(owner, audit.heads()) if head.tenant_id == TENANT]
        begin = time.perf_counter()
        verdict = db.run(owner, audit.verify(head))
        logging.getLogger(__name__).info(
            "%d entries checked in %.2f s", verdict.entries, time.perf_counter() - begin
        )
        found = owner.execute("select who, target from ohmesh.audit_log").fetchall()
    assert (verdict.entries, verdict.fault) == (writers * lines, "")
    assert {(row["who"], row["target"]) for row in found} == {
        (f"writer-{number}", f"/{line}") for number in range(writers) for line in range(lines)
    }
