"""Modbus frames, binary numbers, register maps and the profiles over them."""

import struct
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from firmware_profiles import registry
from firmware_profiles.api import Report
from firmware_profiles.codecs.modbus import binary, frame
from firmware_profiles.codecs.modbus.frame import Block
from firmware_profiles.codecs.modbus.map import parse_map
from firmware_profiles.modbus.profile import load_map, profile
from firmware_profiles.modbus_em24.profile import profile as em24
from gateway.drivers.registers import read_plan
from meter_sim.field.modbus import image, map_names
from meter_sim.registers import WATT_MS_PER_WH, Registers
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError
from ohmesh.model.reading import Reading

MODBUS, EM24 = profile(), em24()
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
FRAME_MAX = 140
SUNSPEC = {"sunspec_meter_int", "sunspec_meter_float"}
ANSWER = bytes.fromhex("010404436633341B38")
REQUEST = bytes.fromhex("01040000000271CB")


def values(payload, meter=MODBUS):
    return {r.register.channel: r.quantity for r in meter.decode(payload).readings}


def exchange(address, data, function=3):
    return frame.encode((Block(1, function, address, data),))


def test_captured_frames_encode_to_the_same_bytes(shared_records, payload):
    same = 0
    for record in shared_records("modbus-rtu.jsonl"):
        octets = bytes.fromhex(record.get("request_hex", "")) + payload(record)
        if record["expected"]["crc_valid"]["value"]:
            assert frame.encode(frame.decode(octets)) == octets, record["id"]
            same += 1
    assert same == 4


def test_a_float_is_the_shortest_decimal_of_its_bits():
    assert binary.decode(bytes.fromhex("43663334"), binary.FLOAT32) == (23020001, -5)
    assert binary.decode(bytes.fromhex("43663333"), binary.FLOAT32) == (2302, -1)
    assert binary.decode(bytes.fromhex("C2F6E979"), binary.FLOAT32) == (-123456, -3)
    assert binary.decode(bytes.fromhex("00000000"), binary.FLOAT32) == (0, 0)
    assert binary.decode(bytes.fromhex("4CEB79A3"), binary.FLOAT32) == (12345679, 1)
    for no_number in ("7F800000", "FF800000", "7FC00000"):
        assert binary.decode(bytes.fromhex(no_number), binary.FLOAT32) is None
    assert binary.encode(1, 39, binary.FLOAT32) is None


def test_the_answer_alone_and_behind_its_request():
    assert values(ANSWER) == values(REQUEST + ANSWER) == {"el.voltage.l1": Decimal("230.20001")}
    assert values(REQUEST + ANSWER + REQUEST + ANSWER) == values(ANSWER)


def test_an_answer_from_elsewhere_is_told_by_its_request():
    payload = exchange(0x48, struct.pack(">2f", 1234.5, 67.25), function=4)
    assert values(payload) == {"el.energy.import": 1234500, "el.energy.export": 67250}
    payload = exchange(3027, struct.pack(">f", 239.5))
    assert values(payload) == {"el.voltage.l1": Decimal("239.5")}


def test_blocks_that_go_on_are_joined():
    first, second = struct.pack(">f", 1234.5)[:2], struct.pack(">f", 1234.5)[2:]
    payload = exchange(0x48, first, function=4) + exchange(0x49, second, function=4)
    assert values(payload) == {"el.energy.import": 1234500}


def test_registers_without_a_meaning_are_kept_as_text():
    decoded = MODBUS.decode(exchange(0x9000, b"\x12\x34"))
    assert (decoded.readings, decoded.texts) == ((), {"3.36864": "1234"})
    assert MODBUS.decode(frame.encode((Block(1, 3, 7, b"", 2),))).texts == {"refusal.3.7": "2"}


def test_em24_has_the_lowest_word_first():
    data = struct.pack(">2H", 2301, 0) + struct.pack(">2H", 0xFFFF, 0xFFFF)
    assert values(exchange(0, data, function=4), EM24) == {
        "el.voltage.l1": Decimal("230.1"),
        "el.voltage.l2": Decimal("-0.1"),
    }
    power_factor = exchange(0x35, struct.pack(">h", -987), function=4)
    assert values(power_factor, EM24) == {"el.pf": Decimal("-0.987")}


