"""profile.toml: what is right is read, what is wrong is refused with line, key and reason."""

import pytest

from firmware_profiles.spec import load_spec, parse_spec
from ohmesh.model.errors import ProfileError

GOOD = """\
[profile]
name = "xx_test"
title = "A test"
country = "NL"
zone = "Europe/Amsterdam"
interval_s = 900
evidence = "synthetic"
codec = "p1"
security = "none"
standards = ["x-test"]
reported = ["el.energy.import"]

[registers]
"el.energy.import" = {}
"own.thing" = { obis = "1-0:199.1.0", unit = "W", scaler = -1 }
"el.current.l1" = { scaler = 0 }

[[rules]]
topic = "privacy"
summary = "Ask first."
source = "A law, clause 1"
checked_on = 2026-01-31
confidence = "recalled"
data = { days = 3 }
"""


def test_a_good_file_is_read():
    spec = parse_spec("x/profile.toml", GOOD)
    assert spec.reported == ("el.energy.import",)
    assert str(spec.registers["el.energy.import"].obis) == "1-0:1.8.0"
    assert spec.registers["own.thing"].scaler == -1
    assert spec.registers["el.current.l1"].scaler == 0
    assert spec.rules[0].data == {"days": 3}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("interval_s = 900", "interval_s = 7000", "x:6: interval_s: 7000 does not divide"),
        ("interval_s = 900", 'interval_s = "900"', "x:6: interval_s: '900' is no int"),
        ("interval_s = 900", "interval_s = true", "x:6: interval_s: True is no int"),
        ("Europe/Amsterdam", "Europe/Atlantis", "x:5: zone: 'Europe/Atlantis' is no IANA zone"),
        ('"synthetic"', '"hearsay"', "x:7: evidence: 'hearsay' is none of"),
        ('codec = "p1"', 'codek = "p1"', "x:8: codek: is no key here"),
        ('codec = "p1"\n', "", "x:1: codec: is missing"),
        ('["el.energy.import"]', '["el.energy.x"]', "x:11: reported: 'el.energy.x' is none of"),
        ('"1-0:199.1.0"', '"1-0:999.1.0"', "x:15: own.thing: a group of"),
        ('unit = "W"', 'unit = "parsec"', "x:15: own.thing: 'parsec' is none of"),
        ("{ scaler = 0 }", '{ unit = "V" }', "x:16: el.current.l1: the canonical unit is A"),
        ("scaler = -1", 'scaler = "a"', "x:15: scaler: 'a' is no int"),
        ("{ scaler = 0 }", '{ scaler = "b" }', "x:16: scaler: 'b' is no int"),
        ("scaler = -1", "scaler = 99", "x:15: own.thing: a scaler of 99"),
        ("2026-01-31", '"soon"', "x:22: checked_on: 'soon' is no date"),
        ("[registers]", "[registerz]", "x:13: registerz: is no key here"),
        ("[registers]", "[registers", "x: Expected"),
    ],
)
def test_a_wrong_file_is_refused_with_line_key_and_reason(old, new, message):
    assert old in GOOD
    with pytest.raises(ProfileError) as caught:
        parse_spec("x", GOOD.replace(old, new, 1))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["nl_dsmr", "no_han"])
def test_shipped_profiles_are_valid(name):
    spec = load_spec(f"firmware_profiles.{name}")
    assert spec.name == name
    assert spec.reported
