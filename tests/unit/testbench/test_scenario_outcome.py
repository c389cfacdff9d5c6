from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import msgspec
import pytest

from meter_sim.capture.benchline import decode_line
from meter_sim.capture.reader import CaptureReader
from meter_sim.capture.record import Clock, Header, digest
from meter_sim.capture.writer import CaptureWriter
from meter_sim.scenario import feed_facts, loads
from meter_sim.scenario.compare import compare_files
from meter_sim.scenario.expect import judge
from meter_sim.scenario.html import as_html
from meter_sim.scenario.model import Driver, Expect, Fleet, Load, LoadKind, Scenario
from meter_sim.scenario.outcome import Happening, Key, Outcome, compare, difference
from meter_sim.scenario.report import as_dict, as_junit
from meter_sim.scenario.runner import Result
from meter_sim.scenario.sources import build_fleet
from meter_sim.scenario.watch import latencies
from ohmesh.model.errors import ConfigError
from ohmesh.wire.sealed import SealedKind, unseal

T0 = datetime(2025, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
CHANNEL = "el.energy.import"


def keys(count, meter="M1"):
    return [Key(meter, CHANNEL, T0 + n * QUARTER) for n in range(count)]


def scenario(*expects, **fleet):
    return Scenario(
        name="mine", proves="it.", driver=Driver.FEED, fleet=Fleet(**fleet), expect=list(expects)
    )


def failed_result():
    expected = {key: {Decimal(n)} for n, key in enumerate(keys(8))}
    got = {key: Decimal(n) for n, key in enumerate(keys(8)) if n != 3}
    got[keys(8)[5]] = Decimal(99)
    facts, differing = compare(expected, got)
    way = ("meter M1", "gateway gw1, outbox 7, number 3", "<never archived>")
    differences = [difference(key, expected, got, way) for key in differing]
    timeline = [Happening("gateway gw1", 900, 2700)]
    outcome = Outcome(facts, expected, got, differences, timeline, digest="ab")
    wanted = scenario(
        Expect("readings_stored", equals="readings_expected"), Expect("read_success", max=1.0)
    )
    return Result(wanted, outcome, judge(wanted, outcome))


def test_readings_are_compared_one_by_one():
    facts, differing = compare(
        {k: {Decimal(n), Decimal(n + 50)} for n, k in enumerate(keys(4))},
        dict(zip([*keys(3), Key("X", CHANNEL, T0)], map(Decimal, (0, 51, 9, 1)), strict=True)),
    )
    assert facts["readings_expected"] == 4
    assert facts["readings_stored"] == 2  # the second value of an ambiguous instant is right too
    assert facts["readings_wrong"] == 1
    assert facts["readings_missing"] == 1
    assert facts["readings_unknown"] == 1
    assert facts["readings_ambiguous"] == 4
    assert [key.meter for key in differing] == ["X", "M1", "M1"]


@pytest.mark.parametrize(
    ("expect", "passed"),
    [
        (Expect("read_success", min=0.5), True),
        (Expect("read_success", min=0.5, max=0.6), False),
        (Expect("read_success", equals=0.75), True),
        (Expect("readings_stored", equals="readings_expected"), False),
        (Expect("heal_s", max=10), False),  # the run does not know it
    ],
)
def test_expectations(expect, passed):
    outcome = Outcome({"read_success": 0.75, "readings_stored": 3, "readings_expected": 4})
    (verdict,) = judge(scenario(expect), outcome)
    assert verdict.passed is passed


def test_reports_lead_with_the_first_difference():
    result = failed_result()
    assert not result.passed
    facts = as_dict(result, "abc")
    assert facts["first_difference"] == {
        "meter": "M1",
        "channel": CHANNEL,
        "time": "2025-01-01T00:45:00+00:00",
        "expected": "3",
        "got": "nothing",
        "way": ["meter M1", "gateway gw1, outbox 7, number 3", "<never archived>"],
    }
    assert (facts["passed"], facts["failed"]) == (1, 1)

    suite = ET.fromstring(as_junit([result], "abc")).find("testsuite")
    properties = {p.get("name"): p.get("value") for p in suite.find("properties")}
    assert (properties["seed"], properties["commit"]) == ("1", "abc")
    failures = suite.findall(".//failure")
    assert len(failures) == int(suite.get("failures")) == 1
    assert failures[0].text.startswith("first difference: M1 el.energy.import 2025-01-01T00:45")

    page = as_html(result, "abc")
    assert page.index("First difference") < page.index("Expectations")
    assert "&lt;never archived&gt;" in page
    assert "<never archived>" not in page
    assert "src=" not in page
    assert "http" not in page
    assert page.count("<svg") == 2
    assert page.count("class='miss'") == 2
    assert "2 of 8 readings are missing or wrong" in page


def test_two_reports_differ_where_they_differ(tmp_path):
    facts = as_dict(failed_result(), "abc")
    one, two = tmp_path / "a.json", tmp_path / "b.json"
    one.write_text(json.dumps(facts))
    two.write_text(json.dumps(facts | {"commit": "other"}))
    assert list(compare_files(one, two)) == []
    two.write_text(json.dumps(facts | {"differences": facts["differences"][1:]}))
    (first, *_) = compare_files(one, two)
    assert first.where == "M1 el.energy.import 2025-01-01T00:45:00+00:00"
    assert (first.first, first.second) == ("nothing for 3", "as expected")
    two.write_text("[]")
    with pytest.raises(ConfigError, match="no run's JSON"):
        list(compare_files(one, two))


def capture_of(wanted, path, hours=6):
    """The telegrams of a fleet without any server."""
    fleet = build_fleet(wanted, Path())
    start_ms = round(wanted.fleet.start.timestamp() * 1000)
    with CaptureWriter(path, Header(seed=wanted.seed, clock=Clock.VIRTUAL)) as writer:
        for n in range(1, 4 * hours + 1):
            for source in fleet.sources:
                source.pass_time(start_ms + n * 900_000, dark=False)
                writer.write(source.telegram(start_ms + n * 900_000, start_ms + n * 900_000)[0])
    return path.read_bytes()


SEED_1 = "fcf0245f4eb3a6e3d5e61798fc24deb5d72b882afad081278a2efe28b6cd9e32"
"""What seed 1 says, whoever runs it: profiles, curves, keys, seals and counters are in it."""


def test_the_same_seed_gives_the_same_capture_to_the_byte(tmp_path):
    wanted = Scenario(
        name="mine",
        proves="it.",
        driver=Driver.FEED,
        fleet=Fleet(meters=8, prepaid=2, profiles=["nl_dsmr", "de_sml", "no_han"]),
        load=[Load(LoadKind.PV, share_percent=50), Load(LoadKind.EV, meters=2)],
        expect=[Expect("meters", equals=8)],
    )
    one = capture_of(wanted, tmp_path / "a")
    assert one == capture_of(wanted, tmp_path / "b")
    other = msgspec.structs.replace(wanted, seed=2)
    assert one != capture_of(other, tmp_path / "c")
    contrasts = list(compare_files(tmp_path / "a", tmp_path / "c"))
    assert contrasts[0].where == "record 0"
    with CaptureReader(tmp_path / "a") as reader:
        records = list(reader.records())
    assert len(records) == 8 * 24
    assert digest(records) == SEED_1, "seed 1 says something else than it did: is that meant?"


def test_a_sealed_fleet_tells_events_that_its_key_opens():
    wanted = Scenario(
        name="mine",
        proves="it.",
        driver=Driver.FEED,
        fleet=Fleet(meters=2, prepaid=1, sealed=True),
        expect=[Expect("meters", equals=2)],
    )
    payer, other = build_fleet(wanted, Path()).sources
    assert (payer.prepaid, other.prepaid) == (True, False)
    record = other.event("magnet", 1_767_225_600_000)
    line = decode_line(record.payload)
    opened = unseal(other.key, line.meter, line.payload)
    assert (opened.kind, json.loads(opened.body)) == (SealedKind.EVENT, {"kind": "magnet"})
    again = decode_line(other.event("magnet", 1_767_225_600_000).payload)
    assert unseal(other.key, line.meter, again.payload).counter > opened.counter


class TestLoads:
    def energy_kwh(self, curve, days=365):
        first = round(T0.timestamp() * 1000) // 900_000
        return sum(curve.net_w(first + n) for n in range(days * 96)) / 4000

    def test_a_thief_s_meter_sees_the_share_it_is_left(self):
        whole = loads.Ev(3, 11_000)
        assert self.energy_kwh(loads.PastTheMeter(whole, 40)) == pytest.approx(
            0.6 * self.energy_kwh(whole)
        )
        roof = loads.Pv(3, 5000)
        assert self.energy_kwh(loads.PastTheMeter(roof, 40)) == self.energy_kwh(roof) < 0

    def test_heat_pumps_run_more_in_winter_and_panels_less(self):
        january = round(T0.timestamp() * 1000) // 900_000
        july = january + 181 * 96
        for curve, more in ((loads.HeatPump(1, 2500), january), (loads.Pv(1, 5000), july)):
            weeks = {
                start: abs(sum(curve.net_w(start + n) for n in range(7 * 96)))
                for start in (january, july)
            }
            assert max(weeks, key=weeks.get) == more

    def test_standard_profiles_give_the_year_that_was_asked_for(self, shared):
        path = shared / "loadprofiles" / "bdew_h25.csv"
        curve = loads.Standard.read(path, 4000, ZoneInfo("Europe/Berlin"))
        assert self.energy_kwh(curve) == pytest.approx(4000, rel=0.01)
        with pytest.raises(ConfigError, match="no BDEW table"):
            loads.Standard.read(shared / "loadprofiles" / "README.md", 1, ZoneInfo("UTC"))

    def test_standard_profiles_rest_on_holidays(self, shared):
        path = shared / "loadprofiles" / "bdew_g25.csv"  # a trade that works on weekdays
        berlin = ZoneInfo("Europe/Berlin")

        def kwh(year, month, day, region="DE"):
            curve = loads.Standard.read(path, 100_000, berlin, region)
            begin = datetime(year, month, day, tzinfo=berlin)
            first = round(begin.timestamp() * 1000) // 900_000
            return sum(curve.net_w(first + n) for n in range(96)) // 4000

        labour_day, thursday, sunday = kwh(2025, 5, 1), kwh(2025, 5, 8), kwh(2025, 5, 11)
        assert labour_day == sunday < thursday
        assert kwh(2025, 12, 24) == kwh(2025, 12, 20) < kwh(2025, 12, 23)
        assert kwh(2025, 1, 6, "DE-BY") < kwh(2025, 1, 6, "DE-BE") == kwh(2025, 1, 6)
        with pytest.raises(ConfigError, match="'XX'"):
            kwh(2025, 1, 6, "XX")

    def test_measured_curves_are_read_by_path(self, shared):
        name = "ausgrid_customer12_2011-2012_30min.csv"
        curve = loads.Measured.read(shared / "loadprofiles" / name, "consumption_kw")
        assert self.energy_kwh(curve, 366) == pytest.approx(5938, rel=0.01)

    def test_water_stands_still_at_night_unless_it_leaks(self):
        night = round(T0.timestamp() * 1000) // 900_000
        assert all(loads.Water(seed).ml(night + n) == 0 for seed in range(20) for n in range(16))
        assert loads.Water(1, leak_ml_per_h=12_000).ml(night) == 3000


def test_a_feeder_sees_what_its_meters_see_and_what_they_do_not():
    wanted = Scenario(
        name="mine",
        proves="it.",
        driver=Driver.FEED,
        fleet=Fleet(meters=12, feeders=2, feeder_meters=True),
        load=[Load(LoadKind.THEFT, meters=3, percent=50), Load(LoadKind.PV, meters=4)],
        expect=[Expect("meters", equals=8)],
    )
    fleet = build_fleet(wanted, Path())
    start_ms = round(wanted.fleet.start.timestamp() * 1000)
    for n in range(1, 97):
        for source in fleet.sources:
            source.pass_time(start_ms + n * 900_000, dark=False)
    got = {
        Key(f"F{n}", CHANNEL, T0 + m * QUARTER): Decimal(m * 100) for n in (1, 2) for m in (0, 9)
    }
    facts = feed_facts.of_energy(fleet.sources, {}, got)
    assert facts["feeder_loss_percent"] == 100  # no customer's reading is stored
    assert 0 < facts["theft_percent"] < 50


def test_energy_costs_what_was_in_force_at_its_interval_s_end():
    class Meter:
        meter = "M1"

    values = {key: {Decimal(1000 * n)} for n, key in enumerate(keys(5))}
    start_ms = round(T0.timestamp() * 1000)
    prices = [(start_ms, 10_000), (start_ms + 2 * 900_000, 20_000)]
    # Quarters 1 and 2 end while the old price is in force, 3 and 4 under the new one.
    assert feed_facts.cost_mu([Meter], values, prices) == 2 * 10_000 + 2 * 20_000


def test_latency_is_counted_from_both_sides():
    taken_s = [1.0, 2.0, 3.0, 4.0]
    assert latencies(taken_s, [(2.5, 1), (5.0, 3), (5.5, 3)]) == [1.5, 3.0, 2.0]
    assert latencies(taken_s, [(0.5, 9)]) == [0.0, 0.0, 0.0, 0.0]  # more than were taken: repeats


@pytest.mark.parametrize(
    ("facts", "passed"),
    [({"events": 2, "events:tamper": 2}, True), ({"events": 0}, False), ({}, False)],
)
def test_events_are_expected_by_kind(facts, passed):
    (verdict,) = judge(scenario(Expect("events:tamper", min=1)), Outcome(facts))
    assert verdict.passed is passed
