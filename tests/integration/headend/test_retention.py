"""Time partitions, and retention that never takes what billing still needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headend.service.accounts import add_tariff, open_account
from headend.store import db, migrate
from headend.store.plan import Statement
from headend.store.retention import Keep, step
from ohmesh.model.errors import SchemaMismatch

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
OLD = NOW - timedelta(days=900)


@pytest.fixture
def ingest(any_store):
    return any_store.connect("ingest")


def put(ingest, *times, meter=1):
    for at in times:
        ingest.execute("insert into bulk.reading values (%s, 1, %s, 5, 0)", (meter, at))


def times(store):
    return [row["ts"] for row in store.rows("select ts from bulk.reading order by ts")]


def keep(store, days, now=NOW):
    worker = store.connect("worker")
    with db.transaction(worker):
        return db.run(worker, step(Keep(readings_days=days), now))


def bill(store, until):
    store.rows(
        "insert into ohmesh.billing_mark values (1, %(until)s, 'desk', now())"
        " on conflict (tenant_id) do update set billed_to = excluded.billed_to returning 1",
        "owner",
        until=until,
    )


def test_nothing_is_deleted_without_a_billing_mark(any_store, ingest):
    meter = any_store.meter()
    put(ingest, OLD, NOW, meter=meter)
    assert keep(any_store, 100) == {"reading": 0}
    assert times(any_store) == [OLD, NOW]


def test_what_is_billed_and_old_goes_and_nothing_else(any_store, ingest):
    meter = any_store.meter()
    at = [NOW - timedelta(days=days) for days in (900, 500, 300, 5, -40)]
    put(ingest, *at, meter=meter)
    bill(any_store, NOW - timedelta(days=400))
    assert keep(any_store, 0) == {}
    assert keep(any_store, 200) == {"reading": 2}
    assert times(any_store) == at[2:]
    bill(any_store, NOW)
    assert keep(any_store, 200) == {"reading": 1}
    assert keep(any_store, 200) == {"reading": 0}
    assert times(any_store) == at[3:]


def test_a_prepaid_account_that_is_not_rated_holds_its_readings(store):
    meter = store.meter()
    put(store.connect("ingest"), OLD, meter=meter)
    bill(store, NOW)
    tariff = add_tariff(1, "flat", currency="EUR", price_mu_per_kwh=1, valid_from=OLD)
    store.ask(tariff)
    store.ask(open_account(1, "home", meter="M1", tariff="flat", now=OLD))
    owner = store.connect("owner")
    owner.execute("update ohmesh.rating_state set rated_to = %s", (OLD,))
    assert keep(store, 10) == {"reading": 0}
    owner.execute("update ohmesh.rating_state set rated_to = %s", (NOW,))
    assert keep(store, 10) == {"reading": 1}


def test_months_are_made_as_they_come_near_and_dropped_whole(store):
    ingest = store.connect("ingest")
    meter = store.meter()
    later = [NOW + timedelta(days=days) for days in (1, 40, 80, 400)]
    put(ingest, *later, meter=meter)
    worker = store.connect("worker")

    def parts():
        return {
            row["name"]
            for row in store.rows(
                "select inhrelid::regclass::text as name from pg_inherits"
                " where inhparent = 'bulk.reading'::regclass"
            )
        }

    assert parts() == {"bulk.reading_past", "bulk.reading_beyond"}
    with db.transaction(worker):
        db.run(worker, step(Keep(), NOW))
    assert f"bulk.reading_{NOW:%Y_%m}" in parts()
    assert len(parts()) == 4
    with db.transaction(worker):
        db.run(worker, step(Keep(), NOW + timedelta(days=90)))
    assert times(store) == later
    assert len(parts()) in {6, 7}
    bill(store, NOW + timedelta(days=999))
    gone = keep(store, 10, now=NOW + timedelta(days=130))
    assert gone == {"reading": 3}
    assert f"bulk.reading_{NOW:%Y_%m}" not in parts()
    assert times(store) == later[3:]


def test_the_views_and_rights_are_those_of_before(any_store, ingest):
    meter = any_store.meter()
    put(ingest, NOW, meter=meter)
    found = any_store.ask(_read())
    assert [row["meter_id"] for row in found] == [meter]
    for role in ("api", "worker"):
        with pytest.raises(Exception, match="permission denied"):
            any_store.rows("delete from bulk.reading returning 1", role)
    with pytest.raises(Exception, match="permission denied"):
        any_store.rows("select bulk.retire('reading', now())", "api")


def _read():
    return (yield Statement("select meter_id from api.reading", {}))


@pytest.mark.parametrize(("version", "good"), [("2.29.1", False), ("2.29.2", True), ("3.0", True)])
def test_a_columnstore_that_loses_rows_is_refused(version, good):
    if good:
        migrate.check_columnstore(version)
    else:
        with pytest.raises(SchemaMismatch, match=r"2\.29\.2"):
            migrate.check_columnstore(version)
