"""The command line: one line for a mistake, 2 for wrong use, a roster on stdout."""

from __future__ import annotations

import pytest

from meter_sim.cli import main
from meter_sim.roster import decode_roster
from ohmesh.model.errors import ConfigError


def wrong_use(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_roster_is_printed_as_asked_for(capsys):
    words = "roster --meters 5 --gateways 1 --seed 4 --profile no_han --speed 60 --prepaid 0"
    words += " --interval 3600 --timer-divisor 10 --start 2026-02-01T00:00:00+01:00"
    assert main(words.split()) == 0
    roster = decode_roster(capsys.readouterr().out)
    assert len(roster.meters) == 5
    assert {m.profile for m in roster.meters} == {"no_han"}
    assert not any(m.prepaid for m in roster.meters)
    assert (roster.seed, roster.calendar_speed, roster.timer_divisor) == (4, 60, 10)
    assert roster.interval_s == 3600
    assert roster.start.isoformat() == "2026-01-31T23:00:00+00:00"


@pytest.mark.parametrize("command", [(), ("roster",), ("ether",), ("fleet",)])
def test_help_has_an_example(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "ohmesh sim" in capsys.readouterr().out.split("example")[1]


def test_wrong_use_is_told_in_one_line(capsys, tmp_path):
    air = ("--air", "mqtt://127.0.0.1:1", "--roster", tmp_path / "r.json")
    assert "--meters" in wrong_use(capsys, "roster")
    assert "COMMAND" in wrong_use(capsys)
    assert "dance" in wrong_use(capsys, "dance")
    assert "mqtt[s]://" in wrong_use(capsys, "ether", "--roster", "x", "--air", "http://host")
    assert "zone" in wrong_use(capsys, "roster", "--meters", 3, "--start", "2026-01-01T00:00:00")
    for part in ("0/2", "3/2", "x", "1/", "1/2/3"):
        assert part in wrong_use(capsys, "fleet", *air, "--part", part)


def fleet(tmp_path, *words):
    file = tmp_path / "roster.json"
    return main(["fleet", "--roster", str(file), "--air", "mqtt://127.0.0.1:1", *map(str, words)])


def test_what_a_fleet_cannot_start_with_is_refused(capsys, tmp_path):
    with pytest.raises(ConfigError, match=r"roster\.json"):
        fleet(tmp_path)
    main(["roster", "--meters", "2", "--gateways", "1"])
    (tmp_path / "roster.json").write_text(capsys.readouterr().out)
    with pytest.raises(ConfigError, match="token-file"):
        fleet(tmp_path, "--register", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="nowhere"):
        fleet(tmp_path, "--register", "http://127.0.0.1:1", "--token-file", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="truth"):
        fleet(tmp_path, "--truth", tmp_path / "no" / "truth.jsonl")
