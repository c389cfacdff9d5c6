"""TimescaleDB's community edition: late data into columns, and the answers of plain PostgreSQL."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery
from headend.store import db, migrate
from headend.store.retention import Keep, step
from headend.vee.pump import Validator
from ohmesh.model.errors import SchemaMismatch
from ohmesh.wire.uplink import encode_batch

METERS, SLOTS, LATE, REPEATED, BATCH = 5, 4000, 2000, 8000, 500
WH = 1000  # of each interval
TABLES = {
    "readings": "select meter_id, channel, ts, value, status from bulk.reading",
    "intervals": "select meter_id, channel, ts, value, quality, method from bulk.interval",
    "hours": "select meter_id, channel, hour, total, intervals, measured, most"
    " from bulk.rollup_hour",
    "days": "select meter_id, channel, day, total, intervals, measured, most from bulk.rollup_day",
    "months": "select meter_id, channel, month, total, intervals, measured, most"
    " from bulk.rollup_month",
    "gaps": "select meter_id, rule, from_ts, to_ts, state from bulk.vee_exception",
    "touched": "select meter_id from bulk.touched",
}
POLICIES = "select job_id from timescaledb_information.jobs where proc_name = 'policy_compression'"
IN_ROWS = (
    "select count(*) from timescaledb_information.chunks"
    " where hypertable_name in ('reading', 'interval') and not is_compressed"
)


class Months:
    """Six weeks of some meters, of which a tenth comes late, among much that was there before."""

    def __init__(self, store, kit, between):
        self.store, self.kit, self.between = store, kit, between
        self.ingest, self.worker = store.connect("ingest"), store.connect("worker")
        for gateway in ("gw1", "gw2"):
            store.gateway(gateway)
        for number in range(METERS):
            store.meter(f"M{number}", key=None)
        self.writer = Writer(store.keystore)
        now = kit.START + timedelta(days=100)
        self.validator = Validator(url=store.urls["worker"], now=lambda: now)

    def send(self, gateway, rows):
        """(meter, slot) in this order, as from a gateway; how many readings were new, and known."""
        new = known = 0
        for first in range(0, len(rows), BATCH):
            telegrams = [
                self.kit.telegram(slot, meter=f"M{meter}", key=None)
                for meter, slot in rows[first : first + BATCH]
            ]
            payload = encode_batch(gateway, 1, first, telegrams)
            work, _ = sort([Delivery(f"ohmesh/v1/gw/{gateway}/up", payload)], 10**6)
            stored = self.writer.store(self.ingest, work, now_ms=0)
            new, known = new + stored.readings, known + stored.taken
            self.between(self.store)
        while self.validator.step(self.worker):
            self.between(self.store)
        return new, known

    def retire(self, until):
        self.store.rows(
            "insert into ohmesh.billing_mark values (1, %(until)s, 'desk', now()) returning 1",
            "owner",
            until=until,
        )
        with db.transaction(self.worker):
            keep = Keep(readings_days=1, intervals_days=1)
            return db.run(self.worker, step(keep, until + timedelta(days=1)))

    def facts(self):
        return {
            name: sorted(tuple(row.values()) for row in self.store.rows(sql, "owner"))
            for name, sql in TABLES.items()
        }


def into_columns(store):
    """The head-end's own policies, at once."""
    owner = store.connect("owner")
    for job in store.rows(POLICIES, "owner"):
        owner.execute(f"call run_job({job['job_id']})")
    owner.close()


def story(store, kit, between):
    """Facts before late data, after it, and after retention: the same on every edition."""
    chance = random.Random(7)
    everything = [(meter, slot) for slot in range(SLOTS) for meter in range(METERS)]
    late = set(chance.sample(everything, LATE))
    in_time = [row for row in everything if row not in late]
    mixed = [*sorted(late), *chance.sample(in_time, REPEATED)]
    chance.shuffle(mixed)
    months = Months(store, kit, between)
    yield months.send("gw1", in_time), months.facts()
    yield months.send("gw2", mixed), months.facts()
    yield months.retire(kit.START + timedelta(days=20)), months.facts()


@pytest.mark.soak
def test_late_data_into_columns_stands_once_and_rolls_up_as_on_plain_postgresql(
    store, community, kit
):
    wanted = list(story(store, kit, lambda _: None))
    found, rows_left = [], []
    for part in story(community, kit, into_columns):
        found.append(part)
        rows_left.append(community.value_as_owner(IN_ROWS))
    assert found == wanted
    assert rows_left == [0, 0, 0], "every chunk of readings and intervals was in columns"
    (first, _), (second, facts), (gone, left) = found
    assert first == (METERS * SLOTS - LATE, 0)
    assert second == (LATE, REPEATED)
    assert len(facts["readings"]) == METERS * SLOTS
    for table, column in (("intervals", 3), ("hours", 3), ("days", 3), ("months", 3)):
        assert sum(row[column] for row in facts[table]) == METERS * (SLOTS - 1) * WH
    assert gone["reading"] == METERS * SLOTS - len(left["readings"]) > 0


@pytest.mark.soak
def test_an_edition_of_this_age_is_refused_on_a_server(community, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(SchemaMismatch, match=r"TimescaleDB 2\.23\.0-dev loses rows"):
        migrate.check(community.connect("owner"))
