"""The supply switch against the transition table of the Blue Book."""

from __future__ import annotations

import pytest

from ohmesh.model.command import RelayState
from ohmesh.model.relay import CONTROL_MODES, RelayEvent, after

OFF, ON, READY = (
    RelayState.DISCONNECTED,
    RelayState.CONNECTED,
    RelayState.READY_FOR_RECONNECTION,
)


def test_mode_0_never_lets_go():
    assert {after(ON, event, 0) for event in RelayEvent} == {ON}


@pytest.mark.parametrize("mode", CONTROL_MODES[1:])
def test_the_head_end_can_always_cut_and_the_customer_can_always_close_what_is_released(mode):
    assert after(ON, RelayEvent.REMOTE_DISCONNECT, mode) is OFF
    assert after(READY, RelayEvent.REMOTE_DISCONNECT, mode) is OFF
    assert after(READY, RelayEvent.MANUAL_RECONNECT, mode) is ON
    assert after(ON, RelayEvent.LOCAL_DISCONNECT, mode) is READY
    assert after(OFF, RelayEvent.MANUAL_RECONNECT, mode) is OFF
    assert after(OFF, RelayEvent.LOCAL_RECONNECT, mode) is OFF


@pytest.mark.parametrize(
    ("mode", "state"), [(1, READY), (2, ON), (3, READY), (4, ON), (5, READY), (6, READY)]
)
def test_a_remote_reconnect_closes_the_switch_or_only_releases_it(mode, state):
    assert after(OFF, RelayEvent.REMOTE_RECONNECT, mode) is state


@pytest.mark.parametrize(
    ("mode", "state"), [(1, READY), (2, READY), (3, ON), (4, ON), (5, READY), (6, ON)]
)
def test_some_modes_let_the_customer_open_the_switch(mode, state):
    assert after(ON, RelayEvent.MANUAL_DISCONNECT, mode) is state


@pytest.mark.parametrize(
    ("mode", "state"), [(1, READY), (2, READY), (3, READY), (4, READY), (5, ON), (6, ON)]
)
def test_some_modes_let_the_meter_close_it_again(mode, state):
    assert after(READY, RelayEvent.LOCAL_RECONNECT, mode) is state
