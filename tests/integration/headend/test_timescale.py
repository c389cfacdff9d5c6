"""The same store on a real TimescaleDB: hypertables, the same counts."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.ops import backup
from headend.store import bootstrap, db, guard, migrate
from meter_sim.servers.database import wheel_install
from ohmesh.model.errors import SchemaMismatch
from ohmesh.wire.uplink import encode_batch

pytestmark = pytest.mark.timescaledb


def test_readings_and_telegrams_are_hypertables_and_exact(hyper, kit):
    tables = hyper.rows(
        "select hypertable_name as name from timescaledb_information.hypertables order by 1",
        "owner",
    )
    assert [table["name"] for table in tables] == [
        "interval",
        "interval_version",
        "reading",
        "telegram",
    ]
    for role in ("ingest", "worker", "api"):
        connection = hyper.connect(role)
        guard.check(connection)
        migrate.check(connection)
    hyper.gateway("gw1")
    hyper.gateway("gw2")
    hyper.meter()
    hyper.meter("P1", key=None)
    numbers = [*range(20), *range(5000, 5020)]  # seven weeks apart: several chunks
    telegrams = [kit.telegram(n) for n in numbers]
    telegrams += [kit.telegram(n, meter="P1", key=None) for n in numbers]
    connection = hyper.connect("ingest")
    writer = Writer(hyper.keystore)
    for gateway in ("gw1", "gw1", "gw2"):
        payload = encode_batch(gateway, 1, 0, telegrams)
        work, _ = sort([Delivery(f"ohmesh/v1/gw/{gateway}/up", payload)], 10**6)
        stored = writer.store(connection, work, now_ms=0)
        assert stored.acks == [(gateway, 1, 80, 0)]
    assert (stored.fallbacks, stored.repeated, stored.taken) == (1, 40, 40)
    assert hyper.counts() == {"readings": 80, "telegrams": 160, "held": 0}
    chunks = hyper.value("select count(*) from timescaledb_information.chunks")
    assert chunks > 2


def test_the_api_reads_hypertables_through_its_views_only(hyper, kit):
    hyper.gateway("gw1")
    hyper.meter()
    payload = encode_batch("gw1", 1, 0, [kit.telegram(n) for n in range(4)])
    work, _ = sort([Delivery("ohmesh/v1/gw/gw1/up", payload)], 10)
    Writer(hyper.keystore).store(hyper.connect("ingest"), work, now_ms=0)
    with db.connect(hyper.urls["api"], name="test") as connection, connection.transaction():
        connection.execute("select set_config('ohmesh.tenant', '1', true)")
        assert connection.execute("select count(*) as n from api.reading").fetchone()["n"] == 4
        connection.execute("select set_config('ohmesh.tenant', '2', true)")
        assert connection.execute("select count(*) as n from api.reading").fetchone()["n"] == 0
    chunk = hyper.value_as_owner("select show_chunks('bulk.reading')::text limit 1")
    for table in ("bulk.reading", chunk):
        with pytest.raises(Exception, match="permission denied"):
            hyper.rows(f"select * from {table}", "api")


def test_bootstrap_is_safe_to_repeat(hyper, timescale, tmp_path):
    again = bootstrap.bootstrap(
        timescale.admin_url,
        database="ohmesh",
        file=tmp_path / "headend.toml",
        broker_url="mqtt://127.0.0.1:1883",
        api_port=8080,
    )
    assert again.migrated == migrate.Migrated((), "apache")
    assert again.urls == hyper.urls


def test_the_extension_may_come_later_than_the_data(hyper, timescale):
    """The roles are there already; this database begins as plain PostgreSQL."""

    def at(url):
        return db.connect(urlsplit(url)._replace(path="/late").geturl(), name="t", autocommit=True)

    with db.connect(timescale.admin_url, name="test", autocommit=True) as admin:
        admin.execute("create database late owner ohmesh_owner")
    try:
        with at(hyper.urls["owner"]) as owner:
            assert migrate.migrate(owner).edition is None
            owner.execute(
                "insert into bulk.reading"
                " select 1, 1, '2026-01-01'::timestamptz + n * interval '1 day', n, 0"
                " from generate_series(1, 60) n"
            )
        with at(timescale.admin_url) as admin:
            admin.execute("create extension timescaledb")
        with at(hyper.urls["owner"]) as owner:
            with pytest.raises(SchemaMismatch, match="ohmesh headend migrate"):
                migrate.check(owner)
            assert migrate.migrate(owner).applied == (
                "timescale/0000_unpartition.sql",
                "timescale/0001_hypertables.sql",
                "timescale/0002_intervals.sql",
                "timescale/0003_retention.sql",
            )
            migrate.check(owner)
            row = owner.execute(
                "select count(*) as n, sum(value) as s from bulk.reading"
            ).fetchone()
        assert (row["n"], row["s"]) == (60, 1830)
    finally:
        with db.connect(timescale.admin_url, name="test", autocommit=True) as admin:
            admin.execute("drop database late with (force)")


FACTS = {
    "readings": "select meter_id, channel, ts, value, status from bulk.reading order by 1, 2, 3",
    "chunks": "select hypertable_name as name, count(*) as n from timescaledb_information.chunks"
    " group by 1 order by 1",
}


def test_a_back_up_of_hypertables_is_restored_whole(hyper, timescale, tmp_path):
    """Both steps of TimescaleDB's own way are run: chunks are chunks again, and take new rows."""
    hyper.meter()
    _as_admin(
        timescale,
        "insert into ohmesh.channel (name, obis, unit, scaler) values ('c', '1-0:1.8.0', 'Wh', 0)",
    )
    _as_admin(
        timescale,
        "insert into bulk.reading select m.id, c.id, t, 7, 0 from ohmesh.meter m, ohmesh.channel c,"
        " generate_series(timestamptz '2026-01-01+00', '2026-04-01+00', interval '1 hour') t",
    )
    before = {name: hyper.rows(sql, "owner") for name, sql in FACTS.items()}
    assert len(before["readings"]) == 90 * 24 + 1
    file, tools = tmp_path / "ohmesh.dump", wheel_install() / "bin"
    backup.back_up(_admin_url(timescale), file, tools=tools)
    with db.connect(timescale.admin_url, name="test", autocommit=True) as admin:
        admin.execute("drop database ohmesh with (force)")
    held = backup.restore(
        file, timescale.admin_url, "ohmesh", tmp_path / "headend.toml", tools=tools
    )
    assert (held["meters"], held["readings"]) == (1, len(before["readings"]))
    assert {name: hyper.rows(sql, "owner") for name, sql in FACTS.items()} == before
    _as_admin(
        timescale,
        "insert into bulk.reading select meter_id, channel, now(), 8, 0 from bulk.reading limit 1",
    )
    assert len(hyper.rows(FACTS["readings"], "owner")) == len(before["readings"]) + 1
    assert hyper.rows("select * from ohmesh.meter", "api") == [], "no tenant, no rows"


def _admin_url(timescale):
    return urlsplit(timescale.admin_url)._replace(path="/ohmesh").geturl()


def _as_admin(timescale, sql):
    with db.connect(_admin_url(timescale), name="test", autocommit=True) as admin:
        admin.execute(sql)
