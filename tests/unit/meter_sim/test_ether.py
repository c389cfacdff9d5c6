"""The ether: who listens for whom, and what it takes for a transmission."""

from __future__ import annotations

import pytest

from meter_sim.ether import ether_of
from meter_sim.radio import build_links
from meter_sim.street import StreetPlan, make_roster
from ohmesh.wire.air import Hello
from ohmesh.wire.aircontrol import AirAction, AirControl

ROSTER = make_roster(StreetPlan(meters=12))
NODES = [meter.node for meter in ROSTER.meters]
FRAME = bytes(60)


@pytest.fixture
def ether():
    ether = ether_of(ROSTER)
    ether.greeted(0, Hello("fleet", NODES))
    return ether


def loudest():
    """A pair of meters that certainly hear each other."""
    links = build_links(ROSTER.radio.model, ROSTER.seed, ROSTER.sites)
    pairs = [(rssi, a, b) for a in NODES for b, rssi in links.receivers(a).items() if b in NODES]
    return max(pairs)[1:]


def hears(ether, now_us, sender, receiver):
    ether.transmitted(now_us, sender, FRAME)
    batches = ether.due(now_us + 10**6)
    return {name for name, batch in batches.items() if receiver in {h.node for h in batch.heard}}


def test_a_frame_reaches_the_process_of_its_hearer_with_signal_and_time(ether):
    sender, receiver = loudest()
    ether.transmitted(0, sender, FRAME)
    end_us = ether.next_us
    heard = next(h for h in ether.due(end_us)["fleet"].heard if h.node == receiver)
    assert (heard.frame, heard.t_us) == (FRAME, end_us)
    assert -110 < heard.rssi_dbm < -20
    assert ether.next_us is None


def test_the_last_greeting_counts(ether):
    sender, receiver = loudest()
    ether.greeted(1, Hello("other", [receiver]))
    assert hears(ether, 10, sender, receiver) == {"other"}


def test_nobody_listens_for_a_process_that_fell_silent(ether):
    sender, receiver = loudest()
    ether.greeted(60_000_000, Hello("other", []))
    assert hears(ether, 60_000_000, sender, receiver) == set()
    ether.greeted(61_000_000, Hello("fleet", NODES))
    assert hears(ether, 61_000_000, sender, receiver) == {"fleet"}


@pytest.mark.parametrize(
    ("node", "frame"), [(9999, FRAME), (0, FRAME), (100, b""), (100, bytes(256))]
)
def test_no_radio_would_send_that(ether, node, frame):
    ether.transmitted(0, node, frame)
    assert ether.refused == 1
    assert ether.next_us is None


def test_strange_nodes_in_a_greeting_are_nobodys(ether):
    ether.greeted(0, Hello("stranger", [9999]))
    sender, receiver = loudest()
    assert hears(ether, 0, sender, receiver) == {"fleet"}


def test_orders(ether):
    sender, receiver = loudest()
    ether.ordered(receiver, AirControl(AirAction.KILL))
    assert hears(ether, 0, sender, receiver) == set()
    ether.ordered(receiver, AirControl(AirAction.REVIVE))
    assert hears(ether, 10**7, sender, receiver) == {"fleet"}
    ether.ordered(receiver, AirControl(AirAction.LOSS, peer=sender, loss_percent=100))
    assert hears(ether, 2 * 10**7, sender, receiver) == set()
    ether.ordered(receiver, AirControl(AirAction.LOSS, peer=sender))
    ether.ordered(receiver, AirControl(AirAction.STOP))
    ether.ordered(9999, AirControl(AirAction.KILL))
    assert hears(ether, 3 * 10**7, sender, receiver) == {"fleet"}
