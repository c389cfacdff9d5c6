"""A small city on virtual time: the same run for a seed, and what any one death costs."""

import hashlib

import pytest

from meter_sim.city.build import HOUR_US, MINUTE_US, SECOND_US, build_city
from meter_sim.city.experiments.heal import strike, watch
from meter_sim.city.experiments.stage import Plan, exhaustion_us, raise_city, stretch, timeline
from meter_sim.city.profiles import PROFILES


@pytest.fixture(scope="module")
def quarter():
    """Fifty meters of suburb-mid after two hours of reports; shared, do not hurt it."""
    city = raise_city(Plan("suburb-mid", 50, 2))
    city.world.start_reports()
    city.world.run(city.world.now_us + 2 * HOUR_US)
    return city


def test_what_the_graph_delivers_arrives(quarter):
    world = quarter.world
    old_us = world.now_us - 15 * MINUTE_US
    window = [(r.node, r.produced_us) for r in world.ledger.between(0, old_us)]
    assert len(window) > 300
    deliverable = timeline(quarter).deliverable(window, 15 * MINUTE_US)
    in_time, count = world.ledger.within(15 * MINUTE_US, from_us=0, until_us=old_us)
    assert (in_time, count) == (len(deliverable), len(window))


def test_everybody_is_attached_on_a_good_path_without_loops(quarter):
    assert quarter.world.unjoined() == quarter.world.loops() == []
    assert all(quarter.world.is_attached(node) for node in quarter.world.meters())
    assert 1 <= stretch(quarter) < 1.35


def test_no_frame_is_refused_and_time_stays_honest(quarter):
    world = quarter.world
    assert not world.rejected
    assert world.pending < 10 * len(world.nodes)
    assert min(world.ledger.latencies_us()) >= 2 * world.air.duration_us(60)
    assert world.air.airtime_us < world.now_us * len(world.nodes)


def run_of(seed, meters=25):
    city = build_city(PROFILES["suburb-mid"], meters, seed)
    city.world.boot_all(20 * SECOND_US)
    city.world.run(3 * MINUTE_US)
    city.world.start_reports()
    city.world.run(20 * MINUTE_US)
    return city.world


def test_a_seed_is_a_run():
    one, again, other = run_of(7), run_of(7), run_of(8)
    assert one.digest == again.digest
    assert one.events == again.events
    assert one.digest != other.digest
    assert len(one.digest) == 2 * hashlib.blake2b(digest_size=16).digest_size


def test_steps_do_not_change_a_run():
    world = build_city(PROFILES["suburb-mid"], 25, 7).world
    world.boot_all(20 * SECOND_US)
    while world.now_us < 3 * MINUTE_US:
        world.run(world.now_us + 700_000)
    world.run(3 * MINUTE_US)
    world.start_reports()
    world.run(20 * MINUTE_US)
    assert world.digest == run_of(7).digest


def test_any_one_of_fifty_may_die():
    """Every position: whoever can still reach a gateway is back a minute after its T*, at most,
    and no reading is lost."""
    city = raise_city(Plan("suburb-mid", 50, 3))
    world = city.world
    world.start_reports()
    overdue, wounds = 0, 0
    for victim in world.meters():
        wound = strike(city, [victim])
        watch(city, wound, world.now_us + 3 * MINUTE_US)
        wounds += bool(wound.affected)
        overdue += wound.overdue(city)
        world.boot(victim)
        world.run(world.now_us + 30 * SECOND_US)
    until_us = world.now_us
    world.run(until_us + 3 * HOUR_US)
    assert wounds > 5
    assert overdue == 0
    assert world.ledger.missing(until_us) == []
    assert world.loops() == []


def test_the_dead_produce_nothing_and_a_cut_meter_is_not_deliverable():
    city = raise_city(Plan("suburb-mid", 20, 4))
    world, line = city.world, timeline(city)
    lone, dead = world.meters()[3], world.meters()[7]
    cuts = [(lone, other) for other in world.air.row(lone)]
    for one, other in cuts:
        world.cut(one, other)
    world.kill(dead)
    began_us = world.now_us
    line.mark(began_us, [dead], cuts)
    world.start_reports()
    world.run(began_us + 40 * MINUTE_US)
    window = [(r.node, r.produced_us) for r in world.ledger]
    assert {node for node, _ in window} == set(world.meters()) - {dead}
    assert lone not in {node for node, _ in line.deliverable(window, 15 * MINUTE_US)}
    assert {r.node for r in world.ledger.missing()} >= {lone}
    for one, other in cuts:
        world.mend(one, other)
    line.mark(world.now_us, [dead])
    world.run(world.now_us + HOUR_US)
    assert not [r for r in world.ledger if r.node == lone and r.produced_us < began_us]
    old_us = world.now_us - 20 * MINUTE_US
    assert world.ledger.missing(old_us) == []


def test_a_silent_neighbour_is_tried_for_as_long_as_the_arq_says():
    assert 2_000_000 < exhaustion_us() < 3_000_000
