"""Raw readings in the database become intervals, versions, exceptions and roll-ups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.store import db
from headend.vee import pump
from headend.vee.model import Check, Method
from headend.vee.pump import Validator, micros
from headend.vee.store import SQL
from ohmesh.wire.uplink import encode_batch

STEP = timedelta(minutes=15)
START = datetime(2026, 1, 1, tzinfo=UTC)
CHANNEL = "el.energy.import"


class Vee:
    """A meter's registers into the store, and validation over them."""

    def __init__(self, store, now=None):
        self.store = store
        self.meter = store.meter(key=None)
        self.ingest = store.connect("ingest")
        self.worker = store.connect("worker")
        self.channel = self._channel()
        self.now = now or START + timedelta(days=400)
        self.validator = Validator(url=store.urls["worker"], now=lambda: self.now)

    def _channel(self):
        return self.store.rows(
            "insert into ohmesh.channel (name, obis, unit, scaler)"
            " values ('el.energy.import', '1-0:1.8.0', 'Wh', 0) returning id",
            "ingest",
        )[0]["id"]

    def read(self, registers, *, meter=None, status=0):
        """Registers by slot: the reading at START + slot quarter-hours."""
        times = [START + slot * STEP for slot in registers]
        self.ingest.execute(
            "insert into bulk.reading select %s, %s, t, v, %s"
            " from unnest(%s::timestamptz[], %s::bigint[]) u(t, v) on conflict do nothing",
            (meter or self.meter, self.channel, status, times, list(registers.values())),
        )
        self.ingest.execute(
            "insert into bulk.touched (meter_id, from_ts, to_ts)"
            " select %s, min(t), max(t) from unnest(%s::timestamptz[]) t group by t::date",
            (meter or self.meter, times),
        )

    def validate(self):
        while self.validator.step(self.worker):
            pass

    def intervals(self, meter=None):
        rows = self.store.rows(
            "select * from bulk.interval where meter_id = %(meter)s order by channel, ts",
            meter=meter or self.meter,
        )
        return {round((row["ts"] - START) / STEP): row for row in rows}

    def values(self):
        return {slot: row["value"] for slot, row in self.intervals().items()}

    def open(self):
        rows = self.store.rows(
            "select rule, from_ts, to_ts from bulk.vee_exception where state = 'open' order by id"
        )
        return [
            (Check(r["rule"]), (r["from_ts"] - START) / STEP, (r["to_ts"] - START) / STEP)
            for r in rows
        ]


@pytest.fixture
def vee(store):
    return Vee(store)


@pytest.fixture
def any_vee(any_store):
    return Vee(any_store)


def test_readings_become_intervals_and_roll_ups(vee):
    vee.read({slot: 100 * slot for slot in range(97)})
    vee.validate()
    assert vee.values() == dict.fromkeys(range(1, 97), 100)
    assert {r["version"] for r in vee.intervals().values()} == {1}
    assert vee.store.value("select count(*) from bulk.touched") == 0
    hours = vee.store.rows("select hour, total, intervals from bulk.rollup_hour order by hour")
    assert len(hours) == 24
    assert {(h["total"], h["intervals"]) for h in hours} == {(400, 4)}
    assert hours[0]["hour"] == START
    day = vee.store.rows("select day, total, intervals, measured, most from bulk.rollup_day")
    assert [tuple(row.values()) for row in day] == [(START.date(), 9600, 96, 96, 100)]
    month = vee.store.rows("select total from bulk.rollup_month")
    assert month == [{"total": 9600}]


def test_validating_again_changes_nothing(vee):
    vee.read({slot: 7 * slot for slot in range(40)})
    vee.validate()
    before = vee.intervals()
    vee.read({slot: 7 * slot for slot in range(40)})
    vee.validate()
    assert vee.intervals() == before
    assert vee.store.value("select count(*) from bulk.interval_version") == 0


