"""The page about a city: what it says is what happened, and it stands alone."""

import json
import re

import pytest

from meter_sim.city.build import Radio
from meter_sim.city.experiments.stage import Plan
from meter_sim.city.report.page import render
from meter_sim.city.report.story import Fate, Fault, tell
from meter_sim.cli import main

METERS = 80


@pytest.fixture(scope="module")
def story():
    return tell(Plan("suburb-mid", METERS, 3, radio=Radio.FUSED), Fault.RELAY, lambda _: None)


def way_up(parents, index):
    """The places on the way from one to its gateway; a parent is a node's number, from 1."""
    ways = []
    while parents[index]:
        index = parents[index] - 1
        ways.append(index)
    return ways


def test_the_busiest_relay_is_off_and_those_behind_it_come_back(story):
    before, during, after = story.snapshots
    dead = [i for i, alive in enumerate(during.alive) if not alive]
    assert len(dead) == 1
    assert all(before.alive)
    assert min(before.hops) == 0
    behind = [i for i in range(len(before.parent)) if dead[0] in way_up(before.parent, i)]
    assert story.affected == len(behind) > 3
    assert after.hops.count(-1) <= 1 + story.unhealed
    assert len(story.heal_s) == story.affected - story.unhealed


def test_every_reading_has_one_fate(story):
    begin, end = min(story.fates) * 5, max(story.fates) * 5 + 5
    assert (begin, end) == (-60, 60)
    counted = sum(sum(counts.values()) for counts in story.fates.values())
    assert counted == pytest.approx(2 * 4 * METERS, abs=12)
    in_time = sum(counts[Fate.IN_TIME] for counts in story.fates.values())
    assert in_time > 0.95 * counted


def test_the_page_stands_alone_and_its_data_is_the_story(story):
    page = render(story)
    assert "http" not in page.replace("http-equiv", "")
    data = json.loads(re.search(r"const D = (.*);", page).group(1))
    assert data["maps"][0]["parent"] == story.snapshots[0].parent
    assert len(data["places"]) == METERS + 1
    assert page.count('<div class="tile"') + page.count('<div class="tile miss') == 5
    assert story.city.world.digest in page
    assert page.count("<figure") == 3


def test_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["report", "--nodes", "12", "--fault", "gateway", "--out", str(out)]) == 0
    assert "A gateway dies" in out.read_text(encoding="utf-8")
    assert capsys.readouterr().out.startswith(f"wrote {out}")
