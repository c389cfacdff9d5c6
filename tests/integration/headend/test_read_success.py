"""Days closed in the database, against a count of the raw table by nothing but the definition."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from headend.readsuccess import cli
from headend.service.fleet import add_service_point
from headend.store import db
from headend.vee.pump import Validator
from headend.watch import Watch

STEP = timedelta(minutes=15)
START = datetime(2026, 3, 27, tzinfo=UTC)
DAYS = 4  # with the night that Berlin loses an hour


class Street:
    """Meters behind gateways, their readings, and the watch over them."""

    def __init__(self, store, meters=6, zone="Europe/Berlin"):
        self.store = store
        self.now = START + timedelta(days=DAYS)
        self.gateways = [store.gateway(f"gw{i}") for i in (1, 2)]
        self.ingest = store.connect("ingest")
        self.worker = store.connect("worker")
        self.channel = store.rows(
            "insert into ohmesh.channel (name, obis, unit, scaler)"
            " values ('el.energy.import', '1-0:1.8.0', 'Wh', 0) returning id",
            "ingest",
        )[0]["id"]
        place = store.ask(add_service_point(1, "street", zone=zone))
        self.meters = [
            store.meter(f"M{i}", key=None, address=f"mesh-{i:08x}") for i in range(1, meters + 1)
        ]
        self.owner = store.connect("owner")
        self.owner.execute(
            "update ohmesh.meter set registered_at = %s, service_point_id = %s", (START, place)
        )
        for i, meter in enumerate(self.meters):
            self.ingest.execute(
                "update ohmesh.meter_status set gateway_id = %s, last_seen = %s"
                " where meter_id = %s",
                (self.gateways[i % 2], self.now, meter),
            )

    def read(self, meter, slots, *, archive=True, status=0):
        times = [START + slot * STEP for slot in slots]
        self.ingest.execute(
            "insert into bulk.reading select %s, %s, t, extract(epoch from t)::bigint, %s"
            " from unnest(%s::timestamptz[]) t on conflict do nothing",
            (meter, self.channel, status, times),
        )
        self.ingest.execute(
            "insert into bulk.touched (meter_id, from_ts, to_ts)"
            " select %s, min(t), max(t) from unnest(%s::timestamptz[]) t group by t::date",
            (meter, times),
        )
        if archive:
            self.telegrams(meter, slots)

    def telegrams(self, meter, slots):
        gateway = self.gateways[self.meters.index(meter) % 2]
        self.ingest.execute(
            "insert into bulk.telegram select t + interval '20 seconds', %s, 1,"
            " nextval('bulk.direct_seq'), 0, 'mesh', %s, 'x', 'nl_dsmr', ''"
            " from unnest(%s::timestamptz[]) t",
            (gateway, meter, [START + slot * STEP for slot in slots]),
        )

    def settle(self):
        validator = Validator(url=self.store.urls["worker"], now=lambda: self.now)
        while validator.step(self.worker):
            pass
        watch = Watch(url=self.store.urls["worker"], now=lambda: self.now)
        while watch.step(self.worker):
            pass
        while validator.step(self.worker):  # what closing a day asks for
            pass

    def days(self):
        rows = self.store.rows(
            "select meter_id, day, expected, on_time, stored from bulk.read_day order by 1, 2"
        )
        return {(r["meter_id"], r["day"]): (r["expected"], r["on_time"], r["stored"]) for r in rows}

    def causes(self, meter=None):
        found = defaultdict(int)
        for row in self.store.rows(
            "select meter_id, cause, intervals from bulk.read_miss order by 1, from_ts"
        ):
            if meter in (None, row["meter_id"]):
                found[row["cause"]] += row["intervals"]
        return dict(found)


def by_hand(store, zone="Europe/Berlin", beginning=START):
    """(meter, local day) -> (expected, read): the raw table and the words of the definition."""
    berlin = ZoneInfo(zone)
    channel = store.value("select id from ohmesh.channel where name = 'el.energy.import'")
    found = defaultdict(lambda: [0, 0])
    read = defaultdict(set)
    for row in store.rows("select * from bulk.reading"):
        if row["channel"] == channel and not row["status"] & (1 | 8 | 32):
            end = datetime.fromtimestamp(-(-row["ts"].timestamp() // 900) * 900, UTC)
            read[row["meter_id"]].add(end)
    for meter in [row["id"] for row in store.rows("select id from ohmesh.meter")]:
        for slot in range(1, DAYS * 96 + 200):
            end = beginning + slot * STEP
            day = (end - timedelta(microseconds=1)).astimezone(berlin).date()
            found[meter, day][0] += 1
            found[meter, day][1] += end in read[meter]
    return {key: tuple(value) for key, value in found.items()}


@pytest.fixture
def street(store):
    return Street(store)


def test_the_table_is_what_anybody_counts_from_the_raw_readings(any_store):
    street = Street(any_store)
    dice = random.Random(7)
    for meter in street.meters:
        slots = [slot for slot in range(1, DAYS * 96 + 1) if dice.random() < 0.97]
        street.read(meter, slots)
    street.settle()
    counted = by_hand(street.store)
    days = street.days()
    assert {day for _, day in days} == {date(2026, 3, d) for d in (27, 28, 29)}
    for key, (expected, on_time, stored) in days.items():
        assert (expected, stored) == counted[key], key
        assert on_time == stored
    assert days[street.meters[0], date(2026, 3, 29)][0] == 92
    missing = sum(expected - on_time for expected, on_time, _ in days.values())
    assert missing > 20
    assert sum(street.causes().values()) == missing


def test_one_telegram_tried_on_the_bench_begins_no_schedule(street):
    """A reading alone, months before registration; two near each other begin one."""
    bench, *others = street.meters
    for meter in others:
        street.read(meter, range(1, DAYS * 96 + 1))
    street.owner.execute(
        "update ohmesh.meter set registered_at = %s", (START + timedelta(days=DAYS),)
    )
    street.read(bench, [-96 * 60])
    street.settle()
    expected = {key: found[0] for key, found in street.days().items()}
    assert min(day for _, day in expected) == date(2026, 3, 27), "not two months earlier"
    assert {n for (meter, _), n in expected.items() if meter == bench} == {0}
    assert {n for (meter, _), n in expected.items() if meter != bench} == {92, 96}
    assert street.causes() == {}


def test_late_readings_count_as_stored_and_never_as_on_time(street):
    first, *others = street.meters
    for meter in others:
        street.read(meter, range(1, DAYS * 96 + 1))
    street.read(first, [*range(40, DAYS * 96 + 1)])
    street.settle()
    day = date(2026, 3, 27)
    assert street.days()[first, day] == (92, 53, 53)
    street.read(first, range(10, 20))
    street.settle()
    assert street.days()[first, day] == (92, 53, 63)
    assert by_hand(street.store)[first, day] == (92, 63)
    row = street.store.rows("select intervals, late from bulk.read_miss")
    assert [tuple(r.values()) for r in row] == [(39, 10)]


def test_each_miss_has_the_cause_that_was_made(street):
    """An hour each: the meter, its relay, its gateway, all gateways, and what arrived badly."""
    whole = set(range(DAYS * 96 + 1))
    alone, _, behind, *_ = (
        street.meters
    )  # 1, 3 and 5 at the first gateway, the others at the second
    gap = {
        "meter": range(10, 14),
        "hop": range(20, 24),
        "gateway": range(30, 34),
        "broker": range(40, 44),
        "quarantine": range(50, 54),
        "rejected": range(60, 64),
        "ingest": range(70, 74),
    }
    lost = {m: set(gap["broker"]) for m in street.meters}
    for m in street.meters[::2]:
        lost[m] |= set(gap["gateway"])
    lost[alone] |= {s for name in ("meter", "quarantine", "rejected", "ingest") for s in gap[name]}
    lost[street.meters[4]] |= set(gap["hop"])  # the relay of the third
    lost[behind] |= set(gap["hop"])
    street.owner.execute(
        "insert into ohmesh.route (gateway_id, node, parent, etx_128ths, hops, reported_at)"
        " values (%s, 3, 5, 128, 2, %s), (%s, 5, 99, 128, 1, %s)",
        (street.gateways[0], START, street.gateways[0], START),
    )
    for meter in street.meters:
        street.read(meter, whole - lost[meter])
    street.read(alone, gap["rejected"], archive=False, status=1)
    street.telegrams(alone, gap["ingest"])
    street.ingest.execute(
        "insert into bulk.telegram_quarantine (received_at, meter_id, address, profile, reason,"
        " message, payload)"
        " select t + interval '9 seconds', %s, 'mesh-00000001', '', 'seal', '', ''"
        " from unnest(%s::timestamptz[]) t",
        (alone, [START + slot * STEP for slot in gap["quarantine"]]),
    )
    street.settle()
    four = 4
    assert street.causes(alone) == {
        **dict.fromkeys(("meter", "gateway", "broker", "quarantine", "rejected", "ingest"), four)
    }
    assert street.causes(behind) == {"hop": four, "gateway": four, "broker": four}
    assert street.causes(street.meters[4]) == {"meter": four, "gateway": four, "broker": four}
    assert street.causes(street.meters[1]) == {"broker": four}
    row = street.store.rows("select gateway_id, node from bulk.read_miss where cause = 'hop'")
    assert row == [{"gateway_id": street.gateways[0], "node": 5}]


def test_a_day_is_closed_five_hours_after_its_end_and_once(street):
    for meter in street.meters:
        street.read(meter, range(96 + 15))  # 03:45 of the second day, 04:45 in Berlin
    street.settle()
    assert street.days() == {}
    for meter in street.meters:
        street.read(meter, range(96 + 15, 96 + 17))
    street.settle()
    assert {day for _, day in street.days()} == {date(2026, 3, 27)}
    closed = street.store.rows("select closed_at from bulk.read_day")
    street.now += timedelta(hours=1)
    street.settle()
    assert street.store.rows("select closed_at from bulk.read_day") == closed


def test_a_silent_utilitys_days_close_by_the_clock(street):
    for meter in street.meters:
        street.read(meter, range(1, 97))
    street.now = START + timedelta(days=3, hours=6)
    street.ingest.execute(
        "update ohmesh.meter_status set last_seen = %s", (START + timedelta(days=1),)
    )
    street.settle()
    days = street.days()
    assert {day for _, day in days} == {date(2026, 3, d) for d in (27, 28, 29)}
    assert days[street.meters[0], date(2026, 3, 29)] == (92, 0, 0)
    assert street.causes()["broker"] == len(street.meters) * (92 + 92)


def test_two_watches_do_not_meet(street):
    for meter in street.meters:
        street.read(meter, range(200))
    other = street.store.connect("worker")
    watch = Watch(url=street.store.urls["worker"], now=lambda: street.now)
    with db.transaction(other):
        assert db.try_lock(other, "watch")
        assert watch.step(street.worker) == 0


def test_the_command_reports_and_recounts(street, tmp_path, monkeypatch, capsys):
    first, *others = street.meters
    for meter in others:
        street.read(meter, range(1, DAYS * 96 + 1))
    street.read(first, range(1, 300, 2))
    street.settle()
    monkeypatch.setenv("OHMESH_HEADEND__DATABASE__API_URL", street.store.urls["api"])
    monkeypatch.chdir(tmp_path)
    words = ["--first", "2026-03-27", "--last", "2026-03-29", "--check"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    assert found["expected"] == 6 * (92 + 96 + 92)
    assert found["expected"] - found["on_time"] == sum(found["causes"].values()) == 140
    assert [line["met"] for line in found["lines"]] == [False, False]
    assert found["failing"] == [{"kind": "meter", "component": "M1", "days": 3}]
    assert found["worst"] == [{"meter": "M1", "expected": 280, "on_time": 140, "stored": 140}]
    assert found["differences"] == 0
    assert "2026-03-28" in out
    street.owner.execute(
        "update bulk.read_day set stored = stored - 1 where meter_id = %s", (first,)
    )
    assert cli.main([*words, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["differences"] == 3


@pytest.mark.parametrize("words", [["--first", "yesterday"], ["--no-such"]])
def test_the_command_refuses_wrong_use_in_one_line(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_closed_day_misses_is_estimated_until_it_comes(street):
    first, *others = street.meters
    for meter in others:
        street.read(meter, range(1, 3 * 96))
    street.read(first, range(1, 2 * 96 + 9))  # silent from 02:00 UTC of the third day on
    street.settle()
    estimated = "select count(*) from bulk.interval where quality & 8 <> 0"
    assert street.store.value(estimated) == 0  # its third day is not closed yet
    for meter in others:
        street.read(meter, range(3 * 96, 3 * 96 + 40))
    street.settle()
    found = street.store.rows(
        "select ts, quality, method from bulk.interval where meter_id = %(m)s order by ts", m=first
    )
    guessed = [row for row in found if row["quality"] & 8]
    assert guessed[-1]["ts"] == datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert len(guessed) == 22 * 4 - 8
    street.read(first, range(2 * 96 + 9, 3 * 96 + 40))
    street.settle()
    assert street.store.value(estimated) == 0
    assert street.store.value("select count(*) from bulk.interval_version") == len(guessed)


def test_a_day_far_below_the_usual_is_an_exception(street):
    for meter in street.meters:
        street.read(meter, range(1, DAYS * 96 + 1))
    low = street.meters[0]
    street.owner.execute(
        "update bulk.reading set value = least(value, extract(epoch from %s::timestamptz)::bigint)"
        " where meter_id = %s",
        (START + timedelta(days=1, hours=23), low),
    )
    street.owner.execute("delete from bulk.touched")
    for number in range(DAYS):  # day by day, as they come
        for meter in street.meters:
            day = START + timedelta(days=number)
            street.ingest.execute(
                "insert into bulk.touched (meter_id, from_ts, to_ts) values (%s, %s, %s)",
                (meter, day, day + timedelta(days=1)),
            )
        street.settle()
    rows = street.store.rows(
        "select meter_id, from_ts, to_ts, found from bulk.vee_exception where rule = 6"
    )
    assert [tuple(row.values()) for row in rows] == [
        (low, datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC), 0)
    ]


class Outage(Street):
    """A fleet whose meters report every quarter-hour, and the clock that goes with them."""

    def __init__(self, store):
        super().__init__(store, meters=20, zone="UTC")
        self.slot = 0

    def quarter(self, silent=(), *, slots=1):
        """Slots of everybody but the silent; then the minutes to the next, watched."""
        new = range(self.slot + 1, self.slot + slots + 1)
        self.slot += slots
        self.now = START + self.slot * STEP
        heard = [meter for meter in self.meters if meter not in silent]
        for meter in heard:
            self.read(meter, new)
        self.ingest.execute(
            "update ohmesh.meter_status set last_seen = %s where meter_id = any(%s)",
            (self.now + timedelta(seconds=20), heard),
        )
        self.now += timedelta(minutes=14)
        self.settle()

    def gaps(self):
        rows = self.store.rows(
            "select meter_id, from_ts, to_ts, intervals, cause from bulk.read_gap order by 1, 2"
        )
        return [
            (
                self.meters.index(row["meter_id"]),
                int((row["from_ts"] - START) / STEP) + 1,
                int((row["to_ts"] - START) / STEP),
                row["cause"],
            )
            for row in rows
            if row["intervals"] == (row["to_ts"] - row["from_ts"]) / STEP
        ]

    def missing_by_hand(self):
        """(meter, slot) of what is due and has no reading: from the raw table alone."""
        read = {
            (self.meters.index(row["meter_id"]), int((row["ts"] - START) / STEP))
            for row in self.store.rows("select meter_id, ts from bulk.reading")
        }
        due = range(1, self.slot + 1)
        return {(m, s) for m in range(len(self.meters)) for s in due} - read

    def listed(self):
        return {(m, s) for m, first, last, _ in self.gaps() for s in range(first, last + 1)}


def test_an_outage_of_a_day_is_listed_as_it_goes_and_closes_as_it_comes_back(any_store):
    """24 h of a tenth of the meters: each interval is listed within 15 minutes of its END."""
    street = Outage(any_store)
    dark = street.meters[:2]
    for _ in range(3):
        street.quarter()
    assert street.gaps() == []
    for slots in (1, 1, 1, 92, 1):  # for most of it the watch was away
        street.quarter(silent=dark, slots=slots)
        assert street.listed() == street.missing_by_hand()
    assert street.gaps() == [(0, 4, 99, "meter"), (1, 4, 99, "meter")]
    street.read(dark[0], range(4, 100))
    street.read(dark[1], [*range(4, 50), *range(60, 99)])
    street.quarter()
    assert street.gaps() == [(1, 50, 59, "meter"), (1, 99, 99, "meter")]
    assert street.listed() == street.missing_by_hand()


def test_a_fleet_that_falls_silent_is_a_gap_of_all_and_a_slow_clock_is_none(store):
    street = Outage(store)
    for _ in range(2):
        street.quarter()
    street.now = START + timedelta(days=90)  # a simulated fleet: its data lies far behind the clock
    street.ingest.execute("update ohmesh.meter_status set last_seen = %s", (street.now,))
    street.settle()
    assert street.gaps() == []
    street.now += timedelta(minutes=45)  # nobody was heard for so long
    street.settle()
    assert street.gaps() == [(m, 3, 4, "broker") for m in range(20)]


def test_gaps_tell_the_cause_of_each_stretch(store):
    street = Outage(store)
    first, second = street.meters[::2], street.meters[1::2]
    street.quarter()
    street.quarter(silent=first)
    street.quarter(silent=second[:1])
    street.quarter(silent=street.meters)
    street.quarter()
    gateway = [(m, 2, 2, "gateway") for m in range(0, 20, 2)]
    assert [gap for gap in street.gaps() if gap[1] == 2] == gateway
    assert [gap for gap in street.gaps() if gap[1] == 3] == [(1, 3, 3, "meter")]
    broker = [gap[0] for gap in street.gaps() if gap[1:] == (4, 4, "broker")]
    assert broker == list(range(20))


def test_the_command_shows_what_is_missing_now(store, tmp_path, monkeypatch, capsys):
    street = Outage(store)
    street.quarter()
    street.quarter(silent=street.meters[:1])
    monkeypatch.setenv("OHMESH_HEADEND__DATABASE__API_URL", street.store.urls["api"])
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--gaps"]) == 0
    shown, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert (found["missing"], found["causes"]) == (1, {"meter": 1})
    assert [(one["meter"], one["cause"]) for one in found["oldest"]] == [("M1", "meter")]
    assert "after 2026-03-27 00:15 to 2026-03-27 00:30 UTC" in shown