def test_any_order_of_arrival_gives_the_same_intervals(any_vee):
    vee = any_vee
    slots = [5, 0, 9, 1, 8, 2, 7, 3, 6, 4]
    for slot in slots:
        vee.read({slot: slot * slot})
        vee.validate()
    assert vee.values() == {slot: 2 * slot - 1 for slot in range(1, 10)}
    assert {row["method"] for row in vee.intervals().values()} == {Method.DIFFERENCE}
    assert vee.open() == []
    versions = vee.store.value("select max(version) from bulk.interval")
    assert versions > 1  # estimates stood there meanwhile, and are kept


def test_late_data_weeks_old_replaces_estimates_and_rolls_again(any_vee):
    vee = any_vee
    vee.read({0: 0, 1: 10, 2000: 19_990 + 2000, 2001: 22_000})
    vee.validate()
    assert len(vee.intervals()) == 2001
    assert vee.open() == [(Check.GAP, 1, 2000)]
    assert sum(vee.values().values()) == 22_000
    vee.read({slot: 11 * slot for slot in range(2, 2000)})
    vee.validate()
    assert vee.open() == []
    assert sum(vee.values().values()) == 22_000
    assert vee.values()[1000] == 11
    total = vee.store.value("select sum(total)::int from bulk.rollup_day")
    assert total == vee.store.value("select sum(total)::int from bulk.rollup_month") == 22_000
    kept = vee.store.value("select count(*) from bulk.interval_version")
    assert kept >= 1998
    measured = vee.store.value("select sum(measured)::int from bulk.rollup_month")
    assert measured == 2001


def test_a_new_reading_costs_a_look_nearby_and_no_walk_through_what_was_before(any_vee):
    """Whatever the planner knows: of days of readings no step takes more than an hour's."""
    past = 2 * 96
    any_vee.read({slot: slot for slot in range(past + 1)})
    any_vee.ingest.execute(  # a fleet: of one meter alone the planner knows more
        "insert into bulk.reading select 1000 + m, channel, ts, value, status"
        " from bulk.reading, generate_series(1, 100) m"
    )
    any_vee.store.connect("owner").execute("analyze bulk.reading")
    text = SQL.sql("readings")
    at_us = micros(START + past * STEP)
    found = any_vee.worker.execute(
        "explain (analyze, format json) " + text[text.index("(") + 1 : text.rindex(") to stdout")],
        {
            "numbers": [0],
            "meters": [any_vee.meter],
            "lows": [at_us],
            "highs": [at_us],
            "closes": [False],
            "channels": [any_vee.channel],
        },
    ).fetchone()
    taken = [rows for rows in _rows_taken(found["QUERY PLAN"][0]["Plan"]) if rows]
    assert len(taken) > 3
    assert max(taken) <= 10


def _rows_taken(node):
    yield node["Actual Rows"] * node["Actual Loops"]
    for inner in node.get("Plans", ()):
        yield from _rows_taken(inner)


def test_days_are_local_and_one_has_25_hours(any_store):
    store = any_store
    store.rows(
        "insert into ohmesh.service_point (tenant_id, name, zone)"
        " values (1, 'home', 'Europe/Berlin') returning id",
        "owner",
    )
    vee = Vee(store)
    store.rows("update ohmesh.meter set service_point_id = 1 returning id", "owner")
    october = round((datetime(2026, 10, 24, tzinfo=UTC) - START) / STEP)
    vee.read({october + i: 10 * i for i in range(3 * 96)})
    vee.validate()
    days = store.rows("select day::text, intervals, total from bulk.rollup_day order by day")
    assert [tuple(d.values()) for d in days] == [
        ("2026-10-24", 88, 880),
        ("2026-10-25", 100, 1000),
        ("2026-10-26", 96, 960),
        ("2026-10-27", 3, 30),
    ]
    store.rows("update ohmesh.service_point set zone = 'UTC' returning id", "owner")
    vee.validate()
    days = store.rows("select day::text, intervals from bulk.rollup_day order by day")
    assert [tuple(d.values()) for d in days] == [
        ("2026-10-24", 96),
        ("2026-10-25", 96),
        ("2026-10-26", 95),
    ]


