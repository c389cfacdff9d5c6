from __future__ import annotations

import base64
import itertools

import pytest

from firmware_profiles import registry
from meter_sim import cli
from meter_sim.capture import importers, tools
from meter_sim.capture.anonymise import Pseudonyms, anonymise
from meter_sim.capture.benchline import decode_line
from meter_sim.capture.record import Header, Record, digest
from meter_sim.capture.telegrams import bench_record, of_curve, of_file, read_curve
from meter_sim.capture.writer import CaptureWriter
from ohmesh.model.errors import ConfigError
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.downlink import DownMessage, decode_down, encode_down
from ohmesh.wire.report import Route, TopologyReport, decode_topology, encode_report
from ohmesh.wire.uplink import decode_batch, encode_batch

KEY = bytes(16)
CURVE = [
    "start,consumption_kw",
    "2026-01-01T00:00:00,1.0",
    "2026-01-01T00:30:00,0.5",
    "2026-01-01T01:00:00,0",
]


def telegram(meter, payload=b"\x01\x02", source="mesh", kind=TelegramKind.METER, profile=""):
    return Telegram(kind, source, Address(meter), profile, 1000, payload)


def uplink(gateway, first_seq, *telegrams, at_us=0):
    octets = encode_batch(gateway, 7, first_seq, telegrams)
    return Record(at_us, f"mqtt ohmesh/v1/gw/{gateway}/up", octets, 1)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("#", "x", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
    ],
)
def test_topic_filters(topic_filter, topic, matches):
    assert tools.topic_matches(topic_filter, topic) is matches


def test_filter_by_meter_looks_into_batches_and_lines():
    records = [
        uplink("gw1", 0, telegram("M1"), telegram("M2")),
        uplink("gw2", 0, telegram("M3")),
        bench_record("M1", "", b"", 0),
        Record(0, "mqtt ohmesh/v1/meter/M1/up", b""),
        Record(0, "serial x", b""),
    ]
    taken = list(filter(tools.Choice(meters=["M1"]).takes, records))
    assert taken == [records[0], records[2], records[3]]
    assert list(filter(tools.Choice(kinds=["serial"]).takes, records)) == records[4:]
    assert list(filter(tools.Choice(topics=["+/v1/gw/#"]).takes, records)) == records[:2]


def test_merge_is_by_time():
    one = [Record(t, "a", b"") for t in (1, 3, 3)]
    two = [Record(t, "b", b"") for t in (2, 3)]
    order = [(r.at_us, r.channel) for r in tools.merge([one, two])]
    assert order == [(1, "a"), (2, "b"), (3, "a"), (3, "a"), (3, "b")]


def test_numbers_of_batches_tell_what_was_not_heard():
    numbering = tools.Numbering()
    for record in (
        uplink("gw1", 5, telegram("M1"), telegram("M1")),
        uplink("gw1", 0, telegram("M1")),
        uplink("gw1", 6, telegram("M1"), telegram("M1")),
        uplink("gw2", 9, telegram("M1")),
    ):
        numbering.look(record)
    assert numbering.missing == {"gw1": 4}


