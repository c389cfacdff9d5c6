"""Any bytes, and any damage to a telegram, end in values or in a DecodeError."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_profiles import registry
from firmware_profiles.api import Keys, Report
from firmware_profiles.codecs.crc import crc16_en13757
from firmware_profiles.codecs.mbus import compact
from firmware_profiles.codecs.mbus.link import write_long_frame
from firmware_profiles.codecs.mbus.profile import read_row
from firmware_profiles.codecs.mbus.records import MAKER_BLOCKS, read_records, write_records
from firmware_profiles.codecs.wmbus.link import read_frames, write_blocks_a
from ohmesh.model.errors import DecodeError
from ohmesh.model.reading import Reading

SHARED = Path(__file__).resolve().parents[4] / "shared" / "telegrams"
FILES = ["mbus.jsonl", "mbus-negative.jsonl", "wmbus.jsonl"]
PROFILE = registry.load("eu_mbus")
LONG_HEADER = bytes.fromhex("72 78563412")
MARKED = [
    0x0D,
    0x13,
    0x1F,
    0x2F,
    0x6C,
    0x6D,
    0x78,
    0x7A,
    0x7C,
    0x7F,
    0x80,
    0x8D,
    0xFB,
    0xFC,
    0xFD,
    0xFF,
]
likely_octets = st.lists(st.integers(0, 255) | st.sampled_from(MARKED), max_size=200).map(bytes)
makers = st.sampled_from(
    [b"\xa5\x25", b"\xa3\x4c", b"\x93\x44", b"\x2d\x2c", b"\x68\x50", b"\x30\x4c"]
)
ci_fields = st.sampled_from(
    [0x72, 0x73, 0x76, 0x78, 0x79, 0x7A, 0x7B, 0x8C, 0x8D, 0x90, 0xA0, 0xA2]
)
keys = st.none() | st.binary(min_size=15, max_size=16).map(Keys)


def ends_well(octets, keys=None, *, verify=True):
    """Decode; any error but a DecodeError fails the test by itself."""
    try:
        decoded = PROFILE.decode(octets, keys=keys, verify=verify)
    except DecodeError as error:
        return error
    assert all(type(r.value) is int for r in decoded.readings)
    names = [(r.register.channel, r.time) for r in decoded.readings]
    assert len(names) == len(set(names))
    return None


@given(st.binary(max_size=300), keys, st.booleans())
def test_any_bytes(octets, keys, verify):
    ends_well(octets, keys, verify=verify)


@given(likely_octets, makers, st.binary(min_size=6, max_size=6), keys)
def test_any_records_in_a_good_wired_frame(records, maker, rest, keys):
    ends_well(write_long_frame(0x08, 1, LONG_HEADER + maker + rest + records), keys)


@given(likely_octets, makers, ci_fields, st.binary(min_size=6, max_size=6), keys, st.booleans())
def test_any_payload_in_a_good_radio_frame(body, maker, ci, rest, keys, on_air):
    frame = bytes([10 + len(body), 0x44]) + maker + rest + bytes([ci]) + body
    ends_well(write_blocks_a(frame) if on_air else frame, keys)


@given(likely_octets)
def test_records_are_written_as_they_were_read(octets):
    try:
        records = read_records(octets)
    except DecodeError:
        return
    without_fillers = write_records(records)
    assert read_records(without_fillers) == records
    assert len(without_fillers) <= len(octets)


@given(likely_octets)
def test_a_compact_frame_behind_its_full_frame_says_the_same(octets):
    try:
        records = read_records(octets)
    except DecodeError:
        return
    full = write_records(records)
    check = crc16_en13757(full).to_bytes(2, "little")
    code = compact.signature(b"".join(r.header.octets for r in records)).to_bytes(2, "little")
    frame = code + check + b"".join(r.data for r in records)
    formats = {}
    compact.learn(formats, records)
    options = {"manufacturer": 0, "formats": formats}
    if any(r.header.octets in MAKER_BLOCKS for r in records):
        assert not formats
        return
    assert compact.read_compact(frame, 0, len(frame), **options) == records


@given(likely_octets)
def test_a_row_has_as_many_values_as_its_bytes(octets):
    header = bytes.fromhex("8d04931f") + bytes([min(len(octets), 0xBF)])
    (record,) = read_records(header + octets[:0xBF])
    row = read_row(record)
    assert row is None or len(row.numbers) <= len(octets)


@given(st.binary(min_size=1, max_size=244))
def test_block_checks_come_off_as_they_went_on(user_data):
    frame = bytes([9 + len(user_data), 0x44]) + bytes(8) + user_data
    (found,) = read_frames(write_blocks_a(frame))
    assert found.data == frame


CHANNELS = ["el.energy.import", "el.energy.export", "el.power.import", "el.voltage.l2"]
values = st.integers(-(1 << 62), 1 << 62)
first, last = (datetime(year, 1, 2, tzinfo=UTC) for year in (2000, 2127))
times = st.integers(int(first.timestamp()), int(last.timestamp())).map(
    lambda second: datetime.fromtimestamp(second, UTC)
)


@given(
    st.dictionaries(st.sampled_from(CHANNELS), values),
    times,
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
)
def test_what_a_meter_reports_comes_back(reported, time, meter):
    registers = PROFILE.spec.registers
    readings = tuple(Reading(registers[c], value, time) for c, value in reported.items())
    decoded = PROFILE.decode(PROFILE.encode(Report(meter, time, readings)))
    assert decoded.readings == readings
    assert decoded.time == time
    assert meter in {decoded.device["id"], decoded.texts.get("fabrication")}


def captured(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        key = record.get("key_hex")
        yield bytes.fromhex(record["telegram_hex"]), Keys(bytes.fromhex(key)) if key else None


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_captured_telegram_cut_anywhere(name, verify):
    for octets, key in captured(name):
        for end in range(len(octets)):
            error = ends_well(octets[:end], key, verify=verify)
            assert error is None or 0 <= error.offset <= len(octets)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_captured_telegram_with_a_damaged_byte(name, verify):
    for octets, key in captured(name):
        for position in range(len(octets)):
            for damage in (0xFF, 1 << position % 8):
                damaged = bytearray(octets)
                damaged[position] ^= damage
                ends_well(bytes(damaged), key, verify=verify)


def test_a_wired_frame_notices_any_damaged_byte():
    for octets, _ in captured("mbus.jsonl"):
        for position in range(len(octets)):
            damaged = bytearray(octets)
            damaged[position] ^= 1 << position % 8
            assert ends_well(bytes(damaged)) is not None