def sunspec_int(**given):
    """A model 203 with these registers, absent ones as the standard says."""
    registers = [203, 105] + [0x8000] * 36 + [0] * 16 + [0x8000] + [0] * 52
    assert len(registers) == 107
    for at, value in given.items():
        registers[int(at[1:])] = value & 0xFFFF
    return struct.pack(f">{len(registers)}H", *registers)


def test_sunspec_integers_with_scale_registers():
    model = sunspec_int(r3=1234, r6=-2, r8=2301, r15=-1, r18=-500, r22=1, r47=7, r39=9, r54=1)
    device = b"SunS" + struct.pack(">2H", 1, 2) + b"abcd" + model + b"\xff\xff\0\0"
    for payload in (exchange(40000, device), exchange(40069, model), exchange(0, model, 4)):
        assert values(payload) == {
            "el.current.l1": Decimal("12.34"),
            "el.voltage.l1": Decimal("230.1"),
            "el.power.net": -5000,
            "el.energy.import": 70,
            "el.energy.export": 90,
        }


def test_sunspec_without_its_scale_has_no_value():
    assert values(exchange(40000, sunspec_int(r3=1234, r54=0))) == {
        "el.energy.import": 0,
        "el.energy.export": 0,
    }


def test_sunspec_floats_over_two_reads():
    registers = struct.pack(">2H", 213, 124) + struct.pack(">62f", *[float("nan")] * 62)
    floats = bytearray(registers)
    floats[28 * 2 : 28 * 2 + 4] = struct.pack(">f", -1500.5)
    floats[68 * 2 : 68 * 2 + 4] = struct.pack(">f", 1234560)
    payload = exchange(40000, bytes(floats[:200])) + exchange(40100, bytes(floats[200:]))
    assert values(payload) == {
        "el.power.net": Decimal("-1500.5"),
        "el.energy.import": Decimal(1234560),
    }


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", DecodeErrorKind.TRUNCATED),
        (ANSWER[:-2], DecodeErrorKind.TRUNCATED),
        (ANSWER[:-1] + b"\x39", DecodeErrorKind.CHECKSUM),
        (REQUEST, DecodeErrorKind.TRUNCATED),
        (REQUEST[:-1] + b"\xcc" + ANSWER, DecodeErrorKind.CHECKSUM),
        (bytes.fromhex("0110000000010000"), DecodeErrorKind.UNSUPPORTED),
        (REQUEST + exchange(None, b"\0\0", function=4), DecodeErrorKind.MALFORMED),
        (REQUEST + exchange(None, b"\0\0\0\0", function=3), DecodeErrorKind.MALFORMED),
        (frame.encode((Block(1, 4, None, b"\0\0\0"),)), DecodeErrorKind.MALFORMED),
        ((REQUEST + ANSWER) * 300, DecodeErrorKind.BUDGET),
    ],
)
def test_bad_frames_end_in_a_typed_error(payload, kind):
    with pytest.raises(DecodeError) as caught:
        MODBUS.decode(payload)
    assert caught.value.kind is kind


def test_a_wrong_crc_may_be_accepted():
    assert len(MODBUS.decode(ANSWER[:-1] + b"\x39", verify=False).readings) == 1


@pytest.mark.parametrize(
    ("meter", "power"), [(MODBUS, -1234), (EM24, -12345)], ids=["eastron", "em24"]
)
def test_a_report_comes_back(meter, power):
    given = {"el.energy.import": 1_234_567, "el.energy.export": 0, "el.power.net": power}
    readings = tuple(Reading(meter.spec.registers[c], value) for c, value in given.items())
    payload = meter.encode(Report("17", NOON, readings))
    decoded = meter.decode(payload)
    assert decoded.readings == readings
    assert decoded.device == {"unit": "17"}
    assert len(payload) <= FRAME_MAX


@pytest.mark.parametrize(("meter", "value"), [(MODBUS, 123_456_789), (EM24, 1 << 31)])
def test_what_a_register_cannot_hold_exactly_is_refused(meter, value):
    reading = Reading(meter.spec.registers["el.energy.import"], value)
    with pytest.raises(ProfileError):
        meter.encode(Report("1", NOON, (reading,)))