class TestAnonymise:
    def names_of(self, *records):
        return list(anonymise(records, Pseudonyms(KEY)))

    def test_the_same_key_gives_the_same_names_and_another_gives_others(self):
        record = uplink("gw1", 0, telegram("M1"))
        assert self.names_of(record) == self.names_of(record)
        assert self.names_of(record) != list(anonymise([record], Pseudonyms(bytes(15) + b"1")))

    def test_no_name_stays_and_every_relation_does(self):
        topology = encode_report(
            TopologyReport(1, [Route(100, 1, 128, 1), Route(101, 100, 130, 2)])
        )
        down = DownMessage(bytes(16), "mesh-00000065", 9, 3, b"sealed")
        up, sent = self.names_of(
            uplink(
                "gw1",
                0,
                telegram("mesh-00000064", b"sealed 100"),
                telegram("mesh-00000065", b"sealed 101"),
                telegram("", topology, kind=TelegramKind.TOPOLOGY),
            ),
            Record(0, "mqtt ohmesh/v1/gw/gw1/down", encode_down(down)),
        )
        batch = decode_batch(up.payload)
        first, second, report = batch.telegrams()
        assert up.channel == f"mqtt ohmesh/v1/gw/{batch.gateway}/up"
        assert sent.place.split("/")[3] == batch.gateway != "gw1"
        assert (first.payload, second.payload) == (b"sealed 100", b"sealed 101")
        assert decode_down(sent.payload).meter == second.meter
        routes = decode_topology(report.payload)
        nodes = [int(one.meter.removeprefix("mesh-"), 16) for one in (first, second)]
        assert [r.node for r in routes.routes] == nodes
        assert routes.routes[1].parent == nodes[0]
        assert not {"mesh-00000064", "mesh-00000065"} & {first.meter, second.meter}

    def test_plain_telegrams_say_the_same_under_a_pseudonym_or_nothing(self, shared):
        sample = shared / "telegrams" / "dsmr-p1.jsonl"
        names = Pseudonyms(KEY)
        records = list(of_file(sample, start_us=0, every_us=1))
        profile = registry.load("nl_dsmr")
        for record, hidden in zip(records, anonymise(records, names), strict=True):
            before, after = decode_line(record.payload), decode_line(hidden.payload)
            assert before.meter.encode() not in hidden.payload
            if any(after.payload):
                said = profile.decode(after.payload)
                assert said.device.get("id") != profile.decode(before.payload).device.get("id")
                assert said.readings
            else:
                assert len(after.payload) == len(before.payload)
        assert names.fates["encoded again"] > 0
        assert names.fates.total() == len(records)

    def test_of_strangers_only_the_length_stays(self):
        (hidden,) = self.names_of(Record(5, "mqtt home/kitchen", b"secret", 1))
        assert hidden.payload == bytes(6)
        assert hidden.at_us == 5
        assert len(hidden.place.split("/")) == 2
        assert "kitchen" not in hidden.channel


class TestImports:
    def test_mosquitto_sub_text(self):
        lines = ["1700000000.25 a/b 0aff", "", "1700000001.000001 c 00"]
        first, second = importers.mosquitto_sub(lines, "%U %t %x")
        assert first == Record(1_700_000_000_250_000, "mqtt a/b", b"\x0a\xff")
        assert second.at_us == 1_700_000_001_000_001

    def test_mosquitto_sub_with_iso_time_flags_and_text(self):
        (record,) = importers.mosquitto_sub(
            ["2026-01-01T00:00:00+0100|a|1|1|hello | you"], "%I|%t|%q|%r|%p"
        )
        assert record == Record(1_767_222_000_000_000, "mqtt a", b"hello | you", 5)

    def test_mosquitto_sub_json(self):
        line = '{"tst":"2026-01-01T00:00:00.5Z","topic":"a","qos":1,"retain":0,"payload":"x"}'
        (record,) = importers.mosquitto_sub([line], "%j")
        assert record == Record(1_767_225_600_500_000, "mqtt a", b"x", 1)

    @pytest.mark.parametrize(
        ("lines", "layout", "told"),
        [
            (["1 a 00", "nonsense"], "%U %t %x", "line 2 does not fit"),
            ([], "%t %x", "needs a time"),
            ([], "%U %t %Q", "the format has %Q"),
            (["{}"], "%j", "line 1"),
            (["2026-01-01T00:00:00 a 00"], "%I %t %x", "line 1"),
        ],
    )
    def test_what_does_not_fit_is_refused_with_its_line(self, lines, layout, told):
        with pytest.raises(ConfigError, match=told):
            list(importers.mosquitto_sub(lines, layout))

    def test_mqtt_recorder(self):
        text = base64.b64encode(b"\0\1").decode()
        rows = [f"a/b,{text},1,True,1700000000.5,0.1", f"c,{text},0,False,1700000001.5,1.0"]
        assert list(importers.mqtt_recorder(rows, base64_payload=True)) == [
            Record(1_700_000_000_500_000, "mqtt a/b", b"\0\1", 5),
            Record(1_700_000_001_500_000, "mqtt c", b"\0\1", 0),
        ]
        with pytest.raises(ConfigError, match="row 2"):
            list(importers.mqtt_recorder([rows[0], "a,b"], base64_payload=True))

    def test_a_load_profile_becomes_telegrams_that_say_it(self):
        records = list(of_curve(CURVE, column="consumption_kw", meter="M1", profile_name="nl_dsmr"))
        energies = []
        for record in records:
            line = decode_line(record.payload)
            said = registry.load("nl_dsmr").decode(line.payload)
            energies += [r.value for r in said.readings if r.register.channel == "el.energy.import"]
        assert [b - a for a, b in itertools.pairwise(energies)] == [250, 0]
        assert energies[0] == 501  # the meter began at 1 Wh
        assert [record.at_us % 1_800_000_000 for record in records] == [0, 0, 0]

    @pytest.mark.parametrize(
        ("lines", "told"),
        [
            (["start,x", "2026-01-01,1"], "no column"),
            ([CURVE[0], CURVE[1], CURVE[3], CURVE[2]], "line 4"),
            ([*CURVE[:2], "2026-01-01T00:30:00,many"], "line 3"),
            (CURVE[:2], "no step"),
        ],
    )
    def test_a_bad_load_profile_is_refused(self, lines, told):
        with pytest.raises(ConfigError, match=told):
            read_curve(lines, "consumption_kw")


