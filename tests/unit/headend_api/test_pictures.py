"""From a topology to a picture, from a register to a curve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from headend.api.views import Node, Topology
from headend.web.curve import slots
from headend.web.mesh import (
    BEHIND_MIN,
    HOPS_MAX,
    RADIUS_MAX,
    RADIUS_MIN,
    WIDTH,
    as_of,
    draw,
    moved,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=15)


def node(number: int, *, kind="meter", parent=None, hops=None, at=(None, None), behind=0) -> Node:
    return Node(
        node=number,
        kind=kind,
        id=None if kind == "unknown" else f"M{number}",
        gateway="gw",
        parent=parent,
        hops=hops,
        etx_128ths=None,
        reported_at=NOW,
        last_seen=NOW,
        behind=behind,
        x_m=at[0],
        y_m=at[1],
    )


def picture(*nodes: Node):
    return draw(Topology(list(nodes), NOW))


def test_nothing_is_an_empty_picture():
    assert picture().dots == []
    assert picture().lines == []


def test_a_meter_without_a_route_is_lost_and_has_no_line():
    made = picture(
        node(1, kind="gateway", hops=0, at=(0, 0)),
        node(2, parent=1, hops=1, at=(10, 0)),
        node(3, at=(20, 5)),
    )
    assert [d.state for d in made.dots] == ["gateway", "ok", "lost"]
    assert [line.key for line in made.lines] == ["l2"]
    assert made.lost == ["M3"]


def test_proportions_are_kept_and_north_is_up():
    made = picture(
        node(1, kind="gateway", hops=0, at=(0, 0)),
        node(2, parent=1, hops=1, at=(100, 0)),
        node(3, parent=1, hops=1, at=(0, 50)),
    )
    root, east, north = made.dots
    assert east.y == root.y
    assert north.x == root.x
    assert (east.x - root.x) == pytest.approx(2 * (root.y - north.y), abs=1)
    for dot in made.dots:
        assert 0 < dot.x < WIDTH
        assert 0 < dot.y < made.height


def test_a_parent_that_nobody_knows_is_no_line():
    assert picture(node(2, parent=99, hops=1, at=(0, 0))).lines == []


def test_without_positions_everybody_has_a_place_of_their_own():
    nodes = [node(1, kind="gateway", hops=0)]
    nodes += [node(n, parent=n - 1, hops=n - 1) for n in range(2, 30)]
    places = {(d.x, d.y) for d in picture(*nodes).dots}
    assert len(places) == 29


def test_long_ways_share_the_last_colour_and_are_counted_apart():
    nodes = [node(1, kind="gateway", hops=0, at=(0, 0))]
    nodes += [node(n, parent=n - 1, hops=n - 1, at=(n, 0)) for n in range(2, 12)]
    made = picture(*nodes)
    assert max(d.shade for d in made.dots) == HOPS_MAX
    assert made.histogram == [(n, 1) for n in range(1, 11)]


def test_a_crowd_is_drawn_small():
    few = picture(*(node(n, at=(n * 40, n % 7 * 40)) for n in range(1, 20)))
    many = picture(*(node(n, at=(n % 40 * 10, n // 40 * 10)) for n in range(1, 2000)))
    assert few.radius == RADIUS_MAX
    assert many.radius < few.radius
    assert many.radius >= RADIUS_MIN


def test_a_meter_that_was_never_heard_is_awaited_and_not_lost():
    silent = replace(node(3, at=(5, 5)), last_seen=None)
    made = picture(node(1, kind="gateway", hops=0, at=(0, 0)), silent)
    assert made.dots[1].state == "new"
    assert (made.lost, made.awaited) == ([], 1)


def test_a_meter_that_falls_behind_is_seen_with_its_link():
    made = picture(
        node(1, kind="gateway", hops=0, at=(0, 0)),
        node(2, parent=1, hops=1, at=(10, 0), behind=BEHIND_MIN),
        node(3, parent=1, hops=1, at=(0, 10), behind=BEHIND_MIN - 1),
        node(4, parent=1, hops=1, at=(10, 10), behind=None),
    )
    assert [d.state for d in made.dots] == ["gateway", "behind", "ok", "ok"]
    assert made.lines[0].state == "behind"
    assert made.behind == ["M2"]


def test_a_thin_street_is_drawn_wider_than_it_is():
    made = picture(*(node(n, at=(n * 10, n % 2 * 30)) for n in range(1, 61)))
    rows = {d.y for d in made.dots}
    assert max(rows) - min(rows) > 30 * (912 / 590)


def curve(*values: tuple[int, int], count: int = 4):
    """Slots from (quarter, register) pairs."""
    pairs = [(NOW + STEP * quarter, register) for quarter, register in values]
    return [s.energy for s in slots(pairs, NOW, NOW + STEP * count, STEP)]


def test_energy_is_the_difference_of_the_ends():
    assert curve((0, 100), (1, 110), (2, 110), (3, 150), (4, 151)) == [10, 0, 40, 1]


def test_a_gap_gives_no_energy_on_either_side():
    assert curve((0, 100), (1, 110), (3, 150), (4, 151)) == [10, None, None, 1]


def test_a_register_that_goes_back_gives_no_energy():
    assert curve((0, 100), (1, 5), (2, 9)) == [None, 4, None, None]


def test_times_between_ends_are_left_out():
    values = [(NOW, 1), (NOW + STEP / 2, 999), (NOW + STEP, 2)]
    assert [s.energy for s in slots(values, NOW, NOW + STEP, STEP)] == [1]


def test_a_day_of_a_clock_change_has_its_own_length():
    assert len(slots([], NOW, NOW + timedelta(hours=23), STEP)) == 92
    assert len(slots([], NOW, NOW + timedelta(hours=25), STEP)) == 100


def test_a_past_mesh_has_todays_places_and_the_ways_of_then():
    gateway = node(1, kind="gateway", hops=0)
    now = Topology(
        [gateway, node(2, parent=1, hops=1), node(3, parent=2, hops=2), node(4, parent=1, hops=1)],
        NOW,
    )
    then = Topology([gateway, node(2, parent=1, hops=1), node(3, parent=1, hops=1)], NOW - STEP)
    shown = as_of(now, then, NOW - STEP)
    assert [n.parent for n in shown.nodes] == [None, 1, 1, None]
    assert moved(now, shown) == {3}, "who had no way then has not changed it"
    assert draw(shown).lost == ["M4"]
    assert shown.reported_at == NOW - STEP


def test_a_time_of_which_nothing_is_known_loses_nobody():
    now = Topology([node(1, kind="gateway", hops=0), node(2, parent=1, hops=1)], NOW)
    shown = as_of(now, Topology([], None), NOW - STEP)
    assert (moved(now, shown), draw(shown).lost, draw(shown).awaited) == (set(), [], 1)
