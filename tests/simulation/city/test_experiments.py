"""The experiments' own arithmetic, and one of them from the command line."""

import json
import math
from statistics import fmean

import pytest

from meter_sim.city.bench.cli import main as bench
from meter_sim.city.experiments.catalogue import CATALOGUE, experiment_named
from meter_sim.city.experiments.measure import Better, Measure, percentile, share, summarise
from meter_sim.cli import main
from ohmesh.model.errors import ConfigError


def measure(value, target=0.9, better=Better.HIGHER):
    return Measure("share", value, 1.0, target, better)


def test_a_summary_is_mean_and_student_interval():
    summary = summarise([measure(0.8), measure(0.9), measure(1.0)])
    assert summary.value == pytest.approx(0.9)
    # t(0.975, 2) = 4.3027; the deviation of the mean is 0.1 / sqrt 3.
    assert summary.high - summary.value == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert summary.value - summary.low == pytest.approx(summary.high - summary.value)
    assert summary.passed


def test_a_target_is_met_from_its_own_side():
    assert not summarise([measure(0.89)]).passed
    assert summarise([measure(0.89, better=Better.LOWER)]).passed
    assert not summarise([measure(math.inf, better=Better.LOWER)]).passed
    assert summarise([measure(0.5), measure(math.inf)]).value == math.inf


def test_percentiles_are_values_that_were_there():
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([3, 1, 2], 99) == 3
    assert percentile(list(range(1, 101)), 95) == 95
    assert math.isnan(percentile([], 95))
    assert math.isnan(share(0, 0))
    assert share(1, 4) == 0.25


def test_what_was_not_there_to_be_measured_counts_neither_way():
    some = summarise([measure(math.nan), measure(1.0)])
    assert (some.value, some.passed, len(some.values)) == (1.0, True, 2)
    none = summarise([measure(math.nan), measure(math.nan)])
    assert math.isnan(none.value)
    assert none.passed is None


def test_names():
    assert set(CATALOGUE) == {f"E{n}" for n in range(1, 19)}
    with pytest.raises(ConfigError, match="E18"):
        experiment_named("E99")


def test_cold_start_from_the_command_line(capsys, tmp_path):
    out = tmp_path / "e3.json"
    argv = ["experiment", "E3", "--nodes", "12", "--seeds", "2", "--quick", "--json", str(out)]
    code = main(argv)
    (line,) = capsys.readouterr().out.splitlines()
    assert out.read_text() == line + "\n"
    last = json.loads(line)
    assert last["value"] == pytest.approx(fmean(last["metrics"][0]["values"]))
    assert (last["experiment"], last["profile"], last["nodes"]) == ("E3", "suburb-mid", 12)
    assert (last["seeds"], last["metric"], last["target"]) == (2, "t95_s", 240.0)
    assert last["low"] <= last["value"] <= last["high"]
    assert 0 < last["value"] < 240
    assert last["pass"] is True
    assert code == 0
    assert [m["metric"] for m in last["metrics"]] == ["t95_s", "t99_s", "t100_s"]


def test_the_benchmark_counts_and_its_run_is_fixed_by_the_seed(capsys):
    argv = ["--nodes", "8", "--minutes", "15", "--json"]
    assert bench(argv) == 0
    one = json.loads(capsys.readouterr().out)
    assert bench(argv) == 0
    again = json.loads(capsys.readouterr().out)
    assert one["nodes"] == 8
    assert one["events"] == again["events"] > 50
    assert one["digest"] == again["digest"]
    assert one["events_per_s"] > 0
    assert one["sim_seconds_per_wall_second"] > 0
    assert 1_000 < one["bytes_per_node"] < 1_000_000
