"""The fused radio against the exact one: the same laws, told apart only by counting."""

from collections import Counter

import pytest
from scipy.stats import chisquare, ks_2samp

from meter_sim.city.build import HOUR_US, MINUTE_US, SECOND_US, Radio, build_city
from meter_sim.city.experiments.stage import Plan, raise_city
from meter_sim.city.profiles import PROFILES

STREETS = PROFILES["suburb-hard"]


def after_two_hours(radio):
    city = raise_city(Plan("suburb-hard", 60, 5, radio=radio))
    world = city.world
    before = world.exchanges.copy(), world.frames.count.copy()
    began_us = world.now_us
    world.start_reports()
    world.run(began_us + 2 * HOUR_US)
    world.run(world.now_us + 30 * MINUTE_US)
    frames = world.frames.count - before[1]
    return city, world.exchanges - before[0], frames, began_us


@pytest.fixture(scope="module")
def both():
    return {radio: after_two_hours(radio) for radio in Radio}


def test_the_same_readings_arrive(both):
    for city, _, _, began_us in both.values():
        ledger = city.world.ledger
        in_time, count = ledger.within(
            15 * MINUTE_US, from_us=began_us, until_us=began_us + 2 * HOUR_US
        )
        assert 60 * 8 - 5 < count <= 60 * 8
        assert in_time >= count - 2
        assert ledger.missing(began_us + 2 * HOUR_US) == []


def test_exchanges_take_as_many_transmissions(both):
    """Shares of one, two, three and more transmissions, within three points of each other."""
    exact, fused = (both[radio][1] for radio in (Radio.EXACT, Radio.FUSED))
    assert min(exact.total(), fused.total()) > 2_500
    for times in (1, 2, 3):
        shares = [counted[times] / counted.total() for counted in (exact, fused)]
        assert shares[0] == pytest.approx(shares[1], abs=0.03)
    means = [sum(k * n for k, n in c.items()) / c.total() for c in (exact, fused)]
    assert means[0] == pytest.approx(means[1], rel=0.05)


def test_readings_take_as_long_and_cost_as_many_frames(both):
    exact, fused = (both[radio] for radio in (Radio.EXACT, Radio.FUSED))
    medians = []
    for city, _, _, began_us in (exact, fused):
        late = sorted(city.world.ledger.latencies_us(from_us=began_us))
        medians.append(late[len(late) // 2])
    assert medians[0] == pytest.approx(medians[1], rel=0.2)
    up = 5
    assert exact[2][up] == pytest.approx(fused[2][up], rel=0.1)


def lone_link(radio, seed, level):
    """A meter and a gateway over one link of a loudness; what its exchanges took, and how long."""
    city = build_city(STREETS, 1, seed, gateways=1, radio=radio)
    city.links.rssi_tenths[:] = level
    city.links.data[:] = city.links.ack[:] = 0
    world = city.world
    world.boot_all(SECOND_US)
    world.run(10 * MINUTE_US)
    world.exchanges.clear()
    began_us = world.now_us
    for _ in range(1_500):
        world.submit(2)
        world.run(world.now_us + 7 * SECOND_US)
    return world.exchanges, world.ledger.latencies_us(from_us=began_us)


def test_a_lone_link_obeys_the_same_law():
    """At -103.5 dBm about half of the frames pass: attempts by chi-square, delays by KS."""
    (exact, late), (fused, soon) = (lone_link(radio, 3, -1035) for radio in Radio)
    assert min(exact.total(), fused.total()) > 1_200
    cells = [_folded(counted) for counted in (exact, fused)]
    total = [sum(cell) for cell in cells]
    expected = [(a + b) * total[1] / sum(total) for a, b in zip(*cells, strict=True)]
    # Two samples: the variance of their difference is twice that of one against a known law.
    assert chisquare(cells[1], expected).statistic < 2 * 15.1  # chi-square, 5 degrees, p 0.01
    assert ks_2samp(late, soon).pvalue > 0.01


def _folded(counted: Counter[int]) -> list[int]:
    """One to five transmissions, and more."""
    return [*(counted[n] for n in range(1, 6)), sum(counted[n] for n in range(6, 9))]


def test_a_seed_is_a_run_here_too():
    runs = []
    for seed in (7, 7, 8):
        world = build_city(PROFILES["suburb-mid"], 25, seed, radio=Radio.FUSED).world
        world.boot_all(20 * SECOND_US)
        world.run(3 * MINUTE_US)
        world.start_reports()
        world.run(20 * MINUTE_US)
        runs.append((world.digest, world.events))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_who_boots_again_keeps_what_it_had():
    world = build_city(PROFILES["suburb-mid"], 12, 2, radio=Radio.FUSED).world
    world.boot_all(SECOND_US)
    world.run(5 * MINUTE_US)
    lone = world.meters()[4]
    for other in world.air.row(lone):
        world.cut(lone, other)
    world.submit(lone)
    world.run(6 * MINUTE_US)
    world.kill(lone)
    world.run(7 * MINUTE_US)
    for other in world.air.row(lone):
        world.mend(lone, other)
    world.boot(lone)
    world.run(20 * MINUTE_US)
    assert world.ledger.missing() == []


def test_a_gateway_that_dies_answers_nobody_and_its_senders_go_on():
    world = build_city(PROFILES["suburb-mid"], 30, 2, gateways=2, radio=Radio.FUSED).world
    world.boot_all(SECOND_US)
    world.run(5 * MINUTE_US)
    world.start_reports()
    world.run(25 * MINUTE_US)
    for number in world.meters():
        world.submit(number)
    world.run(world.now_us + 60_000)
    world.kill(1)
    world.run(world.now_us + 20 * MINUTE_US)
    assert world.ledger.missing(25 * MINUTE_US) == []
    assert world.loops() == []


def test_who_watches_is_told_each_minute_and_changes_nothing():
    digests, told = [], []
    for watch in (None, lambda world: told.append(world.now_us)):
        world = build_city(PROFILES["suburb-mid"], 12, 3, radio=Radio.FUSED).world
        world.watch = watch
        world.boot_all(SECOND_US)
        world.run(5 * MINUTE_US + SECOND_US)
        digests.append(world.digest)
    assert digests[0] == digests[1]
    assert told == [minute * MINUTE_US for minute in range(1, 6)]