def test_an_hour_of_a_zone_with_half_an_hour_is_a_local_hour(store):
    vee = Vee(store)
    store.rows(
        "insert into ohmesh.service_point (tenant_id, name, zone)"
        " values (1, 'home', 'Asia/Kolkata') returning id",
        "owner",
    )
    store.rows("update ohmesh.meter set service_point_id = 1 returning id", "owner")
    vee.read({i: i for i in range(9)})
    vee.validate()
    hours = store.rows("select hour, intervals from bulk.rollup_hour order by 1")
    first = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
    assert [tuple(h.values()) for h in hours] == [
        (first, 2),
        (first + timedelta(hours=1), 4),
        (first + timedelta(hours=2), 2),
    ]


def test_what_is_usual_is_learned_and_a_high_interval_is_noticed(vee):
    vee.read({slot: 10 * slot for slot in range(5 * 96)})
    vee.validate()
    base = 10 * (5 * 96 - 1)
    vee.read({5 * 96: base + 10, 5 * 96 + 1: base + 31})
    vee.validate()
    assert vee.open() == [(Check.HIGH, 480, 481)]
    row = vee.intervals()[481]
    assert (row["value"], row["failed"]) == (21, 1 << Check.HIGH)


def test_the_raw_table_is_never_written(vee):
    vee.read({0: 0, 9: 90, 10: 50, 11: 51})
    before = vee.store.rows("select * from bulk.reading order by ts")
    vee.validate()
    assert vee.store.rows("select * from bulk.reading order by ts") == before
    assert (Check.NEGATIVE, 9, 10) in vee.open()
    for role in ("worker", "api"):
        with pytest.raises(Exception, match="permission denied"):
            vee.store.rows("update bulk.reading set value = 1 returning 1", role)


def test_a_batch_through_ingest_is_touched_and_validated(store, kit):
    store.gateway()
    store.meter()
    payload = encode_batch("gw1", 1, 0, [kit.telegram(n) for n in range(12)])
    work, _ = sort([Delivery("ohmesh/v1/gw/gw1/up", payload)], 100)
    Writer(store.keystore).store(store.connect("ingest"), work, now_ms=0)
    assert store.value("select count(*) from bulk.touched") == 1
    worker = store.connect("worker")
    validator = Validator(url=store.urls["worker"])
    while validator.step(worker):
        pass
    assert store.value("select count(*) from bulk.interval") == 11
    assert store.value("select sum(value)::int from bulk.interval") == 11_000


def test_a_meter_that_cannot_be_validated_stops_no_other(vee, monkeypatch, caplog):
    other = vee.store.meter("M2", key=None)
    vee.read({0: 0, 1: 5})
    vee.read({0: 0, 1: 7}, meter=other)
    whole = pump.validate

    def broken(connection, asked, *more):
        whole(connection, asked, *more)  # what it wrote is rolled back
        if any(stretch.meter == other for stretch in asked):
            raise ZeroDivisionError

    monkeypatch.setattr(pump, "validate", broken)
    vee.validate()
    assert vee.values() == {1: 5}
    assert vee.intervals(other) == {}
    assert "left alone" in caplog.text
    monkeypatch.undo()
    vee.now += timedelta(minutes=11)
    vee.validate()
    assert vee.intervals(other)[1]["value"] == 7


def test_two_validators_do_not_meet(store):
    vee = Vee(store)
    vee.read({0: 0, 1: 5})
    other = store.connect("worker")
    with db.transaction(other):
        other.execute("select pg_advisory_xact_lock(hashtext('vee'))")
        assert vee.validator.step(vee.worker) == 0
    vee.validate()
    assert vee.values() == {1: 5}


def test_readings_that_are_no_energy_make_no_interval(vee):
    vee.channel = vee.store.rows(
        "insert into ohmesh.channel (name, obis, unit, scaler)"
        " values ('el.voltage.l1', '1-0:32.7.0', 'V', -1) returning id",
        "ingest",
    )[0]["id"]
    vee.read({0: 2300, 1: 2310})
    vee.validate()
    assert vee.intervals() == {}
    assert vee.store.value("select count(*) from bulk.touched") == 0
