"""The air of a city decides as the shared medium does, frame for frame."""

import pytest

from meter_sim.city.air import Air
from meter_sim.city.dice import Dice
from meter_sim.city.layout import build_layout
from meter_sim.city.links import build_link_table
from meter_sim.city.outlet import HACK, Outlet
from meter_sim.city.profiles import PROFILES
from meter_sim.medium import SLOT_US, Medium

STREETS = PROFILES["suburb-mid"]


@pytest.fixture(scope="module")
def links():
    return build_link_table(STREETS.radio, build_layout(STREETS, 60, 3), 3)


def test_same_frames_at_the_same_times_have_the_same_receivers(links):
    medium = Medium(links.as_links(), seed=3, rate_kbps=50)
    air = Air(links, seed=3, rate_kbps=50)
    dice, now_us, sent = Dice(4), 0, []
    for _ in range(600):
        now_us += dice.randrange(30_000)
        node, length = 1 + dice.randrange(60), 30 + dice.randrange(100)
        end_us = medium.transmit(now_us, node, bytes(length))
        if end_us is not None:
            sent.append(air.start(end_us - air.duration_us(length), node, length))
        else:
            air._counts[node] = air._counts.get(node, 0) + 1  # the medium numbered it too
    expected = [(a.t_us, a.node) for a in medium.completed(now_us + 10**7)]
    sent.sort(key=lambda one: (one.end_us, one.start_us, one.node))
    got = [(one.end_us, receiver) for one in sent for receiver, _ in air.heard(one)]
    assert got == expected
    assert len(got) > 2_000
    assert air.collided > 500
    assert air.lost > 500
    assert got == [
        (one.end_us, node) for one in sent for node in air.row(one.node) if air.heard_by(one, node)
    ]


def test_a_cut_link_carries_nothing_one_way(links):
    air = Air(links, seed=1, rate_kbps=50)
    loud = max(air.row(10), key=air.row(10).get)
    assert air.heard_by(air.start(0, 10, 40), loud)
    air.cut.add((10, loud))
    sent = air.start(10**6, 10, 40)
    assert air.heard_by(sent, loud) is None
    assert loud not in dict(air.heard(sent))


def test_who_talks_hears_nothing_and_who_listens_waits(links):
    air = Air(links, seed=1, rate_kbps=50)
    loud = max(air.row(10), key=air.row(10).get)
    first = air.start(0, 10, 120)
    assert first.end_us == (120 + 16) * 8 * 20
    assert air.busy_until_us(5, loud) == first.end_us
    assert air.busy_until_us(first.end_us, loud) == 0
    air.start(1_000, loud, 40)
    assert air.heard_by(first, loud) is None
    air.forget(10**7)
    assert air.busy_until_us(0, loud) == 0


def frame(kind, mark=0):
    return bytes([0x10 | kind, mark])


def test_frames_wait_a_random_time_and_acknowledgements_go_first():
    outlet = Outlet(Dice(1))
    at_us = outlet.put(1_000, frame(5, 1))
    assert 1_000 <= at_us < 1_000 + 8 * SLOT_US
    assert outlet.put(1_000, frame(5, 2)) is None
    assert outlet.put(1_200, frame(HACK, 3)) == 1_200
    assert outlet.put(1_200, frame(HACK, 4)) is None
    assert [entry.frame[1] for entry in outlet.waiting] == [3, 4, 1, 2]
    turn = outlet.turn
    assert outlet.look(2_000) >= 2_000
    assert outlet.turn == turn + 1


def test_a_frame_that_finds_no_channel_is_given_up():
    outlet = Outlet(Dice(1))
    outlet.put(0, frame(5))
    assert not outlet.gives_up(400_000)
    assert outlet.gives_up(400_001)
    assert outlet.look(400_001) is None


def test_a_radio_holds_a_bounded_number_of_frames():
    outlet = Outlet(Dice(1))
    for mark in range(200):
        outlet.put(0, frame(5, mark))
    assert len(outlet.waiting) == 64
