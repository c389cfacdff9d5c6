"""A database of the first release with money in it comes over to the ledger, to the last mu."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from headend.prepayment.reconciliation import reconcile
from headend.prepayment.supplying import supply_of
from headend.service.accounts import balance, top_up
from headend.store import db, migrate
from meter_sim.servers.process import spawn, stop, wait_until
from ohmesh.model.errors import StoreError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FIRST_RELEASE = 2
ENDED = (
    "select count(pg_terminate_backend(pid)) from pg_stat_activity"
    " where usename = 'ohmesh_ingest' and datname = current_database()"
)
OLD = """
insert into ohmesh.meter (tenant_id, name, address, profile, interval_s, key_sealed)
    values (1, 'M1', 'M1', 'nl_dsmr', 900, 'k'), (1, 'M2', 'M2', 'nl_dsmr', 900, 'k');
insert into ohmesh.tariff (tenant_id, name, currency, price_mu_per_kwh)
    values (1, 'flat', 'EUR', 300);
insert into ohmesh.account (tenant_id, name, meter_id, tariff_id)
    values (1, 'anna', 1, 1), (1, 'bert', 2, 1);
insert into ohmesh.transfer (id, tenant_id, account_id, debit, credit, amount_mu, code, value_at,
                             idempotency_key, ref)
    values (gen_random_uuid(), 1, 1, 'cash', 'wallet', 700, 10, now(), 'topup:1:k1',
            '{"wallet_mu": 700}'),
           (gen_random_uuid(), 1, 1, 'wallet', 'rev_energy', 300, 20, now(), 'energy:1:x', '{}');
insert into ohmesh.account_balance values (1, 'wallet', 300, 700), (1, 'cash', 700, 0),
    (1, 'rev_energy', 0, 300);
insert into ohmesh.rating_state
    values (1, '2026-01-01', 5000, 4, 300000, 300), (2, null, null, -1, 0, 0);
