"""A meter's data is forgotten: all of it, nobody else's, with a line in the audit log."""

from __future__ import annotations

import json

import pytest

from headend.ops.erase import erase
from headend.security import audit
from headend.service.fleet import NewMeter, register_meter
from headend.store import db
from ohmesh.model.errors import Conflict, ModelError


@pytest.fixture
def owner(database, headend_base):
    urls, _ = headend_base
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute("create database erase_site template headend_base owner ohmesh_owner")
    with db.connect(
        urls["owner"].replace("/headend_base", "/erase_site"), name="test", autocommit=True
    ) as one:
        yield one
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute("drop database erase_site")


def fill(owner):
    with db.transaction(owner):
        for name in ("E1", "E2"):
            db.run(owner, register_meter(1, NewMeter(name, name, "nl_dsmr", 900)))
    for sql in (
        "insert into ohmesh.channel (name, obis, unit, scaler) values ('c', '1', 'Wh', 0)",
        (
            "insert into bulk.reading select m.id, c.id, '2026-02-01'::timestamptz + n * interval"
            " '15 min', n, 0 from ohmesh.meter m, ohmesh.channel c, generate_series(1, 50) n"
        ),
        (
            "insert into ohmesh.event (tenant_id, meter_id, at, kind)"
            " select 1, id, now(), 'tamper' from ohmesh.meter"
        ),
        (
            "insert into bulk.touched (meter_id, from_ts, to_ts) select id, now(), now()"
            " from ohmesh.meter"
        ),
    ):
        owner.execute(sql)


def counts(owner):
    return owner.execute(
        "select m.name, (select count(*) from bulk.reading r where r.meter_id = m.id) as readings,"
        " (select count(*) from ohmesh.event e where e.meter_id = m.id) as events,"
        " (select count(*) from bulk.touched t where t.meter_id = m.id) as touched"
        " from ohmesh.meter m order by 1"
    ).fetchall()


def test_one_meter_is_forgotten_and_no_other(owner):
    fill(owner)
    full = {"readings": 50, "events": 1, "touched": 1}
    with pytest.raises(Conflict, match="nobody billed"):
        erase(owner, "E1", who="anna")
    assert counts(owner) == [{"name": "E1", **full}, {"name": "E2", **full}]
    owner.execute(
        "insert into ohmesh.billing_mark (tenant_id, billed_to, set_by, set_at)"
        " values (1, '2026-03-01', 'anna', now())"
    )
    erased = erase(owner, "E1", who="anna")
    assert (erased["bulk.reading"], erased["ohmesh.event"], erased["bulk.touched"]) == (50, 1, 1)
    assert sum(erased.values()) == 52
    assert counts(owner) == [
        {"name": "E1", "readings": 0, "events": 0, "touched": 0},
        {"name": "E2", **full},
    ]
    assert sum(erase(owner, "E2", who="anna", force=True).values()) == 52
    lines = owner.execute("select who, action, target, detail from ohmesh.audit_log").fetchall()
    assert [(one["who"], one["action"], one["target"]) for one in lines] == [
        ("anna", "erase_meter", "E1"),
        ("anna", "erase_meter", "E2"),
    ]
    assert json.loads(lines[0]["detail"]) == {"force": False, "rows": 52}
    for head in db.run(owner, audit.heads()):
        assert not db.run(owner, audit.verify(head, None)).fault
    with pytest.raises(ModelError, match="no meter"):
        erase(owner, "absent", who="anna")
