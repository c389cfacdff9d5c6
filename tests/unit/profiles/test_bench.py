"""`ohmesh bench decode`: what it times, and what its rows say."""

import json
import sys
from pathlib import Path

import pytest

from firmware_profiles.bench import cli, oracles, report
from firmware_profiles.bench.timing import Effort, Timed, timed
from firmware_profiles.records import parse_record

QUICK = Effort(rounds=1, round_s=0.0001)
P1 = {"id": "a", "standard": "dsmr-p1", "telegram_text": "/X\r\n\r\n1-0:1.8.0(1*kWh)\r\n!\r\n"}
BROKEN = {**P1, "telegram_text": P1["telegram_text"].replace("!", "!1234")}


def measured(us, fields=P1):
    return Timed(fields, parse_record(fields, "a"), us)


def test_only_telegrams_that_decode_are_timed():
    lines = [json.dumps(BROKEN), "", json.dumps(P1)]
    (only,) = timed(lines, QUICK)
    assert only.fields == P1
    assert only.us > 0


def test_a_ratio_is_of_the_same_telegrams():
    """A library that fails on the long telegram is not compared with our time for it."""
    telegrams = [measured(10.0), measured(1000.0)]
    row = report.rows(telegrams, [{"other": 50.0}, {"other": None}])["dsmr-p1"]
    assert (row.us, row.us_max, row.telegrams) == (505.0, 1000.0, 2)
    assert (row.oracle, row.oracle_us, row.ratio, row.oracle_telegrams) == ("other", 50.0, 5.0, 1)


def test_the_yardstick_is_the_library_that_is_fastest_against_us():
    row = report.rows([measured(10.0)], [{"slow": 90.0, "fast": 30.0, "deaf": None}])["dsmr-p1"]
    assert (row.oracle, row.ratio) == ("fast", 3.0)


def test_without_a_library_a_row_has_our_time_alone():
    row = report.rows([measured(10.0)], [{}])["dsmr-p1"].as_json()
    assert (row["us"], row["oracle"], row["oracle_us"], row["ratio"]) == (10.0, None, None, None)


@pytest.fixture
def without_oracles(monkeypatch):
    monkeypatch.setattr(oracles, "interpreter", lambda: None)
    monkeypatch.setattr(cli, "_QUICK", QUICK)


@pytest.mark.usefixtures("without_oracles")
def test_the_last_line_is_json(tmp_path, capsys):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(P1))
    assert cli.main(["--quick", str(path)]) == 0
    head, *_, last = capsys.readouterr().out.splitlines()
    assert head.startswith("standard")
    assert json.loads(last)["standards"]["dsmr-p1"]["telegrams"] == 1


@pytest.mark.usefixtures("without_oracles")
@pytest.mark.parametrize("text", ["no json", json.dumps({"standard": "x"})])
def test_a_bad_file_is_wrong_use(tmp_path, capsys, text):
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    assert cli.main(["--quick", "--json", str(path)]) == 2
    assert capsys.readouterr().err.startswith("ohmesh bench decode: ")


def test_what_steers_an_oracle_is_passed_on():
    task = oracles._task(measured(1.0, {**P1, "country": "NL", "expected": {}}))
    assert task["country"] == "NL"
    assert bytes.fromhex(task["payload_hex"]) == P1["telegram_text"].encode()
    assert "expected" not in task


def test_an_oracle_that_fails_is_told(tmp_path, monkeypatch):
    script = tmp_path / "oracles.py"
    script.write_text("raise SystemExit('no such library')")
    monkeypatch.setattr(oracles, "_SCRIPT", script)
    with pytest.raises(oracles.OracleError, match="no such library"):
        oracles.times(Path(sys.executable), [measured(1.0)], QUICK)
