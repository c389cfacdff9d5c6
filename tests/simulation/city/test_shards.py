"""A city cut along its gateway cells: nobody is lost or counted twice; own meters fare alike."""

from dataclasses import replace

import numpy as np
import pytest

from meter_sim.city.bench.cli import run_part
from meter_sim.city.bench.load import Load, joint_digest
from meter_sim.city.build import MINUTE_US, Radio, city_on
from meter_sim.city.layout import build_layout
from meter_sim.city.links import build_link_table
from meter_sim.city.profiles import PROFILES
from meter_sim.city.shards import cut
from ohmesh.model.errors import ConfigError

STREETS = PROFILES["suburb-mid"]
LAYOUT = build_layout(STREETS, 1500, 4, gateways=12)


def cells(layout):
    """The nearest gateway of each node, as an index of the whole city."""
    gateways = slice(None, layout.gateways)
    dx = layout.x_dm[:, None] - layout.x_dm[None, gateways]
    dy = layout.y_dm[:, None] - layout.y_dm[None, gateways]
    return layout.origin[gateways][np.argmin(dx * dx + dy * dy, axis=1)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
def test_every_meter_is_somebodys_own_once(count):
    shards = cut(LAYOUT, STREETS.radio, count)
    own = np.concatenate([shard.layout.origin[shard.own - 1] for shard in shards])
    assert len(shards) == count
    assert sorted(own.tolist()) == list(range(12, 1512))
    sizes = [len(shard.own) for shard in shards]
    assert max(sizes) < 3 * min(sizes)


def test_cells_are_played_whole_and_nobody_in_reach_is_missing():
    everybody = build_link_table(STREETS.radio, LAYOUT, 4)
    homes = cells(LAYOUT)
    for shard in cut(LAYOUT, STREETS.radio, 4):
        played = set(shard.layout.origin.tolist())
        homes_played = {int(home) for home in homes[shard.layout.origin]}
        assert played == {n for n in range(len(LAYOUT)) if homes[n] in homes_played}
        for number in shard.own[::7]:
            here = int(shard.layout.origin[number - 1])
            near = {n - 1 for n, level in everybody.row(here + 1).items() if level > -1040}
            assert {n for n in near if n >= 12} <= played


def test_the_links_of_a_shard_are_those_of_the_city():
    everybody = build_link_table(STREETS.radio, LAYOUT, 4)
    shard = cut(LAYOUT, STREETS.radio, 4)[1]
    origin = shard.layout.origin
    links = build_link_table(STREETS.radio, shard.layout, 4)
    for index in range(0, len(origin), 50):
        of_city = everybody.row(int(origin[index]) + 1)
        here = {int(origin[n - 1]) + 1: level for n, level in links.row(index + 1).items()}
        assert here == {n: level for n, level in of_city.items() if n in here}
        assert len(here) == sum(n - 1 in set(origin.tolist()) for n in of_city)


def test_own_meters_fare_as_in_the_whole_city():
    layout = build_layout(STREETS, 240, 4, gateways=6)

    def hops(part, numbers):
        city = city_on(part, STREETS, 4, radio=Radio.FUSED)
        city.world.boot_all(5 * MINUTE_US)
        city.world.run(20 * MINUTE_US)
        stations = [city.world.station(int(n)) for n in numbers]
        assert all(station.joined for station in stations)
        return [station.hops for station in stations]

    whole = hops(layout, range(7, 247))
    shards = cut(layout, STREETS.radio, 2)
    apart = [h for shard in shards for h in hops(shard.layout, shard.own)]
    assert sum(apart) == pytest.approx(sum(whole), rel=0.1)


def test_more_shards_than_gateways_are_refused():
    with pytest.raises(ConfigError, match="12 gateways"):
        cut(LAYOUT, STREETS.radio, 13)


@pytest.mark.soak
def test_the_digest_is_of_the_cut_and_not_of_the_order():
    load = Load("rural", 600, 1, 20, Radio.FUSED, shards=2)
    parts = [run_part(replace(load, shard=n)) for n in (0, 1)]
    backwards = [run_part(replace(load, shard=n)) for n in (1, 0)][::-1]
    assert joint_digest(parts) == joint_digest(backwards)
    assert sum(part.own for part in parts) == 600
