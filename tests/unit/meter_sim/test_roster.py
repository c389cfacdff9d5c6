"""The roster file is read strictly."""

from __future__ import annotations

import json

import pytest

from meter_sim.roster import decode_roster, read_roster
from meter_sim.street import StreetPlan, make_roster
from ohmesh.model.errors import ConfigError


@pytest.fixture
def fields():
    return json.loads(make_roster(StreetPlan(meters=3, gateways=1)).to_json())


def refused(fields):
    with pytest.raises(ConfigError) as caught:
        decode_roster(json.dumps(fields), "street.json")
    return str(caught.value)


def test_the_documented_keys_are_there(fields):
    assert list(fields)[:8] == [
        "net",
        "seed",
        "start",
        "interval_s",
        "calendar_speed",
        "timer_divisor",
        "gateways",
        "meters",
    ]
    assert list(fields["meters"][0]) == [
        "meter",
        "node",
        "profile",
        "key_hex",
        "x_m",
        "y_m",
        "prepaid",
        "token_key_hex",
        "control_mode",
    ]


def test_the_shortest_roster_of_the_documentation_is_enough():
    roster = decode_roster(
        """{"net": 1, "seed": 1, "start": "2026-01-01T00:00:00Z", "interval_s": 900,
        "calendar_speed": 600, "timer_divisor": 20,
        "gateways": [{"gateway": "gw1", "node": 1, "x_m": 0, "y_m": 0}],
        "meters": [{"meter": "M0001", "node": 100, "profile": "nl_dsmr",
        "key_hex": "000102030405060708090a0b0c0d0e0f", "x_m": 12, "y_m": 40}]}"""
    )
    assert roster.meters[0].address == "mesh-00000064"
    assert roster.meters[0].key == bytes(range(16))
    assert roster.start_ms == 1_767_225_600_000


@pytest.mark.parametrize("place", ["", "gateways", "meters", "radio"])
def test_a_key_without_meaning_is_refused_by_its_name(fields, place):
    table = fields if not place else fields[place]
    (table[0] if isinstance(table, list) else table)["colour"] = "red"
    message = refused(fields)
    assert "street.json" in message
    assert "`colour`" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net", 70000),
        ("timer_divisor", 21),
        ("timer_divisor", 0),
        ("interval_s", 10),
        ("calendar_speed", 0),
        ("start", "2026-01-01T00:00:00"),
        ("meters", "none"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_key(fields, key, value):
    fields[key] = value
    assert key in refused(fields)


@pytest.mark.parametrize(("key", "value"), [("key_hex", "00"), ("node", 0), ("meter", "a/b")])
def test_a_wrong_meter_is_refused_by_its_place(fields, key, value):
    fields["meters"][1][key] = value
    message = refused(fields)
    assert "meters" in message
    assert key in message


@pytest.mark.parametrize("key", ["node", "meter"])
def test_doubles_are_refused(fields, key):
    fields["meters"][1][key] = fields["meters"][0][key]
    assert "2 times" in refused(fields)


def test_a_gateway_and_a_meter_may_not_share_a_node(fields):
    fields["gateways"][0]["node"] = fields["meters"][0]["node"]
    assert "node" in refused(fields)


def test_a_start_in_the_future_is_refused(fields):
    fields["start"] = "2999-01-01T00:00:00Z"
    assert "future" in refused(fields)


def test_nobody_at_home_is_refused(fields):
    assert "at least" in refused({**fields, "meters": []})


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_what_is_no_roster_at_all_is_refused(text):
    with pytest.raises(ConfigError):
        decode_roster(text)


def test_a_missing_file_is_refused_with_its_name(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        read_roster(tmp_path / "nowhere.json")
