"""Any bytes, in any pieces, at every door of the simulator: a typed error or nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meter_sim.ether import ether_of
from meter_sim.fleet import Fleet
from meter_sim.roster import decode_roster
from meter_sim.store import FleetStore
from meter_sim.street import StreetPlan, make_roster
from meter_sim.testing import CLOCK_MS
from meter_sim.truth import TruthFile
from ohmesh.model.errors import ConfigError, WireError
from ohmesh.wire.air import Heard
from ohmesh.wire.aircontrol import AirAction, AirControl, decode_control, encode_control

ROSTER = make_roster(StreetPlan(meters=3, gateways=1))


@given(st.binary(max_size=300))
def test_rosters_and_orders(octets):
    for decode, error in ((decode_roster, ConfigError), (decode_control, WireError)):
        try:
            decode(octets)
        except error:
            pass
        else:
            raise AssertionError("random bytes had a meaning")


@given(
    st.builds(
        AirControl,
        st.sampled_from(AirAction),
        meter=st.booleans(),
        peer=st.none() | st.integers(0, 2**32 - 1),
        loss_percent=st.none() | st.integers(0, 100),
    )
)
def test_orders_survive_their_json(order):
    assert decode_control(encode_control(order)) == order


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.binary(max_size=300), st.integers(0, 10**6)), max_size=30
    )
)
def test_the_ether_and_the_fleet_take_any_frame(transmissions):
    ether = ether_of(ROSTER)
    with FleetStore(None) as store:
        fleet = Fleet(
            ROSTER, ROSTER.meters, store=store, truth=TruthFile(None, store), listener="f"
        )
        fleet.start(CLOCK_MS)
        now_us = CLOCK_MS * 1000
        for node, frame, later_us in transmissions:
            now_us += later_us
            ether.transmitted(now_us, node, frame)
            ether.due(now_us)
            fleet.heard(now_us // 1000, [Heard(node, -70, now_us, frame)])
            fleet.wake(now_us // 1000)
        assert fleet.status(now_us // 1000).alive == 3
