"""The experiments of faults and weather, small: each must be able to see what it looks for."""

import math

import numpy as np

from meter_sim.city.build import MINUTE_US, SECOND_US, Radio, build_city
from meter_sim.city.experiments import storms
from meter_sim.city.experiments.ablations import RPL_LITE, constants
from meter_sim.city.experiments.attack import attack
from meter_sim.city.experiments.stage import Plan
from meter_sim.city.experiments.switches import oracle_switches
from meter_sim.city.profiles import PROFILES
from meter_sim.city.weather import Weather
from ohmesh.mesh import constants as c
from ohmesh.mesh.frames import FrameType


def values(measures):
    return {measure.metric: measure.value for measure in measures}


def test_nothing_forged_is_taken():
    found = values(attack(Plan("suburb-mid", 12, 1, quick=True)))
    assert found == {"forged_accepted": 0, "copies_share_under_flood": 0, "readings_lost": 0}


def test_a_trench_parts_the_city_and_what_was_stored_arrives():
    found = values(storms.trunk_and_trench(Plan("suburb-mid", 40, 2, quick=True)))
    assert found["cut_off_meters"] > 3
    assert found["readings_lost"] == 0
    assert math.isfinite(found["drained_s"])


def test_last_gasps_are_heard_and_feeders_return():
    found = values(storms.outages(Plan("suburb-mid", 40, 1, quick=True)))
    assert found["outages_heard_share"] > 0.5
    assert 0 < found["feeder_back_t95_s"] < 30 * 60
    # Nobody asks for silence while power comes back, and not all speak in the same second.
    assert found["city_back_t95_s"] < 120
    assert found["channel_peak_share"] < 0.75
    assert found["readings_lost"] == 0


def test_a_parent_found_before_the_first_registration_does_not_hurry_it():
    city = build_city(PROFILES["suburb-mid"], 300, 1, gateways=1, radio=Radio.FUSED)
    world = city.world
    world.boot_all(SECOND_US)
    world.run(MINUTE_US)
    assert world.traces["parent.switched"] > 10
    assert world.frames.count[FrameType.REG] < 850


def test_the_bound_of_switches_is_none_in_calm_and_some_when_links_flap():
    streets = PROFILES["suburb-hard"]
    calm = build_city(streets, 80, 1, radio=Radio.FUSED)
    weather = Weather(1, flaky_percent=40, good_us=60 * SECOND_US, bad_us=20 * SECOND_US)
    storm = build_city(streets, 80, 1, radio=Radio.FUSED, weather=weather)
    assert oracle_switches(calm, 0, 10 * MINUTE_US) == 0
    assert oracle_switches(storm, 0, 10 * MINUTE_US) > 10


def test_a_jammed_meter_hears_less():
    city = build_city(PROFILES["suburb-mid"], 30, 1, weather=Weather(1))
    world = city.world
    world.weather.jam(world.meters(), 10 * MINUTE_US)
    shifts = world.weather.shifts_tenths(0, 1, np.array(world.meters(), dtype=np.int64))
    assert set(shifts.tolist()) == {-100}
    assert world.weather.shift_tenths(11 * MINUTE_US, 1, 2) == 0


def test_other_constants_last_as_long_as_the_run():
    held = c.TRICKLE_K
    with constants(RPL_LITE):
        assert c.TRICKLE_K == 0
    assert held == c.TRICKLE_K != 0
