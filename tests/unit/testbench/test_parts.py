"""Which nodes a fault is about, and the commands' own refusals."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from meter_sim.cli import main
from meter_sim.replay import player
from meter_sim.scenario.mesh import MeshRunError, chosen, halves, moments
from meter_sim.scenario.model import Fault, What
from meter_sim.scenario.parse import SHIPPED, parse_scenario
from meter_sim.scenario.runner import run_scenario
from meter_sim.street import StreetPlan, make_roster
from ohmesh.model.errors import ConfigError, PrepaymentError

ROSTER = make_roster(StreetPlan(meters=10, gateways=2))


class Hands:
    """A mesh of a chain: 101 hangs on 100, 102 on 101, and so on."""

    def parents(self):
        chain = {n: {"kind": "meter", "parent": n - 1} for n in range(101, 110)}
        return {1: {"kind": "gateway", "parent": None}, 100: {"kind": "meter", "parent": 1}} | chain


def about(**fields):
    return chosen(Fault(What.KILL_NODE, **fields), ROSTER, Hands(), Random(1))


def test_the_busiest_relay_carries_most_and_a_name_is_a_name():
    assert about(node="busiest") == [100]
    assert about(node="M0003") == [ROSTER.meters[2].node]
    with pytest.raises(MeshRunError, match="no meter 'M9999'"):
        about(node="M9999")


def test_a_share_is_drawn_and_halves_are_the_whole():
    drawn = about(share_percent=30)
    assert len(drawn) == 3
    assert set(drawn) < {meter.node for meter in ROSTER.meters}
    left, right = halves(ROSTER)
    assert sorted(left + right) == sorted(site.node for site in ROSTER.sites)
    assert abs(len(left) - len(right)) <= 1


def test_every_fault_begins_and_ends_in_the_order_of_time():
    faults = [Fault(What.KILL_NODE, at="10s", lasts="5s"), Fault(What.PARTITION, at="12s")]
    order = [(begins, number) for _, begins, number, _ in moments(faults)]
    assert order == [(True, 0), (True, 1), (False, 1), (False, 0)]


@pytest.mark.parametrize("end", ["", "expect = []"])
def test_a_scenario_without_expectations_is_none(end):
    with pytest.raises(ConfigError, match="expect"):
        parse_scenario(f'name = "x"\nproves = "x."\ndriver = "feed"\n{end}\n', "x.toml")


def test_real_time_that_is_not_permitted_is_told(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(ConfigError, match="it takes root"):
        player.in_real_time()


@pytest.mark.parametrize(
    "words",
    [
        ("load", "--meters", "0", "--broker", "mqtt://127.0.0.1"),
        ("load", "--meters", "5", "--broker", "http://127.0.0.1"),
        ("replay", "x", "--to", "pty", "--speed", "-1"),
        ("replay", "x", "--to", "pty", "--loops", "0"),
        ("record", "x", "--qos", "2", "--broker", "mqtt://127.0.0.1"),
        ("run",),
    ],
)
def test_wrong_use_is_one_line_and_rc_2(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(list(words))
    assert left.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("load", "--meters", "5", "--broker", "mqtt://127.0.0.1", "--register"), "needs --api"),
        (("load", "--meters", "5", "--gateways", "9", "--broker", "mqtt://h"), "9 gateways for 5"),
        (("load", "--meters", "5", "--profile", "xx", "--broker", "mqtt://h"), "no profile 'xx'"),
        (("replay", "nothing.ohmcap", "--to", "pty"), "cannot read the capture"),
        (("run", "any-one-node", "gateway-loss", "--report", "x.html"), "one scenario at a time"),
        (("run", "any-one-node", "--capture", "x"), "driver 'feed'"),
        (("compare", "nothing.json", "nothing.json"), "cannot read"),
        (("anonymise", "a", "b", "--key-file", "/nowhere/key"), "the key file"),
    ],
)
def test_what_cannot_be_done_is_told(words, told):
    with pytest.raises(ConfigError, match=told):
        main(list(words))


def test_the_shipped_scenarios_are_listed_with_their_drivers(capsys):
    assert main(["scenarios"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 20
    assert {line.split()[1] for line in lines} == {"feed", "stack", "street", "keypad"}
    assert main(["scenarios", "--print", "gateway-loss"]) == 0
    assert 'name = "gateway-loss"' in capsys.readouterr().out
    assert main(["scenarios", "--facts"]) == 0
    assert "read_success" in capsys.readouterr().out


def rollover(fault):
    text = (SHIPPED / "sts-rollover.toml").read_text()
    head, _, expects = text.partition("[[fault]]")
    without = head + "[[expect]]" + expects.partition("[[expect]]")[2]
    return parse_scenario(text if fault else without.replace("60", "3"), "sts-rollover")


def test_the_roll_over_of_token_identifiers_and_what_happens_without_it():
    result = run_scenario(rollover(fault=True), folder=Path())
    assert result.passed, result.verdicts
    assert result.outcome.facts["tokens_sold"] > 3000
    again = run_scenario(rollover(fault=True), folder=Path())
    assert again.outcome.digest == result.outcome.digest
    with pytest.raises(PrepaymentError) as refused:
        run_scenario(rollover(fault=False), folder=Path())
    assert refused.value.code == "tid_out_of_range"
