from __future__ import annotations

from itertools import pairwise

import pytest

from firmware_profiles.modbus.profile import load_map
from gateway.drivers.registers import COUNT_MAX, grouped, map_names, read_plan
from ohmesh.model.errors import ConfigError

WITHOUT_GAPS = {"eastron_sdm120", "siemens_pac"}


@pytest.mark.parametrize("name", map_names())
def test_every_point_of_every_map_is_read_whole(name):
    plan, points = read_plan(name), load_map(name).points
    assert plan.function == load_map(name).function
    if plan.sunspec:
        assert plan.blocks == ()
        return
    for point in points:
        assert any(
            first <= point.address and point.address + point.words <= first + count
            for first, count in plan.blocks
        )
    assert all(count <= COUNT_MAX for _, count in plan.blocks)
    gap_max = 0 if name in WITHOUT_GAPS else 16
    for (first, count), (start, more) in pairwise(plan.blocks):
        apart = start - (first + count) > gap_max or start + more - first > COUNT_MAX
        assert apart, "reads are grouped"


def test_spans_are_joined_within_the_bounds():
    spans = [(20, 2), (0, 2), (2, 2), (10, 4), (12, 2)]
    assert grouped(spans, gap_max=6, count_max=125) == ((0, 22),)
    assert grouped(spans, gap_max=5, count_max=125) == ((0, 4), (10, 4), (20, 2))
    assert grouped(spans, gap_max=6, count_max=14) == ((0, 14), (20, 2))
    assert grouped([], gap_max=6, count_max=14) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[modbus",
        "[modbus]\nfunction = 6\npoints = []",
        "[modbus]\nfunction = 3\npoints = [{ address = 1 }]",
        "[modbus]\nfunction = 3\npoints = [{ address = 1, type = 'float8' }]",
        "[modbus]\nfunction = 3\npoints = 7",
    ],
)
def test_a_wrong_map_is_refused_with_its_name(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        read_plan(str(path))


def test_a_map_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        read_plan(str(path))
    with pytest.raises(ConfigError, match="eastron_sdm"):
        read_plan(str(tmp_path))
