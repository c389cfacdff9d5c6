"""Any bytes end in a value or a DecodeError; what is encoded is decoded again."""

import struct
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_profiles import registry
from firmware_profiles.api import Decoded, Report
from firmware_profiles.codecs import iec62056_21, tic
from firmware_profiles.codecs.modbus import binary
from firmware_profiles.codecs.sml import transport, tree
from ohmesh.model.errors import DecodeError
from ohmesh.model.reading import Reading

METERS = {
    "de_sml": "1EMH0012345678",
    "fr_linky": "042076248191",
    "jp_broute": "AB1234567890",
    "cn_645": "000000000161",
    "modbus": "7",
    "modbus_em24": "7",
}
TIMELESS = {"modbus", "modbus_em24"}
"""Profiles whose telegrams carry no time, and the meter's bus number for a name."""
MOMENTS = st.datetimes(datetime(2001, 1, 1), datetime(2098, 12, 31)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


def ends_well(profile, payload, *, verify):
    try:
        decoded = profile.decode(payload, verify=verify)
    except DecodeError:
        return
    assert isinstance(decoded, Decoded)


def sample(profile, value=12_345):
    moment = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    readings = tuple(
        Reading(profile.spec.registers[channel], value, moment) for channel in profile.spec.reported
    )
    return profile.encode(Report(METERS[profile.spec.name], moment, readings))


@pytest.mark.parametrize("name", [*METERS, "gb_smets"])
@given(payload=st.binary(max_size=400), verify=st.booleans())
def test_any_bytes_end_well(name, payload, verify):
    ends_well(registry.load(name), payload, verify=verify)


@pytest.mark.parametrize("name", METERS)
@given(data=st.data())
def test_spliced_telegrams_end_well(name, data):
    """Bytes put in, taken out and overwritten, where a decoder has come to trust them."""
    profile = registry.load(name)
    payload = sample(profile)
    start = data.draw(st.integers(0, len(payload)))
    end = data.draw(st.integers(start, len(payload)))
    middle = data.draw(st.binary(max_size=24))
    ends_well(profile, payload[:start] + middle + payload[end:], verify=data.draw(st.booleans()))


@pytest.mark.parametrize("name", METERS)
@given(moment=MOMENTS, values=st.lists(st.integers(0, 99_999), min_size=4, max_size=4))
def test_reports_come_back(name, moment, values):
    profile = registry.load(name)
    readings = tuple(
        Reading(profile.spec.registers[channel], value, moment)
        for channel, value in zip(profile.spec.reported, values, strict=False)
    )
    decoded = profile.decode(profile.encode(Report(METERS[name], moment, readings)))
    assert [(r.register, r.value) for r in decoded.readings] == [
        (r.register, r.value) for r in readings
    ]
    if name not in TIMELESS:
        assert [r.time for r in decoded.readings] == [moment] * len(readings)
        assert decoded.device["id"] == METERS[name]


@given(content=st.lists(st.sampled_from([0, 1, 0x1A, 0x1B, 0x76])).map(bytes))
def test_sml_frames_round_trip(content):
    assert transport.unframe(transport.frame(content)) == content


NUMBERS = st.tuples(st.integers(1, 8), st.booleans(), st.integers(0, (1 << 64) - 1)).map(
    lambda t: tree.number((t[2] % (1 << 8 * t[0] - 1)), signed=t[1], width=t[0])
)
TREES = st.recursive(
    st.one_of(st.binary(max_size=40), st.booleans(), NUMBERS),
    lambda leaves: st.lists(leaves, min_size=1),
    max_leaves=tree.DEPTH_MAX,
)


@given(element=TREES)
def test_sml_trees_round_trip(element):
    octets = tree.encode(element)
    assert tree.parse(octets, 0) == (element, len(octets))


@given(element=st.binary(max_size=200))
def test_any_tree_bytes_end_well(element):
    try:
        _, end = tree.parse(element, 0)
        assert end <= len(element)
    except DecodeError:
        pass


LABELS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-", min_size=1, max_size=8)
DATA = st.text("0123456789ABCDEF.-", min_size=1, max_size=20)
STAMPS = st.one_of(st.none(), st.integers(0, 10**12 - 1).map(lambda digits: f"E{digits:012}"))


@given(
    groups=st.lists(st.builds(tic.Group, LABELS, DATA, STAMPS), min_size=1),
    mode=st.sampled_from(tic.Mode),
)
def test_tic_frames_round_trip(groups, mode):
    if mode is tic.Mode.HISTORIC:
        groups = [tic.Group(g.label, g.data) for g in groups]
    frame = tic.decode(tic.encode(tic.Frame(mode, tuple(groups))))
    assert frame.mode is mode
    assert [(g.label, g.data, g.time) for g in frame.groups] == [
        (g.label, g.data, g.time) for g in groups
    ]


ADDRESSES = st.text("0123456789CFLP.*-:", min_size=1, max_size=16)
VALUES = st.builds(
    iec62056_21.Value, st.text("0123456789.- ", max_size=20), st.sampled_from([None, "kWh", "V"])
)
SETS = st.builds(
    iec62056_21.DataSet,
    ADDRESSES,
    st.lists(VALUES, min_size=1, max_size=4).map(tuple),
    st.just(0),
    st.sampled_from(["\r\n", ""]),
)


@given(
    readout=st.builds(
        iec62056_21.Readout,
        st.sampled_from([None, "LGZ52ZMD120APt.G03", "ESY5Q3DB1024 V3.04"]),
        st.lists(SETS, max_size=20).map(tuple),
        st.booleans(),
    )
)
def test_readouts_round_trip(readout):
    octets = iec62056_21.encode(readout)
    decoded = iec62056_21.decode(octets)
    assert [(d.address, d.values) for d in decoded.data] == [
        (d.address, d.values) for d in readout.data
    ]
    assert iec62056_21.encode(decoded) == octets


@given(digits=st.integers(-999_999, 999_999), exponent=st.integers(-20, 20))
def test_six_digits_survive_a_float32(digits, exponent):
    octets = binary.encode(digits, exponent, binary.FLOAT32)
    value, power = binary.decode(octets, binary.FLOAT32)
    lowest = min(power, exponent)
    assert value * 10 ** (power - lowest) == digits * 10 ** (exponent - lowest)


@given(bits=st.integers(0, (1 << 32) - 1))
def test_any_float32_comes_back_bit_for_bit(bits):
    octets = bits.to_bytes(4, "big")
    number = binary.decode(octets, binary.FLOAT32)
    if number is None:
        assert bits >> 23 & 0xFF == 0xFF
    elif number[0]:
        assert binary.encode(*number, binary.FLOAT32) == octets


@given(value=st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_a_float64_is_named_by_a_shortest_decimal(value):
    mantissa, exponent = binary.decode(struct.pack(">d", value), binary.FLOAT64)
    assert float(Decimal(mantissa).scaleb(exponent)) == value
    shortest = len(Decimal(repr(value)).normalize().as_tuple().digits)
    exact_tie = 1  # just above a power of two, where the units below are half as large
    assert len(str(abs(mantissa))) <= shortest + exact_tie