insert into ohmesh.supply (account_id, desired, decision_seq) values (1, 1, 2), (2, 0, 1);
update ohmesh.meter_status set relay = 0 where meter_id = 2;
"""


@pytest.fixture
def old(database, headend_base):
    """A database with the first release's schema, and a role's address in it."""
    urls, _ = headend_base
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute("drop database if exists upgraded with (force)")
        admin.execute("create database upgraded owner ohmesh_owner")
    yield lambda role: urlsplit(urls[role])._replace(path="/upgraded").geturl()
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute("drop database upgraded with (force)")


def test_money_and_supply_come_over(old, monkeypatch):
    everything = migrate.scripts(migrate.CORE)
    with db.connect(old("owner"), name="test", autocommit=True) as owner:
        with monkeypatch.context() as first:
            old_scripts = {migrate.CORE: everything[:FIRST_RELEASE]}
            first.setattr(migrate, "scripts", lambda folder: old_scripts.get(folder, []))
            migrate.migrate(owner)
        for statement in OLD.split(";"):
            if statement.strip():
                owner.execute(statement)
        migrate.migrate(owner)
        kept = owner.execute("select kept::text from ohmesh.supply order by account_id").fetchall()
    supplies = [supply_of(row["kept"]) for row in kept]
    assert [(s.state, s.desired_on, s.decision_seq) for s in supplies] == [
        ("ACTIVE", True, 2),
        ("OFF", False, 1),
    ]
    with (
        db.connect(old("worker"), name="test") as worker,
        worker.transaction(),
    ):
        assert db.run(worker, reconcile(1, NOW.date(), NOW)), "the ledger adds up"
    with db.connect(old("api"), name="test") as api, api.transaction():
        api.execute("select set_config('ohmesh.tenant', '1', true)")
        assert db.run(api, balance(1, "anna", NOW)).posted_mu == 400
        again = db.run(api, top_up(1, "anna", amount_mu=700, idempotency_key="k1", now=NOW))
        assert (again.replayed, again.wallet_mu) == (True, 700)
        more = db.run(api, top_up(1, "anna", amount_mu=5, idempotency_key="k2", now=NOW))
        assert more.wallet_mu == 405


def later(monkeypatch, *texts):
    """Migrations of a release that is still to come."""
    scripts = migrate.scripts
    more = [
        migrate.Script(f"migrations/900{n}_later.sql", text, str(n)) for n, text in enumerate(texts)
    ]
    monkeypatch.setattr(
        migrate,
        "scripts",
        lambda folder: [*scripts(folder), *(more if folder == migrate.CORE else [])],
    )
    return [script.name for script in more]


def test_an_upgrade_under_traffic_loses_and_doubles_nothing(store, shared_broker, kit, monkeypatch):
    """Each table that ingest writes is locked as hard as can be while it is written."""
    store.gateway("gwu")
    store.meter()
    telegrams = [kit.telegram(n) for n in range(900)]
    with kit.GatewaySide(shared_broker.url, "gwu") as gateway:
        with kit.running_ingest(store, shared_broker.url, client_id="before"):
            gateway.drain(telegrams[:100])
            more = threading.Thread(
                target=gateway.drain,
                args=(telegrams[:600],),
                kwargs={"batch": 5, "pause_s": 0.005, "limit_s": 180},
            )
            more.start()
            with monkeypatch.context() as released:
                names = later(
                    released,
                    "alter table ohmesh.meter add later int; update ohmesh.meter set later = 1",
                    "alter table ohmesh.meter_status add later int not null default 0",
                    "alter table bulk.telegram add later text",
                    "create index on ohmesh.gateway_progress (epoch)",
                    "create index on bulk.touched (meter_id)",
                )
                owner = store.connect("owner")
                assert list(migrate.migrate(owner).applied) == names
            more.join()
        assert later(monkeypatch, *[""] * len(names)) == names
        with kit.running_ingest(store, shared_broker.url, client_id="after"):
            gateway.drain(telegrams, limit_s=180)
    assert store.counts() == {"readings": 900, "telegrams": 900, "held": 0}


def test_two_releases_side_by_side_until_the_older_one_connects_anew(
    store, broker, configured, kit, monkeypatch, tmp_path, until
):
    """The older ingest works on in the newer schema; where it would begin anew it ends in words."""
    store.gateway()
    store.meter()
    telegrams = [kit.telegram(n) for n in range(600)]
    argv = [sys.executable, "-m", "ohmesh", "headend", "ingest", "--config", configured]
    of_two = {
        "OHMESH_HEADEND__BROKER__SHARED": "true",
        "OHMESH_HEADEND__BROKER__CLIENT_ID": "older",
    }
    said = tmp_path / "older.log"
    with said.open("wb") as log:
        older = spawn(argv, log=log, env=of_two)
    try:
        wait_until(lambda: b"connected" in said.read_bytes(), older, said)
        with kit.GatewaySide(broker.url) as gateway:
            gateway.drain(telegrams[:100], batch=5)
            names = later(monkeypatch, "alter table ohmesh.meter_status add later int default 0")
            assert list(migrate.migrate(store.connect("owner")).applied) == names
            gateway.drain(telegrams[:200], through=100, batch=5, limit_s=180)
            assert store.counts()["readings"] == 200, "the older one alone, after the migration"
            with kit.running_ingest(store, broker.url, client_id="newer", shared=True):
                gateway.drain(telegrams[:500], through=200, batch=5, limit_s=180)
                store.as_admin(ENDED)
                until(lambda: older.poll() is not None)
                gateway.drain(telegrams, through=500, batch=5, limit_s=180)
    finally:
        code = stop(older)
    assert code not in (0, None)
    assert "the database is newer than this program" in said.read_text()
    assert store.counts() == {"readings": 600, "telegrams": 600, "held": 0}


def test_a_migration_waits_for_who_is_in_its_way(store, monkeypatch):
    names = later(monkeypatch, "alter table ohmesh.meter_status add later int")
    holder = store.connect("ingest", autocommit=False)
    holder.execute("update ohmesh.meter_status set last_seen = now()")
    waits = []
    monkeypatch.setattr(migrate.time, "sleep", lambda _: (waits.append(1), holder.rollback()))
    owner = store.connect("owner")
    owner.execute("set lock_timeout = '50ms'")
    assert list(migrate.migrate(owner).applied) == names
    assert len(waits) == 1


def test_a_migration_that_is_wrong_is_tried_once(store, monkeypatch):
    later(monkeypatch, "select 1/0")
    monkeypatch.setattr(migrate.time, "sleep", lambda _: pytest.fail("waits for nothing"))
    with pytest.raises(StoreError, match="division by zero"):
        migrate.migrate(store.connect("owner"))
