"""A fleet's read success from bits: at every moment what a count of the raw readings says."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from math import ceil

import pytest

from headend.store import db
from headend.store.plan import Statement
from headend.store.retention import SQL as RETENTION
from headend.vee.pump import Validator

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=60)
INTERVALS_S = (900, 3600, 420, 86_400)  # 420 s do not divide a day
CHANNELS = {"el.energy.import": ("1-0:1.8.0", "1-1:1.8.0"), "el.energy.export": ("1-0:2.8.0",)}
HOURS = ((0, 24), (0, 72), (5, 31), (24, 48), (-24, 0), (71, 96))
WINDOWS = [(START + timedelta(hours=a), START + timedelta(hours=b)) for a, b in HOURS] + [
    (START + timedelta(hours=3, minutes=7), START + timedelta(hours=40, seconds=1))
]


class Fleet:
    """Meters that tell at any time, and what was counted of them in two ways."""

    def __init__(self, store):
        self.store = store
        self.dice = random.Random(7)
        self.ingest, self.worker, self.api = map(store.connect, ("ingest", "worker", "api"))
        self.meters = [store.meter(f"M{n}", key=None) for n in range(8)]
        for meter in self.meters:
            self.change(meter, INTERVALS_S[meter % len(INTERVALS_S)])
        self.channels = {
            (name, obis): store.rows(
                "insert into ohmesh.channel (name, obis, unit, scaler)"
                " values (%(name)s, %(obis)s, 'Wh', 0) returning id",
                "ingest",
                name=name,
                obis=obis,
            )[0]["id"]
            for name, codes in CHANNELS.items()
            for obis in codes
        }
        self.told = []
        self.validator = Validator(url=store.urls["worker"], now=lambda: NOW)

    def change(self, meter, interval_s):
        self.store.rows(
            "update ohmesh.meter set interval_s = %(s)s where id = %(id)s returning 1",
            "owner",
            s=interval_s,
            id=meter,
        )

    def tell(self, count):
        """Readings at any time of three days, some on the grid, some of before once more."""
        for _ in range(count):
            meter = self.dice.choice(self.meters)
            channel = self.dice.choice(list(self.channels.values()))
            minutes = self.dice.randrange(0, 3 * 1440, self.dice.choice((1, 15)))
            at = START + timedelta(minutes=minutes, seconds=self.dice.choice((0, 0, 13)))
            self.told.append((meter, channel, at))
        sent = [*self.told[-count:], *self.dice.sample(self.told, min(5, len(self.told)))]
        columns = [list(column) for column in zip(*sent, strict=True)]
        self.ingest.execute(
            "insert into bulk.reading select m, c, t, extract(epoch from t)::bigint / 60,"
            " (m %% 2) * 8 from unnest(%s::int[], %s::int[], %s::timestamptz[]) u(m, c, t)"
            " on conflict do nothing",
            columns,
        )
        self.ingest.execute(
            "insert into bulk.touched (meter_id, from_ts, to_ts)"
            " select m, min(t), max(t) from unnest(%s::int[], %s::timestamptz[]) u(m, t)"
            " group by m, t::date",
            (columns[0], columns[2]),
        )

    def validate(self):
        while self.validator.step(self.worker):
            pass

    def read(self, name, lower, upper):
        """meter -> (slots read, END of the first), as the API's role is told."""
        ids = [number for (one, _), number in self.channels.items() if one == name]
        with db.tenant(self.api, 1):
            rows = db.rows(
                self.api,
                Statement(
                    "select * from api.slots_read(%(c)s::int[], %(l)s, %(u)s) where stored > 0",
                    {"c": ids, "l": lower, "u": upper},
                ),
            )
        return {row["meter_id"]: (row["stored"], row["first_end"]) for row in rows}

    def counted(self, name, lower, upper):
        """The same by hand."""
        length = {
            row["id"]: row["interval_s"]
            for row in self.store.rows("select id, interval_s from ohmesh.meter")
        }
        ids = {number for (one, _), number in self.channels.items() if one == name}
        ends = {}
        for meter, channel, at in self.told:
            end_s = ceil(at.timestamp() / length[meter]) * length[meter]
            if channel in ids and lower.timestamp() < end_s <= upper.timestamp():
                ends.setdefault(meter, set()).add(end_s)
        return {m: (len(s), datetime.fromtimestamp(min(s), UTC)) for m, s in ends.items()}

    def check(self):
        found = 0
        for name in CHANNELS:
            for window in WINDOWS:
                by_hand = self.counted(name, *window)
                assert self.read(name, *window) == by_hand, (name, window)
                found += len(by_hand)
        return found


@pytest.fixture
def fleet(store):
    return Fleet(store)


def test_bits_and_what_waits_say_what_the_readings_say(any_store):
    fleet = Fleet(any_store)
    for _ in range(2):
        fleet.tell(40)
        assert fleet.check()  # nothing validated since
        fleet.validate()
        assert fleet.check()
    assert fleet.store.value("select count(*) from bulk.touched") == 0
    assert fleet.store.value("select sum(bit_count(slots)) from bulk.read_slots") > 50


def test_the_report_reads_bits_and_not_readings(fleet):
    """What the readings say no longer matters once they are counted: the bits are what is asked."""
    fleet.tell(60)
    fleet.validate()
    before = [fleet.read("el.energy.import", *window) for window in WINDOWS]
    fleet.store.rows("delete from bulk.reading returning 1", "owner")
    assert [fleet.read("el.energy.import", *window) for window in WINDOWS] == before
    assert not fleet.read("el.energy.export", *WINDOWS[1])


def test_a_meter_whose_interval_changes_is_counted_from_its_readings(fleet):
    fleet.tell(80)
    fleet.validate()
    for meter in fleet.meters[:4]:
        fleet.change(meter, 1800)
    assert fleet.check()
    fleet.tell(80)
    fleet.validate()
    assert fleet.check()
    for meter in fleet.meters[:4]:  # back again: what came meanwhile is not forgotten
        fleet.change(meter, INTERVALS_S[meter % len(INTERVALS_S)])
    fleet.tell(20)
    fleet.validate()
    assert fleet.check()


def test_what_was_there_before_the_bits_is_counted_from_the_readings(fleet):
    fleet.tell(60)
    fleet.store.rows("delete from bulk.touched returning 1", "owner")
    fleet.store.rows("update bulk.read_slots_since set at = %(at)s returning 1", "owner", at=NOW)
    assert fleet.check()


def test_bits_go_with_the_readings(fleet):
    fleet.tell(60)
    fleet.validate()
    owned = [row["day"] for row in fleet.store.rows("select distinct day from bulk.read_slots")]
    with db.transaction(fleet.worker):
        db.run(fleet.worker, _forget(START + timedelta(days=33)))
    left = fleet.store.rows("select distinct day from bulk.read_slots")
    assert {row["day"] for row in left} == {d for d in owned if d >= START.date() + timedelta(2)}


def _forget(before):
    return (yield RETENTION("retire_slots", before=before))
