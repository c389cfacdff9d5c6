"""Shipped scenarios as people run them: three short ones always, all of them in the soak run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from meter_sim.scenario.parse import shipped_names

SHORT = ("any-one-node", "corrupt-telegrams", "outage-by-feeder")
ROOT = Path(__file__).parents[3]


def run(*words, timeout=170, cwd=None):
    argv = [sys.executable, "-m", "ohmesh", "sim", *map(str, words)]
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=timeout, cwd=cwd
    )


@pytest.mark.parametrize("name", SHORT)
def test_a_scenario_proves_what_it_says(name, tmp_path):
    files = {kind: tmp_path / f"run.{kind}" for kind in ("html", "xml", "json")}
    done = run(
        *("run", name, "--json", "--report", files["html"], "--junit", files["xml"]),
        *("--json-file", files["json"]),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert (facts["failed"], facts["first_difference"]) == (0, None)
    assert facts["facts"]["readings_stored"] == facts["facts"]["readings_expected"] > 0
    assert ET.parse(files["xml"]).find("testsuite").get("failures") == "0"
    assert "<svg" in files["html"].read_text()
    same = run("compare", files["json"], files["json"])
    assert (same.returncode, same.stdout.splitlines()[0]) == (0, "no difference")


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [n for n in shipped_names() if n not in SHORT])
def test_every_scenario_proves_what_it_says(name):
    done = run("run", name, "--json", timeout=3500)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_promise_is_told_with_the_first_record_and_its_way(tmp_path):
    (tmp_path / "broken.toml").write_text(
        'name = "broken"\nproves = "Lost telegrams are seen."\ndriver = "feed"\n'
        '[fleet]\nmeters = 4\ngateways = 1\nlasts = "2h"\n'
        '[[fault]]\nwhat = "unregistered"\nshare_percent = 50\nlasts = "90d"\n'
        '[[expect]]\nfact = "quarantined"\nequals = 99\n'
    )
    done = run("run", tmp_path / "broken.toml", "--junit", tmp_path / "run.xml")
    assert done.returncode == 1, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["passed"], last["failed"]) == (0, 1)
    assert ET.parse(tmp_path / "run.xml").find(".//failure") is not None


def test_the_example_with_the_plugin_runs(tmp_path):
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    argv += [f"--junitxml={tmp_path / 'run.xml'}", "--ohmesh-scenario", "gateway-loss"]
    done = subprocess.run(
        [*argv, ROOT / "examples" / "testbench"],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    suite = ET.parse(tmp_path / "run.xml").find("testsuite")
    properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert properties["ohmesh_seed"] == "1"
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")


def test_a_scenario_is_a_fixture(tmp_path):
    test = tmp_path / "test_mine.py"
    test.write_text("def test_it(scenario_result):\n    assert scenario_result.passed\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    done = subprocess.run(
        [*argv, "-W", "error", "--ohmesh-scenario", "sts-rollover", test],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_scenario_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "test_mine.py").write_text("def test_it(headend):\n    pass\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    done = subprocess.run(
        [*argv, "--ohmesh-scenario", "gatway-loss"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 4
    assert "did you mean 'gateway-loss'?" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_load_is_counted_at_its_end_by_the_head_end_itself(ohmesh_headend, ohmesh_broker):
    words = ("load", "--meters", 120, "--gateways", 3, "--broker", ohmesh_broker.url, "--json")
    words += ("--api", ohmesh_headend.url, "--token-file", ohmesh_headend.token_file)
    done = run(*words, "--register")
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert facts["stored"] == facts["acknowledged"] == facts["delivered"] == 120
    missing = run(*words, "--meters", 140, "--settle", 3)  # twenty that nobody has registered
    assert missing.returncode == 1
    assert json.loads(missing.stdout)["missing"] == 20
