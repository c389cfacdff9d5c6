"""The model refuses what has no meaning."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from ohmesh.model.command import (
    FINAL,
    TRANSITIONS,
    CommandEvent,
    CommandKind,
    CommandResult,
    CommandState,
    RelayState,
    ResultStatus,
    advance,
    outcome,
)
from ohmesh.model.errors import CommandError, ModelError
from ohmesh.model.ids import gateway_id, mesh_address, mesh_node, meter_id
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Reading, Register, utc
from ohmesh.model.unit import Unit


@pytest.mark.parametrize("text", ["", "a b", "a/b", "+", "#", "é", "x" * 65, "a\n"])
def test_ids_with_a_meaning_in_topics_are_refused(text):
    for check in (meter_id, gateway_id):
        with pytest.raises(ModelError):
            check(text)


def test_mesh_addresses():
    assert mesh_address(42) == "mesh-0000002a"
    assert mesh_node("mesh-0000002a") == 42
    for other in ("M1", "mesh-2a", "mesh-zzzzzzzz", "mesh-0000002a0"):
        assert mesh_node(other) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1-0:1.8.0", Obis(1, 0, 1, 8, 0)),
        ("1.8.0", Obis(1, 0, 1, 8, 0)),
        ("0-1:24.2.1", Obis(0, 1, 24, 2, 1)),
        ("1-0:1.8.1*255", Obis(1, 0, 1, 8, 1)),
        ("1-0:1.6.0*12", Obis(1, 0, 1, 6, 0, 12)),
        ("1-1:1.29", Obis(1, 1, 1, 29, 0)),
    ],
)
def test_obis(text, code):
    assert Obis.parse(text) == code
    assert Obis.parse(str(code)) == code
    assert Obis.from_bytes(code.to_bytes()) == code


@pytest.mark.parametrize("text", ["", "1", "1-0:1.8.256", "a.b.c", "1-0:1.8.0.0.0", "1.8.0\n"])
def test_texts_that_are_no_obis(text):
    with pytest.raises(ModelError):
        Obis.parse(text)


def test_quantities_are_exact():
    register = Register("el.power.import", Obis(1, 0, 1, 7, 0), Unit.W, 1)
    assert Reading(register, 101).quantity == Decimal(1010)


def test_times_have_a_zone():
    moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert utc(moment) == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ModelError):
        utc(datetime(2026, 1, 1))  # noqa: DTZ001 - the case under test


def test_final_states_take_no_event():
    for state in FINAL:
        for event in CommandEvent:
            with pytest.raises(CommandError):
                advance(state, event)


def test_every_open_state_can_end_and_every_state_is_reached():
    for state in set(CommandState) - FINAL:
        assert advance(state, CommandEvent.EXPIRE) is CommandState.EXPIRED
    assert set(TRANSITIONS.values()) | {CommandState.QUEUED} == set(CommandState)


@pytest.mark.parametrize(
    ("kind", "status", "relay", "event"),
    [
        (CommandKind.RELAY_OFF, ResultStatus.OK, RelayState.DISCONNECTED, CommandEvent.SUCCEED),
        (CommandKind.RELAY_OFF, ResultStatus.OK, RelayState.CONNECTED, CommandEvent.FAIL),
        (CommandKind.RELAY_OFF, ResultStatus.OK, RelayState.UNKNOWN, CommandEvent.FAIL),
        (CommandKind.RELAY_ON, ResultStatus.OK, RelayState.CONNECTED, CommandEvent.SUCCEED),
        (
            CommandKind.RELAY_ON,
            ResultStatus.OK,
            RelayState.READY_FOR_RECONNECTION,
            CommandEvent.FAIL,
        ),
        (CommandKind.RELAY_ON, ResultStatus.STALE, RelayState.CONNECTED, CommandEvent.FAIL),
        (CommandKind.RELAY_ON, ResultStatus.EXPIRED, RelayState.CONNECTED, CommandEvent.EXPIRE),
        (CommandKind.RELAY_READ, ResultStatus.OK, RelayState.UNKNOWN, CommandEvent.SUCCEED),
    ],
)
def test_a_relay_command_succeeds_by_the_state_read_back(kind, status, relay, event):
    assert outcome(kind, CommandResult(bytes(16), status, relay, 0)) is event
