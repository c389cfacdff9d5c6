"""What stands where nothing was measured."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from headend.vee import shape
from headend.vee.estimate import EPOCH, Known, apportion, fill
from headend.vee.model import DAY_US, Gap, Limits, Method
from ohmesh.model.errors import ConfigError

sys.path.append(str(Path(__file__).parent))
from kit import START, L

BERLIN = ZoneInfo("Europe/Berlin")
PROFILES = Path(__file__).parents[5] / "shared" / "loadprofiles"


def known(**more):
    usual = {"before": None, "after": None, "past": {}, "usual_day": 0}
    return Known(L, BERLIN, **usual | more)


def gap(slots, total=None, start=START):
    return Gap(0, start, start + slots * L, total)


def filled(one, around, method=None):
    return fill(one, around, shape.flat(), Limits(), method)


def test_a_short_gap_follows_the_line():
    assert filled(gap(3), known(before=10, after=50)) == ([20, 30, 40], Method.LINEAR)
    assert filled(gap(3, 9), known(before=10, after=50)) == ([2, 3, 4], Method.LINEAR_SCALED)
    assert filled(gap(2), known(before=10)) == ([10, 10], Method.LINEAR)


def test_a_long_gap_is_like_the_same_weekdays():
    past = {
        START + (i + 1) * L - week * 7 * DAY_US: 100 * week + i
        for week in (1, 2, 4)
        for i in range(20)
    }
    found = filled(gap(20), known(before=1, after=1, past=past))
    assert found == ([(700 + 3 * i) // 3 for i in range(20)], Method.LIKE_DAY)
    scaled = filled(gap(20, 1000), known(past=past))
    assert scaled.method is Method.LIKE_DAY_SCALED
    assert sum(scaled.values) == 1000


def test_a_like_day_keeps_to_the_local_clock_over_a_change_of_it():
    """25 October 2026: Berlin falls back; six in the morning moves from 04:00 to 05:00 UTC."""
    after = datetime(2026, 10, 26, 6, tzinfo=BERLIN)
    slot = (after - EPOCH) // timedelta(microseconds=1)
    before = (datetime(2026, 10, 19, 6, tzinfo=BERLIN) - EPOCH) // timedelta(microseconds=1)
    assert slot - before == 7 * DAY_US + 4 * L
    found = filled(gap(1, start=slot), known(past={before + L: 77}), Method.LIKE_DAY)
    assert found == ([77], Method.LIKE_DAY)


def test_a_long_gap_without_history_follows_the_load_shape():
    one = fill(gap(96, 960), known(), shape.evening(), Limits())
    assert one.method is Method.LOAD_SHAPE_SCALED
    assert sum(one.values) == 960
    assert max(one.values) > 2 * min(one.values)
    unscaled = fill(gap(96), known(usual_day=9600), shape.flat(), Limits())
    assert unscaled == ([100] * 96, Method.LOAD_SHAPE)


def test_apportion_gives_everything_away():
    assert apportion(10, [1, 1, 1]) == [3, 3, 4]
    assert apportion(10, [0, 0]) == [5, 5]
    assert apportion(-7, [1, 2]) == [-3, -4]


@pytest.mark.skipif(not PROFILES.exists(), reason="the published profiles are not here")
@pytest.mark.parametrize("name", ["bdew_h25", "bdew_g25", "bdew_l25"])
def test_published_shapes_load(name):
    found = shape.load(PROFILES / f"{name}.csv")
    assert len(found.weights) == 36
    # 1 000 000 kWh a year: a workday of January in thousandths of a kilowatt-hour.
    assert 2_000_000 < sum(found.weights[1, "WT"]) < 4_000_000


@pytest.mark.parametrize("text", ["", "a,b\n", ",x\n" * 98, "\0"])
def test_what_is_no_shape_is_refused_in_one_line(tmp_path, text):
    file = tmp_path / "shape.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match="load shape") as error:
        shape.load(file)
    assert "\n" not in str(error.value)