def test_the_digest_depends_on_every_field():
    base = Record(1, "a", b"b", 0)
    others = [
        Record(2, "a", b"b"),
        Record(1, "c", b"b"),
        Record(1, "a", b"c"),
        Record(1, "a", b"b", 1),
    ]
    assert len({digest([one]) for one in (base, *others)}) == 5
    assert Header() == Header()


@pytest.mark.parametrize(
    "words",
    [
        ("filter", "day.ohmcap", "./day.ohmcap"),
        ("cut", "day.ohmcap", "link.ohmcap"),
        ("anonymise", "day.ohmcap", "day.ohmcap"),
        ("merge", "link.ohmcap", "other.ohmcap", "day.ohmcap"),
        ("export", "day.ohmcap", "link.ohmcap"),
        ("import", "telegrams", "day.ohmcap", "link.ohmcap"),
        ("show", "day.ohmcap", "--salvage", "day.ohmcap"),
        ("replay", "day.ohmcap", "--to", "bench://127.0.0.1:1", "--undelivered", "link.ohmcap"),
    ],
)
def test_no_capture_is_written_over_itself(tmp_path, monkeypatch, words):
    pytest.importorskip("mcap")
    monkeypatch.chdir(tmp_path)
    day = tmp_path / "day.ohmcap"
    for file in (day, tmp_path / "other.ohmcap"):
        with CaptureWriter(file, Header()) as writer:
            writer.write(uplink("gw1", 1, telegram("M1")))
    (tmp_path / "link.ohmcap").symlink_to(day)
    before = day.read_bytes()
    with pytest.raises(ConfigError, match="is the capture that is read; name another file"):
        cli.main(list(words))
    assert day.read_bytes() == before


def test_a_replay_in_vain_says_why(tmp_path, capsys):
    """An uplink is no bytes of a line: nothing was sent, and that is no success."""
    day = tmp_path / "day.ohmcap"
    with CaptureWriter(day, Header()) as writer:
        writer.write(uplink("gw1", 1, telegram("M1")))
    assert cli.main(["replay", str(day), "--to", "pty", "--speed", "max"]) == 1
    assert "1 records are not for pty: a broker takes MQTT" in capsys.readouterr().err
