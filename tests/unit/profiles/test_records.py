"""Files of telegrams and the `ohmesh profiles` command."""

import json
from decimal import Decimal
from importlib.resources import files

import pytest

from firmware_profiles import cli, records, registry
from firmware_profiles.api import Decoded
from firmware_profiles.records import answers, parse_record, reading_json
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Reading, Register
from ohmesh.model.unit import Unit

SAMPLES = files("firmware_profiles.samples").joinpath("telegrams.jsonl")
KILO = {"kWh": 1000, "kW": 1000, "kvarh": 1000}


def sample_lines():
    return SAMPLES.read_text(encoding="utf-8").splitlines()


def test_every_sample_decodes_to_its_values():
    lines = sample_lines()
    assert len(lines) >= 10
    for line, answer in zip(lines, answers(lines), strict=True):
        record, decoded = json.loads(line), json.loads(answer, parse_float=Decimal)
        assert decoded["error"] is None
        found = {(r["obis"], r["unit"]): Decimal(r["value"]) for r in decoded["readings"]}
        for name, entry in record["expected"].items():
            unit = entry["unit"].removeprefix("k")
            value = Decimal(str(entry["value"])) * KILO.get(entry["unit"], 1)
            assert found[name, unit] == value, (record["id"], name)


BAD = [
    ('{"id": "a"', "line 1", "malformed"),
    ("[1]", "line 1", "unsupported"),
    ('"text"', "line 1", "unsupported"),
    ("[" * 100_000, "line 1", "malformed"),
    ('{"id": "b", "standard": "x"}', "b", "unsupported"),
    ('{"id": "b", "standard": ["x"]}', "b", "unsupported"),
    ('{"id": 5, "standard": "dsmr-p1"}', "5", "unsupported"),
    ('{"id": "c", "standard": "dsmr-p1", "telegram_hex": "zz"}', "c", "unsupported"),
    ('{"id": "d", "standard": "dsmr-p1", "telegram_text": "\\u20ac"}', "d", "unsupported"),
    ('{"id": "e", "standard": "dlms-han-push", "telegram_hex": "01ff02"}', "e", "unsupported"),
    ('{"id": "f", "standard": "dsmr-p1", "telegram_text": "/X!12"}', "f", "checksum"),
]


@pytest.mark.parametrize(("line", "name", "kind"), BAD)
def test_a_bad_record_is_an_error_of_its_own(line, name, kind):
    good = sample_lines()[0]
    bad, after = (json.loads(answer) for answer in answers([line, "", good]))
    assert (bad["id"], bad["error"]["kind"], bad["readings"]) == (name, kind, [])
    assert after["error"] is None


def test_a_bug_in_a_profile_does_not_stop_the_file(monkeypatch):
    class Faulty:
        spec = registry.load("nl_dsmr").spec

        def decode(self, _payload, **_options):
            raise IndexError("oops")

    monkeypatch.setattr(registry, "for_standard", lambda _standard: (Faulty(),))
    answer = json.loads(next(iter(answers(sample_lines()))))
    assert answer["error"] == {"kind": "internal", "message": "IndexError: oops"}


def test_the_profile_of_the_records_country_is_taken():
    fields = {"standard": "dlms-han-push", "country": "NO", "telegram_hex": ""}
    assert parse_record(fields, "x").profile.spec.name == "no_han"


@pytest.mark.parametrize(
    ("value", "scaler", "text"),
    [
        (9007199254740993, -3, "9007199254740.993"),
        (-5, -4, "-0.0005"),
        (12, 3, "12000"),
        (10, -1, "1.0"),
    ],
)
def test_values_are_printed_digit_by_digit(value, scaler, text):
    register = Register("raw.1-0:99.1.0", Obis.parse("1-0:99.1.0"), Unit.ONE, scaler)
    line = reading_json(Reading(register, value))
    assert f'"value": {text},' in line
    assert json.loads(line)["name"] == "1-0:99.1.0"


DIFFERENCE = "680707680800780261d204b916"
"""A wired frame of one record: a temperature difference of 12.34 K."""


def test_a_temperature_difference_is_said_in_both_units():
    record = {"id": "d", "standard": "mbus", "telegram_hex": DIFFERENCE}
    (answer,) = answers([json.dumps(record)])
    readings = json.loads(answer)["readings"]
    assert [(r["value"], r["unit"]) for r in readings] == [(12.34, "K"), (12.34, "degC")]
    decoded = registry.load("eu_mbus").decode(bytes.fromhex(DIFFERENCE))
    assert [r.register.unit for r in decoded.readings] == [Unit.KELVIN]


def test_an_absolute_temperature_is_said_once():
    register = Register("raw.0-0:96.9.0", Obis.parse("0-0:96.9.0"), Unit.KELVIN, 0)
    once = Decoded(device={}, readings=(Reading(register, 300),))
    assert list(records.listed(once)) == [Reading(register, 300)]


def test_the_command_prints_a_line_a_record(tmp_path, capsys):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xff\xfe\n" + sample_lines()[0].encode() + b"\n")
    assert cli.main(["decode", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["error"] is None for line in lines] == [False, True]


def test_verification_can_be_switched_off(tmp_path, capsys):
    record = json.loads(sample_lines()[0])
    record["telegram_text"] = record["telegram_text"].replace("012345", "012346")
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(record))
    kinds = []
    for options in ([], ["--no-verify"]):
        assert cli.main(["decode", str(path), *options]) == 0
        error = json.loads(capsys.readouterr().out)["error"]
        kinds.append(error and error["kind"])
    assert kinds == ["checksum", None]


def test_a_missing_file_is_wrong_use(capsys):
    assert cli.main(["decode", "/nowhere/x.jsonl"]) == 2
    assert capsys.readouterr().err.startswith("ohmesh profiles decode: /nowhere/x.jsonl: No such")


def test_list_and_show(capsys):
    assert cli.main(["list"]) == 0
    listed = capsys.readouterr().out
    for name in registry.names():
        assert name in listed
        assert cli.main(["show", name]) == 0
        assert f"name       {name}" in capsys.readouterr().out
