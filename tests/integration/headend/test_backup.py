"""A back-up is whole, and its restoration gives the same ledger, readings, audit log and rights."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from utility import NOW, Utility

from headend.security import audit
from headend.service.accounts import top_up
from headend.store import db, guard, migrate
from meter_sim.servers.database import wheel_install

TOOLS = str(wheel_install() / "bin")
FACTS = {
    "balances": "select account_id, book, debits_mu, credits_mu from ohmesh.account_balance"
    " order by 1, 2",
    "transfers": "select id, debit, credit, amount_mu from ohmesh.transfer order by id",
    "readings": "select meter_id, channel, ts, value, status from bulk.reading order by 1, 2, 3",
    "keys": "select name, key_sealed from ohmesh.meter order by name",
    "audit": "select seq, hash from ohmesh.audit_log order by seq",
}


def ask(*words):
    """`ohmesh headend ...`: return code, and the last line of what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "ohmesh", "headend", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout or done.stderr).strip().splitlines()[-1]


def facts(admin_url):
    with db.connect(admin_url, name="test", autocommit=True) as admin:
        return {name: admin.execute(sql).fetchall() for name, sql in FACTS.items()}


@pytest.fixture
def config(headend_base):
    return headend_base[1] / "headend.toml"


def test_a_restored_database_is_as_it_was_at_the_back_up(store, database, kit, config, tmp_path):
    utility = Utility(store, kit)
    utility.homes(3)
    store.ask(audit.append(audit.Deed("anna", "test", "/v1/x")))
    store.as_admin_all(
        "insert into ohmesh.channel (name, obis, unit, scaler) values ('c', '1-0:1.8.0', 'Wh', 0)"
    )
    store.as_admin_all(
        "insert into bulk.reading select m.id, 1, t, 7, 0 from ohmesh.meter m,"
        " generate_series(timestamptz '2026-01-01+00', '2026-01-10+00', interval '15 min') t"
    )
    before = facts(store.admin_url)
    assert all(before.values())
    file = tmp_path / "ohmesh.dump"
    words = ("backup", "--admin-url", store.admin_url, "--write", file, "--tools", TOOLS)
    code, said = ask(*words)
    assert code == 0, said
    assert json.loads(said)["bytes"] == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600

    store.ask(top_up(1, "A1", amount_mu=9, idempotency_key="after", now=NOW))
    store.as_admin_all("update bulk.reading set value = 8")
    words = ("restore", file, "--admin-url", database.admin_url, "--database", store.name)
    words = (*words, "--config", config, "--tools", TOOLS)
    code, said = ask(*words)
    assert (code != 0, "already" in said) == (True, True), said
    for connection in store.connections:
        connection.close()
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute(f"drop database {store.name} with (force)")
    code, said = ask(*words)
    assert code == 0, said
    assert json.loads(said)["holds"]["meters"] == 3
    assert facts(store.admin_url) == before
    for role in ("ingest", "worker", "api"):
        with db.connect(store.urls[role], name="test", autocommit=True) as connection:
            guard.check(connection)
            migrate.check(connection)
    assert store.rows("select * from ohmesh.meter", "api") == [], "no tenant, no rows"
    with db.connect(store.urls["owner"], name="test", autocommit=True) as owner:
        [head] = db.run(owner, audit.heads())
        assert db.run(owner, audit.verify(head)) == audit.Verdict(len(before["audit"]))
    store.ask(top_up(1, "A1", amount_mu=9, idempotency_key="after", now=NOW))


@pytest.mark.parametrize("content", [None, b"", b"PGDMP", b"no back-up at all" * 99])
def test_what_is_no_back_up_makes_no_database(store, database, config, tmp_path, content):
    file = tmp_path / "wrong.dump"
    if content is not None:
        file.write_bytes(content)
    words = ("restore", file, "--admin-url", database.admin_url, "--database", "never_made")
    code, said = ask(*words, "--config", config, "--tools", TOOLS)
    assert code != 0
    assert "Traceback" not in said
    assert store.as_admin("select count(*) from pg_database where datname = 'never_made'") == 0
