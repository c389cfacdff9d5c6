"""Up to eight nodes, any shape, any order of loss, delay, reboots and cuts: no loop, bounds hold.

A cycle may close only after somebody went through hold-down (tier 2) or forgot its distance in a
reboot; switches of tier 1 alone must never close one.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ohmesh.mesh import StationConfig
from ohmesh.mesh.testing import World

ROOTS = (1, 2)
METERS = (11, 12, 13, 14, 15, 16)
NODES = ROOTS + METERS

PAIRS = st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(lambda p: p[0] < p[1])
ACTIONS = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 3_000)),
    st.tuples(st.just("cut"), PAIRS),
    st.tuples(st.just("link"), PAIRS),
    st.tuples(st.just("submit"), st.sampled_from(METERS)),
    st.tuples(st.just("loss"), st.integers(0, 60)),
    st.tuples(st.just("ground"), st.tuples(st.sampled_from(ROOTS), st.booleans())),
)
REBOOTS = st.tuples(st.just("reboot"), st.sampled_from(NODES))


def build(seed, links):
    world = World(seed)
    for node in NODES:
        is_root = node in ROOTS
        world.add(
            StationConfig(node=node, net=1, is_root=is_root, epoch=9 * is_root, timer_divisor=20)
        )
    for one, other in links:
        world.link(one, other)
    world.delay_spread_ms = 120
    world.boot_all(500)
    return world


def act(world, action, value):
    match action:
        case "run":
            world.run(world.now_ms + value)
        case "cut":
            world.cut(*value)
        case "link":
            world.link(*value)
        case "submit":
            if world.nodes[value].station is not None:
                world.submit(value, b"reading")
        case "loss":
            world.loss_percent = value
        case "ground":
            if world.nodes[value[0]].station is not None:
                world.set_grounded(value[0], grounded=value[1])
        case "reboot":
            world.kill(value)
            world.boot(value)


def check_bounds(world):
    for node, station in world.stations().items():
        sizes = station.sizes()
        limit = 1024 if node in ROOTS else 16
        assert sizes["neighbours"] <= limit
        assert sizes["queue"] <= 64 + 16
        assert sizes["duplicates"] <= 8192
        assert sizes["roots"] <= 4


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 99), st.lists(PAIRS, min_size=6, max_size=20), st.lists(ACTIONS, max_size=25))
def test_switches_of_tier_one_close_no_loop(seed, links, actions):
    world = build(seed, links)
    for action, value in [("run", 4_000), *actions]:
        act(world, action, value)
        if not world.totals.traces.get("parent.second_tier"):
            assert world.cycle() == []
        check_bounds(world)


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 99),
    st.lists(PAIRS, min_size=6, max_size=20),
    st.lists(st.one_of(ACTIONS, REBOOTS), max_size=25),
)
def test_when_the_storm_is_over_everything_arrives(seed, links, actions):
    world = build(seed, links)
    for action, value in [("run", 4_000), *actions]:
        act(world, action, value)
        check_bounds(world)
    world.loss_percent = 0
    world.delay_spread_ms = 0
    for node in NODES:
        world.link(1, node) if node != 1 else None
        if node in ROOTS:
            world.set_grounded(node, grounded=True)
    world.run(world.now_ms + 120_000)
    assert world.unattached() == []
    assert world.cycle() == []
    world.run(world.now_ms + 900_000)
    assert world.backlog() == 0
    # What a node gave a number, it gave to one payload only, and everything got through.
    for node in METERS:
        numbers = sorted(oseq for origin, oseq in world.delivered if origin == node)
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("seed", range(2))
def test_a_flood_of_strangers_fills_no_table(seed):
    world = build(seed, [(1, 11), (11, 12)])
    world.run(5_000)
    victim = world.station(11)
    strangers = World(seed + 100)
    air = []
    strangers.tap = lambda _node, frame: air.append(frame)
    for node in range(1000, 1400):
        strangers.add(StationConfig(node=node, net=1, is_root=node % 2 == 0, epoch=node))
        strangers.boot(node)
    for frame in air:
        victim.receive(world.now_ms, frame, -50)
    sizes = victim.sizes()
    assert sizes["neighbours"] <= 16
    assert sizes["peers"] <= 160
    assert sizes["children"] <= 128
    assert sizes["queue"] <= 16
    world.run(world.now_ms + 60_000)
    assert victim.parent == 1