@pytest.mark.parametrize("name", map_names())
def test_points_of_a_map_do_not_overlap(name):
    map_ = load_map(name)
    spans = sorted((p.address, p.address + p.kind.words) for p in map_.points)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert len({p.obis for p in map_.points}) == len(map_.points)


@pytest.mark.parametrize("name", sorted(set(map_names()) - SUNSPEC))
def test_what_a_meter_shows_is_what_its_profile_reads(name):
    """A simulated meter, read as the gateway reads it: the points of its map and nothing else."""
    map_, plan = load_map(name), read_plan(name)
    words = image(
        map_, Registers(at_ms=0, import_wms=1_234_000 * WATT_MS_PER_WH, export_wms=0, net_w=-70)
    )
    blocks = tuple(
        Block(
            1,
            plan.function,
            first,
            b"".join(words.get(a, 0).to_bytes(2, "big") for a in range(first, first + count)),
        )
        for first, count in plan.blocks
    )
    readings = registry.load(plan.profile).decode(frame.encode(blocks)).readings
    assert {r.register.obis for r in readings} == {point.obis for point in map_.points}
    assert len(readings) == len(map_.points), "no other map has a say at these addresses"
    shown = {r.register.channel: r.quantity for r in readings}
    assert shown.get("el.energy.import", 1_234_000) == 1_234_000
    assert shown.get("el.power.net", -70) == -70


@pytest.mark.parametrize(
    ("address", "octets"),
    [(0x5B02, "ffffffff"), (0x5B14, "7fffffff"), (0x5000, "f" * 16), (0x5B3A, "7fff")],
)
def test_a_b_series_meter_says_that_it_has_no_value(address, octets):
    assert not values(exchange(address, bytes.fromhex(octets)))
    assert len(values(exchange(address, bytes.fromhex("0" * (len(octets) - 1) + "1")))) == 1


def test_meters_of_many_makers_by_example():
    """Registers and units as the sources of each map name them, written out by hand."""
    assert values(exchange(0x5000, (123_456).to_bytes(8, "big"))) == {"el.energy.import": 1_234_560}
    assert values(exchange(0x5B14, (-12_300).to_bytes(4, "big", signed=True))) == {
        "el.power.net": -123
    }
    assert values(exchange(19_068, struct.pack(">f", 5000))) == {"el.energy.import": 5000}
    assert values(exchange(801, struct.pack(">d", 77_000))) == {"el.energy.import.t1": 77_000}
    assert values(exchange(0xC568, (250).to_bytes(4, "big"))) == {"el.power.net": 2500}
    assert values(exchange(0xC652, (12).to_bytes(4, "big"))) == {"el.energy.import": 12_000}
    low_first = struct.pack(">2H", 4567, 1)
    assert values(exchange(0x34, low_first), EM24) == {"el.energy.import": 7_010_300}


HEAD = '[meter]\nbrand = "B"\nmodels = ["M"]\nsource = "S"\nchecked_on = 2026-11-22\n[modbus]\n'
POINT = '{ address = 0, type = "int16", obis = "1-0:1.8.0", unit = "kWh" }'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'function = 5\nword_order = "big"\npoints = [{POINT}]', "neither 3 nor 4"),
        (f'function = 3\nword_order = "up"\npoints = [{POINT}]', "word_order"),
        (f'function = 3\nword_order = "big"\npoints = [{POINT.replace("kWh", "yd")}]', "'yd'"),
        (f'function = 3\nword_order = "big"\npoints = [{POINT.replace("int16", "x")}]', "type"),
        (f'function = 3\nword_order = "big"\npoints = [{POINT[:-1]}, q = 1}}]', "q"),
        (f'function = 3\nword_order = "big"\npoints = [{POINT.replace("8", "999")}]', "above"),
        ('function = 3\nword_order = "big"', "points"),
    ],
)
def test_a_wrong_map_is_refused_with_its_reason(text, reason):
    parse_map("map.toml", HEAD + f'function = 3\nword_order = "big"\npoints = [{POINT}]')
    with pytest.raises(ProfileError, match=r"map\.toml:\d+") as caught:
        parse_map("map.toml", HEAD + text)
    assert reason in str(caught.value)
