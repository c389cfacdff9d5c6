"""The audit log under many writers at once: one chain, every entry, none twice."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from headend.security import audit
from headend.security.audit import Deed
from headend.store import db

TENANT = 1
CONNECTIONS = 8
"""Of one process of the API. More of them wait longer for the end of a chain."""
BEGIN = "begin; select set_config('ohmesh.tenant', '1', true)"
WAITING = (
    "select count(*) from pg_stat_activity"
    " where wait_event_type = 'Lock' and datname = current_database()"
)
ROUNDS = 10
MANY = 1_000_000
VERIFIED_S_MAX = 60


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


def test_who_waits_for_the_chain_comes_before_who_has_just_written(store, until):
    def write(who):
        return f"select ohmesh.audit('{who}', 'write', '/', '')"

    hasty, patient = store.connect("api"), store.connect("api")
    for _ in range(ROUNDS):
        hasty.execute(f"{BEGIN}; {write('hasty')}")
        waiter = threading.Thread(
            target=patient.execute, args=(f"{BEGIN}; {write('patient')}; commit",)
        )
        waiter.start()
        until(lambda: store.as_admin(WAITING) == 1)
        hasty.execute(f"commit; {BEGIN}; {write('hasty')}; commit")
        waiter.join()
    found = store.rows("select who from ohmesh.audit_log order by seq", "owner")
    assert [row["who"] for row in found] == ["hasty", "patient", "hasty"] * ROUNDS


def chain(first, count, prev):
    """So many entries as the database's own function would write them, and the last one's hash."""
    start, rows = datetime(2026, 1, 1, tzinfo=UTC), []
    for seq in range(first, first + count):
        at = start + timedelta(milliseconds=seq)
        at_us = int(start.timestamp()) * 10**6 + seq * 1000
        fields = {"who": f"w{seq % 64}", "action": "write", "target": f"/v1/{seq}", "detail": ""}
        entry = audit.entry_hash(TENANT, {"seq": seq, "at_us": at_us, "prev": prev, **fields})
        rows.append((TENANT, seq, at, *fields.values(), prev, entry))
        prev = entry
    return rows, prev


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_million_entries_are_verified_within_a_minute(store, capsys):
    ended = b""
    with db.connect(store.admin_url, name="test", autocommit=True) as admin:
        admin.execute("set session_replication_role = replica")
        for first in range(1, MANY, 50_000):
            rows, ended = chain(first, 50_000, ended)
            with admin.cursor().copy("copy ohmesh.audit_log from stdin") as target:
                for row in rows:
                    target.write_row(row)
        admin.execute("insert into ohmesh.audit_head values (%s, %s, %s)", (TENANT, MANY, ended))
    with db.connect(store.urls["owner"], name="test", autocommit=True) as owner:
        (head,) = [head for head in db.run(owner, audit.heads()) if head.tenant_id == TENANT]
        begin, cpu_s = time.perf_counter(), time.process_time()
        verdict = db.run(owner, audit.verify(head))
        spent = {"s": time.perf_counter() - begin, "own_cpu_s": time.process_time() - cpu_s}
        assert verdict == audit.Verdict(MANY)
        with db.connect(store.admin_url, name="test", autocommit=True) as admin:
            admin.execute("set session_replication_role = replica")
            admin.execute("update ohmesh.audit_log set who = 'x' where seq = %s", (MANY - 7,))
        assert db.run(owner, audit.verify(head)).fault == f"entry {MANY - 7} was changed"
    with capsys.disabled():
        sys.stdout.write(f"{MANY} entries verified: {spent}\n")
    assert spent["own_cpu_s"] <= VERIFIED_S_MAX
