"""Who may do what in the database, and what programs refuse to work on."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from headend.service.accounts import add_tariff, open_account, top_up
from headend.store import db, guard, migrate
from ohmesh.model.errors import ConfigError, SchemaMismatch


def in_database(url, name):
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@pytest.fixture
def two_tenants(store):
    """Tenant 1 and another, each with a meter, a gateway, an account and a transfer."""
    other = store.value_as_owner("insert into ohmesh.tenant (name) values ('other') returning id")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for tenant, suffix in ((1, "a"), (other, "b")):
        store.gateway(f"gw-{suffix}", tenant)
        store.meter(f"M-{suffix}", tenant=tenant)
        store.ask(
            add_tariff(tenant, "flat", currency="EUR", price_mu_per_kwh=1, valid_from=now), tenant
        )
        store.ask(open_account(tenant, "home", meter=f"M-{suffix}", tariff="flat", now=now), tenant)
        store.ask(top_up(tenant, "home", amount_mu=5, idempotency_key="k", now=now), tenant)
    store.rows(
        "insert into bulk.reading select id, 1, now(), 1, 0 from ohmesh.meter returning 1", "ingest"
    )
    return 1, other


def seen(store, tenant, sql):
    with db.connect(store.urls["api"], name="test") as connection, connection.transaction():
        if tenant is not None:
            connection.execute("select set_config('ohmesh.tenant', %s, true)", (str(tenant),))
        return connection.execute(sql).fetchall()


def test_the_api_role_sees_one_tenant_and_nothing_without_one(store, two_tenants):
    for entity in ("meter", "gateway", "account", "transfer", "tariff"):
        sql = f"select tenant_id from ohmesh.{entity}"
        assert seen(store, None, sql) == []
        for tenant in two_tenants:
            assert {row["tenant_id"] for row in seen(store, tenant, sql)} == {tenant}
    for entity in ("account_balance", "supply", "rating_state", "meter_status"):
        mine, others = (len(seen(store, t, f"select 1 from ohmesh.{entity}")) for t in two_tenants)
        assert mine == others > 0
        assert seen(store, None, f"select 1 from ohmesh.{entity}") == []
    for tenant in two_tenants:
        assert len(seen(store, tenant, "select * from api.reading")) == 1
    assert seen(store, None, "select * from api.reading") == []


def test_readings_of_many_meters_are_those_of_the_own_ones(store, two_tenants):
    everybody = [row["id"] for row in store.rows("select id from ohmesh.meter order by id")]
    assert len(everybody) == 2
    packed = (
        f"select meter_id from api.readings_packed(array{everybody}, array[1],"
        " '-infinity', 'infinity')"
    )
    assert seen(store, None, packed) == []
    for tenant, meter in zip(two_tenants, everybody, strict=True):
        assert [row["meter_id"] for row in seen(store, tenant, packed)] == [meter]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from bulk.reading",
        "select * from bulk.telegram",
        "select * from bulk.telegram_quarantine",
        "update ohmesh.transfer set amount_mu = 1",
        "delete from ohmesh.transfer",
        "delete from ohmesh.meter",
        "update ohmesh.meter_status set relay = 1",
        "create table ohmesh.mine (x int)",
    ],
)
def test_the_api_role_may_not(store, sql):
    with pytest.raises(Exception, match="permission denied"):
        store.rows(sql, "api")


@pytest.mark.parametrize("role", ["ingest", "worker", "api"])
@pytest.mark.parametrize(
    "sql",
    [
        "update ohmesh.transfer set amount_mu = 1",
        "delete from ohmesh.transfer",
        "truncate ohmesh.transfer",
    ],
)
def test_nobody_rewrites_the_ledger(store, role, sql):
    with pytest.raises(Exception, match="permission denied"):
        store.rows(sql, role)


def test_ingest_has_no_access_to_money(store):
    for table in ("transfer", "account_balance", "account", "tariff", "supply", "rating_state"):
        with pytest.raises(Exception, match="permission denied"):
            store.rows(f"select * from ohmesh.{table}", "ingest")


def test_a_tenant_cannot_write_for_another(store, two_tenants):
    mine, other = two_tenants
    with pytest.raises(Exception, match="row-level security"):
        seen(
            store,
            mine,
            f"insert into ohmesh.gateway (tenant_id, name) values ({other}, 'x') returning id",
        )


def test_every_entity_table_has_row_level_security_with_force(store):
    rows = store.rows(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity as forced from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'ohmesh'"
        " and c.relkind in ('r', 'p')",
        "owner",
    )
    forced = {row["relname"] for row in rows if row["forced"]}
    assert {row["relname"] for row in rows} - forced == {"tenant", "channel"}
    assert {"meter", "account", "transfer", "command", "audit_log", "map_origin"} <= forced


def test_the_api_has_no_grant_on_bulk_data(store):
    rows = store.rows(
        "select c.oid::regclass::text as name from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'bulk'"
        " and has_table_privilege('ohmesh_api', c.oid, 'select') and c.relkind in ('r', 'p', 'v')",
        "owner",
    )
    assert rows == []


def test_programs_refuse_superuser_bypassrls_and_owner(store, database):
    admin_url = in_database(database.admin_url, store.name)
    with db.connect(admin_url, name="test", autocommit=True) as admin:
        admin.execute("drop role if exists mighty")
        admin.execute("create role mighty login bypassrls password 'p'")
        host = urlsplit(admin_url).netloc.rpartition("@")[2]
        admin.execute(f"grant connect on database {store.name} to mighty")
        urls = {
            "superuser": admin_url,
            "BYPASSRLS": f"postgresql://mighty:p@{host}/{store.name}",
            "owns": store.urls["owner"],
        }
        for fault, url in urls.items():
            with (
                db.connect(url, name="test", autocommit=True) as connection,
                pytest.raises(ConfigError, match=fault),
            ):
                guard.check(connection)
        admin.execute(f"revoke all on database {store.name} from mighty")
        admin.execute("drop role mighty")
    for role in ("ingest", "worker", "api"):
        guard.check(store.connect(role))


def test_a_role_that_owns_through_membership_is_refused(store, database):
    admin_url = in_database(database.admin_url, store.name)
    with db.connect(admin_url, name="test", autocommit=True) as admin:
        admin.execute("grant ohmesh_owner to ohmesh_worker")
        try:
            with pytest.raises(ConfigError, match="owns"):
                guard.check(store.connect("worker"))
        finally:
            admin.execute("revoke ohmesh_owner from ohmesh_worker")


@pytest.mark.parametrize("change", ["insert", "alter"])
def test_another_schema_is_refused(store, change):
    sql = {
        "insert": "insert into ohmesh_meta.migration values ('migrations/9999_x.sql', 'y')"
        " returning 1",
        "alter": "update ohmesh_meta.migration set sha256 = 'other' returning 1",
    }[change]
    store.rows(sql, "owner")
    with pytest.raises(SchemaMismatch):
        migrate.check(store.connect("ingest"))
    with pytest.raises(SchemaMismatch):
        migrate.migrate(store.connect("owner"))


def test_an_empty_database_says_what_to_do(store, database):
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute("drop database if exists empty_one")
        admin.execute("create database empty_one")
        url = in_database(store.urls["ingest"], "empty_one")
        with (
            db.connect(url, name="test", autocommit=True) as connection,
            pytest.raises(SchemaMismatch, match="ohmesh headend migrate"),
        ):
            migrate.check(connection)
        admin.execute("drop database empty_one")


def test_migrating_twice_applies_nothing(store):
    assert migrate.migrate(store.connect("owner")).applied == ()
