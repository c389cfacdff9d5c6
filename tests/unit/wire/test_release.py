"""A release fits one meter, one command and one gate; two approvals are two people's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmesh.model.command import CommandKind
from ohmesh.model.errors import Malformed, WireError
from ohmesh.wire.release import (
    Release,
    open_release,
    public_key,
    sign_approval,
    sign_release,
    two_people,
)
from ohmesh.wire.sealed import SealedKind, kind_of_command, seal, takes_supply_away

GATE, OTHER = bytes(range(32)), bytes(range(1, 33))
METER = "mesh-0000002a"
RELEASE = Release(bytes(range(16)), 1_767_225_600, "T17")
OCTETS = sign_release(GATE, METER, RELEASE)
KEYS = [public_key(OTHER), public_key(GATE)]


def test_the_layout_is_the_documented_one():
    assert (
        OCTETS[:34].hex() == "0156475aa75463474c000102030405060708090a0b0c0d0e0f006955b90003543137"
    )
    assert len(OCTETS) == 34 + 64
    assert open_release(KEYS, METER, OCTETS) == RELEASE


def test_another_meter_another_gate_and_every_flipped_bit_are_refused():
    for keys, meter in ((KEYS, "mesh-0000002b"), (KEYS[:1], METER), ([], METER)):
        with pytest.raises(WireError):
            open_release(keys, meter, OCTETS)
    for bit in range(8 * len(OCTETS)):
        changed = bytearray(OCTETS)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError):
            open_release(KEYS, METER, bytes(changed))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_wire_error(octets):
    with pytest.raises(WireError):
        open_release(KEYS, METER, octets)


def test_a_long_area_is_refused_when_it_is_signed():
    with pytest.raises(Malformed):
        sign_release(GATE, METER, Release(bytes(16), 0, "x" * 65))


def test_what_takes_supply_away_can_be_seen_without_a_key():
    for kind in CommandKind:
        octets = seal(bytes(16), METER, kind_of_command(kind), 1, bytes(33))
        assert takes_supply_away(octets) == (kind is CommandKind.RELAY_OFF)
    assert not takes_supply_away(b"")
    assert kind_of_command(CommandKind.RELAY_OFF) is SealedKind.RELEASED


PEOPLE = {"anna": public_key(GATE), "bert": public_key(OTHER), "anna2": public_key(GATE)}


@pytest.mark.parametrize(
    ("approvals", "enough"),
    [
        ([sign_approval(GATE, "anna", "s", 9), sign_approval(OTHER, "bert", "s", 9)], True),
        ([sign_approval(GATE, "anna", "s", 9)], False),
        ([sign_approval(GATE, "anna", "s", 9)] * 2, False),
        ([sign_approval(GATE, "anna", "s", 9), sign_approval(GATE, "anna2", "s", 9)], False),
        ([sign_approval(GATE, "anna", "s", 9), sign_approval(OTHER, "bert", "t", 9)], False),
        ([sign_approval(GATE, "anna", "s", 9), sign_approval(OTHER, "bert", "s", 4)], False),
        ([sign_approval(GATE, "anna", "s", 9), sign_approval(GATE, "bert", "s", 9)], False),
        ([sign_approval(GATE, "anna", "s", 9), sign_approval(OTHER, "carl", "s", 9)], False),
    ],
)
def test_two_people_are_two_names_with_two_keys(approvals, enough):
    assert two_people(PEOPLE, "s", approvals, 5) is enough
