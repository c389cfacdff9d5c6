"""E6 trunk and trench, E9 flapping links, E10 outages, E11 a burst of noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from meter_sim.city.build import HOUR_US, MINUTE_US, SECOND_US, City, Radio
from meter_sim.city.crowd import Crowd
from meter_sim.city.experiments.measure import Better, Measure, percentile, share
from meter_sim.city.experiments.stage import (
    draw,
    lost_after_all,
    raise_city,
    run_until,
    stretch,
    timeline,
    with_radio,
)
from meter_sim.city.experiments.switches import oracle_switches
from meter_sim.city.experiments.toll import Toll
from meter_sim.city.weather import Weather
from meter_sim.radio import SURE

if TYPE_CHECKING:
    from meter_sim.city.experiments.stage import Plan

_TRUNK_PERCENT = 1
_CYCLE_S_MAX = 2
_FEEDER = 150
_GASP_US = SECOND_US // 2
"""How long a meter lives on its capacitor."""
_OUT_PERCENT = 30
_NOISE_M = 500
_DATA_BYTES = 25 + 24 + 2 * 77
"""Two readings in a frame, as they leave a full store."""


def trunk_and_trench(plan: Plan) -> list[Measure]:
    """E6: the busiest 1 % dies, and comes back; then a trench parts the city for an hour."""
    city = raise_city(plan)
    world = city.world
    world.start_reports()
    world.run(world.now_us + 15 * MINUTE_US)
    poison = world.traces["poison.sent"]
    trunk = _busiest(city, max(1, plan.nodes * _TRUNK_PERCENT // 100))
    for node in trunk:
        world.kill(node)
    cycles = _cycle_run_s(city, 10)
    for node in trunk:
        world.boot(node)
    world.run(world.now_us + 10 * MINUTE_US)
    hours = 0.5 if plan.quick else 1.0
    cycles = max(cycles, _trench(city, int(hours * 3600)))
    poisons = (world.traces["poison.sent"] - poison) / plan.nodes
    mended_us = world.now_us
    stored = {r.node for r in world.ledger.missing()}
    waiting = len(world.ledger.missing())
    drained = run_until(city, lambda: not world.ledger.missing(mended_us), mended_us + 3 * HOUR_US)
    drained_s = (world.now_us - mended_us) / SECOND_US if drained else math.inf
    airtime_s = world.air.duration_us(_DATA_BYTES) / SECOND_US
    limit_s = max(1.0, math.ceil(waiting / 2) * airtime_s / world.gateways)
    return [
        Measure("cycle_longest_s", cycles, 0.0, _CYCLE_S_MAX, Better.LOWER),
        Measure("poison_adverts_node", poisons, 0.0, 4.0, Better.LOWER),
        Measure("cut_off_meters", len(stored), len(stored), 0.0, Better.HIGHER),
        Measure("drained_s", drained_s, limit_s, 2 * limit_s, Better.LOWER),
        Measure("readings_lost", lost_after_all(city), 0.0, 0.0, Better.LOWER),
    ]


def _busiest(city: City, count: int) -> list[int]:
    """The meters most best paths lead through: betweenness towards the gateways."""
    world = city.world
    through = dict.fromkeys(world.meters(), 0)
    parent = city.oracle.routes(city.gateways).parent
    for node in world.meters():
        here = int(parent[node - 1])
        while here >= world.gateways:
            through[here + 1] += 1
            here = int(parent[here])
    return sorted(through, key=lambda node: (-through[node], node))[:count]


def _trench(city: City, seconds: int) -> int:
    """Cut everything that crosses a line at three quarters of the width, and mend it."""
    world, layout = city.world, city.layout
    line_dm = int(np.quantile(layout.x_dm, 0.75))
    senders, receivers = city.links.senders(), city.links.receiver
    crossing = (layout.x_dm[senders] < line_dm) != (layout.x_dm[receivers] < line_dm)
    pairs = list(
        zip((senders[crossing] + 1).tolist(), (receivers[crossing] + 1).tolist(), strict=True)
    )
    world.air.cut |= set(pairs)
    longest = _cycle_run_s(city, seconds // 60)
    world.air.cut -= set(pairs)
    return longest


def _cycle_run_s(city: City, minutes: int) -> int:
    """The most seconds in a row that saw a cycle of preferred parents of one root."""
    longest = running = 0
    for _ in range(minutes * 60):
        city.world.run(city.world.now_us + SECOND_US)
        running = running + 1 if city.world.loops() else 0
        longest = max(longest, running)
    return longest


def flapping_links(plan: Plan) -> list[Measure]:
    """E9: a fifth of the links is good for 60 s and 10 dB worse for 20 s, for hours."""
    weather = Weather(plan.seed, flaky_percent=20, good_us=60 * SECOND_US, bad_us=20 * SECOND_US)
    hours = 1 if plan.quick else 3
    calm = raise_city(plan)
    calm.world.start_reports()
    calm.world.run(calm.world.now_us + HOUR_US)
    toll = Toll.of(calm)
    calm.world.run(calm.world.now_us + HOUR_US)
    steady = toll.control_frames() / plan.nodes
    city = raise_city(plan, weather=weather)
    world, line = city.world, timeline(city)
    world.start_reports()
    world.run(world.now_us + HOUR_US)
    toll, began_us = Toll.of(city), world.now_us
    switched = world.traces["parent.switched"]
    end_us = began_us + hours * HOUR_US
    world.run(end_us + 15 * MINUTE_US)
    node_hours = plan.nodes * (hours + 0.25)
    switches = (world.traces["parent.switched"] - switched) / node_hours
    best = oracle_switches(city, began_us, began_us + HOUR_US) / plan.nodes
    in_time, count = world.ledger.within(15 * MINUTE_US, from_us=began_us, until_us=end_us)
    window = [(r.node, r.produced_us) for r in world.ledger.between(began_us, end_us)]
    share = len(line.deliverable(window, 15 * MINUTE_US)) / count
    return [
        Measure("switches_node_h", switches, best, 1.5 * best, Better.LOWER),
        Measure("pdr_15min", in_time / count, share, share - 0.001, Better.HIGHER),
        Measure(
            "control_frames_node_h",
            toll.control_frames() / node_hours,
            steady,
            2 * steady,
            Better.LOWER,
        ),
    ]


def outages(plan: Plan) -> list[Measure]:
    """E10: feeders of 150 meters go dark one after another, then the whole city, and return."""
    city = raise_city(with_radio(plan, Radio.FUSED))
    world = city.world
    world.start_reports()
    feeders = _feeders(city, plan)
    heard = able = 0
    slowest: list[float] = []
    for number, feeder in enumerate(feeders):
        said, could = _go_dark(city, feeder)
        heard, able = heard + said, able + could
        world.run(world.now_us + (10 + 10 * number % 50) * MINUTE_US // (5 if plan.quick else 1))
        slowest.append(_come_back(city, feeder, 95)[0])
    everybody = [*world.meters(), *city.gateways]
    _go_dark(city, list(world.meters()))
    for gateway in city.gateways:
        world.kill(gateway)
    world.run(world.now_us + 10 * MINUTE_US)
    total_s, peak = _come_back(city, everybody, 95)
    return [
        Measure("outages_heard_share", share(heard, able), 1.0, 0.9, Better.HIGHER),
        Measure("feeder_back_t95_s", percentile(slowest, 100), 0.0, 120.0, Better.LOWER),
        Measure("city_back_t95_s", total_s, 0.0, 360.0, Better.LOWER),
        Measure("channel_peak_share", peak, 1.0, 0.5, Better.LOWER),
        Measure("readings_lost", lost_after_all(city), 0.0, 0.0, Better.LOWER),
    ]


def _feeders(city: City, plan: Plan) -> list[list[int]]:
    """Runs of neighbouring meters, three in ten of all."""
    meters = city.world.meters()
    size = min(_FEEDER, max(1, plan.nodes // 10))
    runs = [list(meters[at : at + size]) for at in range(0, len(meters), size)]
    chosen = draw(plan, 101, range(len(runs)), max(1, len(runs) * _OUT_PERCENT // 100))
    return [runs[number] for number in chosen]


def _go_dark(city: City, feeder: list[int]) -> tuple[int, int]:
    """Take the power away. Returns: whose last word a gateway heard; who had a live neighbour."""
    world, dark = city.world, set(feeder)
    alive = set(world.nodes) - dark - set(world.dead())
    able = [node for node in feeder if any(other in alive for other in city.oracle.near(node))]
    since_us = world.now_us
    for node in feeder:
        if world.nodes[node].station is not None:
            world.last_gasp(node)
    world.run(since_us + _GASP_US)
    for node in feeder:
        world.kill(node)
    world.run(world.now_us + MINUTE_US)
    said = sum(world.power.get((False, node), -1) >= since_us for node in able)
    for node in feeder:
        world.power.pop((False, node), None)
    return said, len(able)


def _come_back(city: City, feeder: list[int], percent: int) -> tuple[float, float]:
    """Give the power back. Returns: seconds until so many are registered; the busiest second."""
    world, since_us = city.world, city.world.now_us
    for node in feeder:
        world.boot(node)
        if not world.nodes[node].is_root:
            world.power_restored(node)
    reachable = city.oracle.routes(city.gateways, dead=world.dead()).reachable
    able = [node for node in feeder if reachable[node - 1]]
    wanted = math.ceil(len(able) * percent / 100)
    peaks = [0.0]

    def done() -> bool:
        peaks.append(_busiest_share(city))
        return sum(world.station(node).joined for node in able) >= wanted

    found = run_until(city, done, since_us + 30 * MINUTE_US)
    return (world.now_us - since_us) / SECOND_US if found else math.inf, max(peaks)


def _busiest_share(city: City) -> float:
    """How often the busiest gateway finds its channel taken."""
    air = city.world.air
    assert isinstance(air, Crowd)
    return max(air.senses(city.world.now_us, gateway) for gateway in city.gateways) / SURE


def noise_burst(plan: Plan) -> list[Measure]:
    """E11: everybody within 500 m of the middle hears 10 dB less for a minute."""
    city = raise_city(plan, weather=Weather(plan.seed))
    world, layout = city.world, city.layout
    world.start_reports()
    world.run(world.now_us + 30 * MINUTE_US)
    middle = int(layout.x_dm.mean()), int(layout.y_dm.mean())
    reach_dm = min(10 * _NOISE_M, int(np.ptp(layout.x_dm)) // 4)
    near = np.hypot(layout.x_dm - middle[0], layout.y_dm - middle[1]) <= reach_dm
    began_us, lost_before = world.now_us, world.traces["parent.lost"]
    calm = stretch(city)
    world.weather.jam((np.flatnonzero(near) + 1).tolist(), began_us + MINUTE_US)
    world.run(began_us + 11 * MINUTE_US)
    after = stretch(city)
    parted = (world.traces["parent.lost"] - lost_before) / plan.nodes
    world.run(began_us + 16 * MINUTE_US)
    in_time, count = world.ledger.within(
        15 * MINUTE_US, from_us=began_us, until_us=began_us + MINUTE_US
    )
    return [
        Measure("readings_lost", lost_after_all(city), 0.0, 0.0, Better.LOWER),
        Measure("stretch_10min_after", after, calm, 1.15, Better.LOWER),
        Measure("parents_lost_share", parted, 0.0, 0.05, Better.LOWER),
        Measure("pdr_15min_of_the_burst", share(in_time, count), 1.0, 0.999, Better.HIGHER),
    ]
