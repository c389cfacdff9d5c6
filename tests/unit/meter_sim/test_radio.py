"""The radio model against the figures of its source, and against itself."""

from __future__ import annotations

import math

import pytest

from meter_sim import radio
from meter_sim.radio import SURE, Links, RadioModel, Site, build_links, loss_db, reception

MODEL = RadioModel(exponent=4.0, shadow_db=8.0, end_loss_db=10.0, transmit_dbm=14.0, rate_kbps=150)
CALM = RadioModel(exponent=4.0, shadow_db=0.0, end_loss_db=10.0, transmit_dbm=14.0, rate_kbps=150)


def test_half_of_the_120_byte_frames_pass_at_minus_103_8_dbm():
    assert reception(-1038, 120) / SURE == pytest.approx(0.5, abs=0.03)


def test_reception_grows_with_signal_and_shrinks_with_length():
    levels = [reception(level, 120) for level in range(-1150, -900)]
    assert levels == sorted(levels)
    assert levels[0] == 0
    assert levels[-1] == SURE
    assert reception(-1040, 12) > reception(-1040, 120) > reception(-1040, 250)


def test_loss_without_shadow_is_the_log_distance_law():
    here, there = Site(1, 0, 0), Site(2, 30, 40)
    assert loss_db(CALM, 1, here, there) == pytest.approx(31.2 + 40 * math.log10(50) + 20)
    high = Site(2, 30, 40, gain_db=8)
    assert loss_db(CALM, 1, here, high) == pytest.approx(loss_db(CALM, 1, here, there) - 8)


def test_loss_is_the_same_both_ways_and_another_for_another_seed():
    here, there = Site(1, 0, 0), Site(2, 30, 40)
    assert loss_db(MODEL, 1, here, there) == loss_db(MODEL, 1, there, here)
    assert loss_db(MODEL, 1, here, there) != loss_db(MODEL, 2, here, there)


def test_nodes_on_one_spot_do_not_shout_without_bound():
    assert loss_db(CALM, 1, Site(1, 0, 0), Site(2, 0, 0)) == pytest.approx(
        loss_db(CALM, 1, Site(1, 0, 0), Site(2, 3, 0))
    )


def test_shadows_have_the_spread_they_are_said_to_have():
    calm = loss_db(CALM, 1, Site(1, 0, 0), Site(2, 50, 0))
    shadows = [loss_db(MODEL, 1, Site(1, 0, 0), Site(n, 50, 0)) - calm for n in range(2, 2002)]
    mean = sum(shadows) / len(shadows)
    spread = math.sqrt(sum((s - mean) ** 2 for s in shadows) / len(shadows))
    assert abs(mean) < 0.6
    assert spread == pytest.approx(8.0, rel=0.06)


def test_the_table_is_a_pure_function_and_misses_no_pair(monkeypatch):
    sites = [Site(n, 90 * (n * 7 % 12), 110 * (n // 12)) for n in range(1, 80)]
    table = build_links(MODEL, 5, sites)
    again = build_links(MODEL, 5, reversed(sites))
    monkeypatch.setattr(radio, "_reach_m", lambda *_: 1e9)  # one tile: every pair is looked at
    whole = build_links(MODEL, 5, sites)
    for site in sites:
        assert table.receivers(site.node) == again.receivers(site.node)
        assert table.receivers(site.node) == whole.receivers(site.node)
    assert sum(len(table.receivers(site.node)) for site in sites) > 150


def test_transmitters_differ_so_links_are_not_the_same_both_ways():
    table = build_links(MODEL, 5, [Site(1, 0, 0), Site(2, 40, 0)])
    there, back = table.rssi_tenths(1, 2), table.rssi_tenths(2, 1)
    assert there is not None
    assert back is not None
    assert 0 < abs(there - back) < 80


def test_etx_is_infinite_without_a_way_back():
    assert Links({1: {2: -900}, 2: {}}).etx(1, 2) == math.inf
    good = Links({1: {2: -900}, 2: {1: -900}, 3: {}})
    assert good.etx(1, 2) == 1.0
    assert good.usable(1) == (2,)
    assert good.usable(3) == ()


def test_a_link_worse_than_four_transmissions_one_way_is_not_usable():
    weak = next(level for level in range(-1100, -900) if reception(level, 120) > SURE // 5)
    links = Links({1: {2: weak}, 2: {1: -900}})
    assert links.etx(1, 2) > 4
    assert links.usable(1) == links.usable(2) == ()
