"""The profile: channels, times, what a simulated meter sends, and captured telegrams."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from firmware_profiles import registry
from firmware_profiles.api import Keys, Report
from firmware_profiles.codecs.mbus.link import read_long_frame, write_long_frame
from firmware_profiles.codecs.mbus.records import read_records, write_records
from firmware_profiles.codecs.mbus.security import KeyUse, cmac, derive_key
from firmware_profiles.codecs.mbus.transport import read_transport, write_transport
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Quality, Reading, Register
from ohmesh.model.unit import Unit

FRAME_MAX = 140
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
ELECTRICITY, GAS, HEAT, HOT_WATER, WATER, ALLOCATOR, HEAT_COLD = 2, 3, 4, 6, 7, 8, 0x0D


@pytest.fixture(scope="module")
def profile():
    return registry.load("eu_mbus")


def frame(records, device_type=WATER):
    header = bytes.fromhex("72 78563412 2d2c 04") + bytes([device_type]) + bytes(4)
    return write_long_frame(0x08, 1, header + bytes.fromhex(records))


def readings(profile, records, device_type=WATER):
    decoded = profile.decode(frame(records, device_type))
    return {r.register.channel: r for r in decoded.readings}


def quantities(profile, records, device_type=WATER):
    return {
        channel: (reading.quantity, reading.register.unit)
        for channel, reading in readings(profile, records, device_type).items()
    }


@pytest.mark.parametrize(
    ("device_type", "records", "channel", "quantity", "unit"),
    [
        (WATER, "0413 d2040000", "water.volume", "1.234", Unit.M3),
        (HOT_WATER, "0414 d2040000", "water.hot.volume", "12.340", Unit.M3),
        (GAS, "0413 d2040000", "gas.volume", "1.234", Unit.M3),
        (WATER, "023b 0500", "water.flow", "0.005", Unit.M3_PER_H),
        (HEAT, "0406 05000000", "heat.energy", "5000", Unit.WH),
        (HEAT, "04fb08 05000000", "heat.energy", "500000000", Unit.J),
        (HEAT, "025a e502", "heat.temp.flow", "74.1", Unit.CELSIUS),
        (HEAT, "0262 ffff", "heat.temp.delta", "-0.1", Unit.KELVIN),
        (HEAT_COLD, "04863c 05000000", "cool.energy", "5000", Unit.WH),
        (ALLOCATOR, "026e 0500", "hca.units", "5", Unit.HCA),
        (ALLOCATOR, "426e 0500", "hca.units.setday", "5", Unit.HCA),
        (ELECTRICITY, "0403 05000000", "el.energy.import", "5", Unit.WH),
        (ELECTRICITY, "04833c 05000000", "el.energy.export", "5", Unit.WH),
        (ELECTRICITY, "841003 05000000", "el.energy.import.t1", "5", Unit.WH),
        (ELECTRICITY, "042b 05000000", "el.power.import", "5", Unit.W),
        (ELECTRICITY, "04a9ff02 05000000", "el.power.l2.import", "0.05", Unit.W),
        (ELECTRICITY, "0afdc8fc03 8922", "el.voltage.l3", "228.9", Unit.V),
        (ELECTRICITY, "02fd48 0009", "el.voltage.l1", "230.4", Unit.V),
        (ELECTRICITY, "04fb82fc01 05000000", "raw.mbus.reactive.l1", "5000", Unit.VARH),
        (ELECTRICITY, "02fb2d 8813", "el.frequency", "50.00", Unit.HZ),
        (ELECTRICITY, "0503 59a1b748", "el.energy.import", "376074.781250", Unit.WH),
        (WATER, "4413 d2040000", "water.volume.s1", "1.234", Unit.M3),
        (WATER, "04933c 05000000", "water.volume.backward", "0.005", Unit.M3),
        (WATER, "123b 0500", "water.flow.max", "0.005", Unit.M3_PER_H),
        (WATER, "844013 05000000", "water.volume.u1", "0.005", Unit.M3),
        (WATER, "0224 0500", "raw.mbus.operating_time", "5", Unit.SECOND),
        (WATER, "0226 0500", "raw.mbus.operating_time", "18000", Unit.SECOND),
        (WATER, "02fd17 ffff", "raw.mbus.error", "65535", Unit.CODE),
        (WATER, "02ff20 0500", "raw.mbus.02ff20", "5", Unit.ONE),
        (0x1B, "0265 d204", "raw.mbus.temp.external", "12.34", Unit.CELSIUS),
    ],
)
def test_channels(profile, device_type, records, channel, quantity, unit):
    expected = {channel: (Decimal(quantity), unit)}
    assert quantities(profile, records, device_type) == expected


def test_the_resolution_of_a_channel_does_not_depend_on_the_value(profile):
    scalers = {
        readings(profile, records)["water.volume"].register.scaler
        for records in ("0414 00000000", "0414 01000000", "0414 64000000")
    }
    assert scalers == {-3}


def test_a_channel_twice_in_a_telegram_keeps_both_values(profile):
    found = quantities(profile, "0413 01000000 0413 02000000")
    assert {channel: q for channel, (q, _) in found.items()} == {
        "water.volume": Decimal("0.001"),
        "water.volume.2": Decimal("0.002"),
    }


def test_what_is_no_number_is_kept_as_text(profile):
    decoded = profile.decode(frame("0c78 78563412 0d fd0f 03 434241 426c 9f2c 0a13 1a00 0f aabb"))
    assert decoded.readings == ()
    assert decoded.texts == {
        "fabrication": "12345678",
        "software": "ABC",
        "date.s1": "2020-12-31",
        "volume": "invalid 1A00",
        "maker": "AABB",
    }


def test_a_number_beyond_the_store_is_kept_as_text(profile):
    decoded = profile.decode(frame("0513 ffff7f7f"))
    assert decoded.readings == ()
    assert decoded.texts["volume"].startswith("34028234663852885981170418348451692544")


def test_device(profile):
    assert profile.decode(frame("")).device == {
        "id": "12345678",
        "manufacturer": "KAM",
        "version": "04",
        "medium": "water",
        "status": "00",
        "primary": "1",
    }


def test_times_belong_to_their_storage_number(profile):
    found = readings(profile, "046d 0b0bcd13 0413 01000000 426c 9f2c 4413 02000000 8c0113 03000000")
    # the meter keeps the standard time of Berlin, one hour ahead of UTC, all year
    assert found["water.volume"].time == datetime(2014, 3, 13, 10, 11, tzinfo=UTC)
    assert found["water.volume.s1"].time == datetime(2020, 12, 30, 23, 0, tzinfo=UTC)
    assert found["water.volume.s2"].time is None


def test_summer_time_and_an_untrusted_clock_are_told_by_the_meter(profile):
    found = readings(profile, "046d 8b8bc117 0413 01000000")["water.volume"]
    assert found.time == datetime(2014, 7, 1, 9, 11, tzinfo=UTC)
    assert found.quality is Quality.CLOCK_INVALID
    same = readings(profile, "046d 0b0bc117 0413 01000000")["water.volume"]
    assert (same.time, same.quality) == (
        datetime(2014, 7, 1, 10, 11, tzinfo=UTC),
        Quality.ACTUAL,
    )


def test_a_row_of_values_has_a_time_each(profile):
    decoded = profile.decode(frame("82046c 7f2a 8d04ee1f 08 72fe 0300 1600 ffff", ALLOCATOR))
    assert [(r.register.channel, r.value, r.time) for r in decoded.readings] == [
        ("hca.units.profile.s8", 3, datetime(2019, 11, 29, 23, 0, tzinfo=UTC)),
        ("hca.units.profile.s8", 22, datetime(2019, 12, 30, 23, 0, tzinfo=UTC)),
    ]


def test_a_row_without_a_start_stays_text(profile):
    decoded = profile.decode(frame("8d04ee1f 06 72fe 0300 1600", ALLOCATOR))
    assert decoded.texts == {"units.profile.s8": "72FE03001600"}


def test_a_later_frame_of_a_payload_replaces_the_values_before_it(profile):
    link = bytes.fromhex("44 2d2c 78563412 04 07 78")
    frames = [link + bytes.fromhex(f"0413 0{n}000000") for n in (1, 2)]
    decoded = profile.decode(b"".join(bytes([len(f)]) + f for f in frames))
    assert [r.value for r in decoded.readings] == [2]


KEY = bytes(range(16))


def authenticated(counter):
    message = bytes.fromhex("7a 01 00 0000 0413 01000000")
    link, octets = bytes.fromhex("2d2c 78563412 04 07"), counter.to_bytes(4, "little")
    key = derive_key(KEY, KeyUse.AUTHENTICATION, octets, link[2:6])
    layer = b"\x00\x2c\x25" + octets + cmac(key, b"\x25" + octets + message)[:8]
    body = b"\x44" + link + bytes([0x90, len(layer)]) + layer + message
    return bytes([len(body)]) + body


def test_a_replayed_counter_is_refused(profile):
    payload = authenticated(9)
    assert profile.decode(payload, keys=Keys(KEY, counter_floor=8)).counter == 9
    assert profile.decode(payload, keys=Keys(KEY)).counter == 9
    for floor in (9, 10):
        with pytest.raises(DecodeError) as caught:
            profile.decode(payload, keys=Keys(KEY, counter_floor=floor))
        assert caught.value.kind is DecodeErrorKind.REPLAY


def test_a_payload_beyond_any_telegram_is_refused(profile):
    with pytest.raises(DecodeError) as caught:
        profile.decode(bytes(5000))
    assert caught.value.kind is DecodeErrorKind.BUDGET


def report(profile, channels, *, value=4321, meter="mesh-0000002a", time=NOON):
    registers = profile.spec.registers
    return Report(meter, time, tuple(Reading(registers[c], value, time) for c in channels))


def test_what_a_meter_reports_fits_a_mesh_frame_and_comes_back(profile):
    for value in (0, 1, -1, 999_999_999, 1 << 40, -(1 << 62), 1 << 62):
        wanted = report(profile, profile.spec.reported, value=value, meter="m" * 64)
        payload = profile.encode(wanted)
        assert len(payload) <= FRAME_MAX
        decoded = profile.decode(payload)
        assert decoded.readings == wanted.readings
        assert decoded.time == NOON


COMMODITIES = {
    "el": ["el.energy.import", "el.energy.import.t1", "el.energy.import.t3", "el.energy.export",
           "el.power.import", "el.power.export", "el.voltage.l1", "el.voltage.l3", "el.current.l2",
           "el.frequency", "el.reactive.import", "el.reactive.export"],
    "gas": ["gas.volume"],
    "water": ["water.volume", "water.flow"],
    "hot water": ["water.hot.volume"],
    "heat": ["heat.energy", "heat.volume", "heat.power", "heat.flow", "heat.temp.flow",
             "heat.temp.return", "heat.temp.delta"],
    "cooling": ["cool.energy"],
    "allocator": ["hca.units", "hca.units.setday"],
}  # fmt: skip


def test_every_channel_of_the_profile_can_be_written(profile):
    for channel in profile.spec.registers:
        wanted = report(profile, [channel])
        assert profile.decode(profile.encode(wanted)).readings == wanted.readings, channel


@pytest.mark.parametrize("commodity", COMMODITIES)
def test_every_channel_that_can_be_written_comes_back(profile, commodity):
    wanted = report(profile, COMMODITIES[commodity], meter="12345678")
    decoded = profile.decode(profile.encode(wanted))
    assert decoded.readings == wanted.readings
    assert decoded.device["id"] == "12345678"
    assert decoded.device["manufacturer"] == "OHM"
    assert "fabrication" not in decoded.texts


def test_another_id_travels_as_text(profile):
    decoded = profile.decode(profile.encode(report(profile, ["hca.units"])))
    assert decoded.texts["fabrication"] == "mesh-0000002a"


@pytest.mark.parametrize(
    "moment", [datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(2127, 6, 1, tzinfo=UTC)]
)
def test_the_time_comes_back_to_the_second(profile, moment):
    wanted = report(profile, ["gas.volume"], time=moment)
    decoded = profile.decode(profile.encode(wanted))
    assert decoded.readings == wanted.readings


def test_a_reading_at_another_resolution_is_brought_to_the_profiles(profile):
    kwh = Register("heat.energy", Obis.parse("6-0:1.0.0"), Unit.WH, 6)
    decoded = profile.decode(profile.encode(Report("m", NOON, (Reading(kwh, 2, NOON),))))
    assert [(r.value, r.register.scaler) for r in decoded.readings] == [(2000, 3)]


def refused(profile, wanted, match):
    with pytest.raises(ProfileError, match=match):
        profile.encode(wanted)


def test_what_cannot_be_written_is_refused(profile):
    volume = profile.spec.registers["water.volume"]
    finer = Register("water.volume", volume.obis, Unit.M3, -6)
    foreign = Register("tariff.active", Obis.parse("0-0:96.14.0"), Unit.CODE, 0)
    joule = Register("heat.energy", Obis.parse("6-0:1.0.0"), Unit.J, 6)
    for register, match in [(finer, "binary"), (foreign, "commodity"), (joule, "heat.energy")]:
        refused(profile, Report("m", NOON, (Reading(register, 1, NOON),)), match)
    refused(profile, report(profile, ["gas.volume"], value=1 << 63), "binary")
    refused(profile, report(profile, ["gas.volume", "water.volume"]), "one commodity")
    demand = Register("el.demand.import", Obis.parse("1-0:1.4.0"), Unit.W, 0)
    refused(profile, Report("m", NOON, (Reading(demand, 1, NOON),)), "does not write")
    refused(profile, report(profile, ["gas.volume"], meter="m" * 65), "meter id")
    early = datetime(1999, 1, 1, tzinfo=UTC)
    refused(profile, report(profile, ["gas.volume"], time=early), "year")
    refused(profile, report(profile, ["gas.volume"] * 60), "do not fit")


def captured_frames(shared_records, payload):
    for record in shared_records("mbus.jsonl"):
        octets = payload(record)
        link = read_long_frame(octets)
        if octets[link.start] == 0x72:
            yield record["id"], octets, link


def test_captured_frames_are_written_as_they_were_read(shared_records, payload):
    same = set()
    for name, octets, link in captured_frames(shared_records, payload):
        head = read_transport(octets, link.start, link.end)
        records = read_records(octets, head.start, link.end)
        body = write_transport(head) + write_records(records)
        if write_long_frame(link.control, link.address, body) == octets:
            same.add(name)
        else:
            assert b"\x2f" in octets, name
    assert len(same) >= 55


def test_frames_that_must_be_refused(shared_records, payload, profile):
    records = shared_records("mbus-negative.jsonl")
    assert len(records) >= 12
    for record in records:
        with pytest.raises(DecodeError):
            profile.decode(payload(record))


FACTORS = {"Wh": ("Wh", 1), "kWh": ("Wh", 1000), "W": ("W", 1), "kW": ("W", 1000),
           "m3": ("m3", 1), "m^3": ("m3", 1), "m3/h": ("m3/h", 1), "m^3/h": ("m3/h", 1),
           "HCA": ("HCA", 1), "V": ("V", 1), "A": ("A", 1), "J": ("J", 1)}  # fmt: skip
BEYOND = {
    "mbus-els-elster-f96-plus": "hex digits in BCD that the source adds up as if they were tens",
    "mbus-abb-f95": "hex digits in BCD that the source adds up as if they were tens",
    "wmbus-ebzwmbe-0": "a sum of the phases, which the telegram does not hold",
    "wmbus-qheatv2-0": "8000 is no value, the source takes it for a number",
    "wmbus-qwaterv2-0": "8000 is no value, the source takes it for a number",
    "wmbus-apatorna1-0": "a maker's encrypted format",
    "wmbus-hydrus-0": "encrypted, the key is not published",
    "wmbus-qwater-1": "the length field is wrong",
}


def wanted(record):
    for name, entry in record["expected"].items():
        unit, value = entry.get("unit"), entry["value"]
        if unit in FACTORS and isinstance(value, (int, float)):
            base, factor = FACTORS[unit]
            exact = Decimal(str(value))
            slack = Decimal(1).scaleb(exact.as_tuple().exponent) * factor / 2
            yield name, base, exact * factor, max(slack, abs(exact * factor) / 10**6)


def offered(decoded):
    for reading in decoded.readings:
        yield reading.register.unit.value, reading.quantity
        if reading.register.unit is Unit.J:
            yield "Wh", reading.quantity / 3600


@pytest.mark.parametrize("file", ["mbus.jsonl", "wmbus.jsonl"])
def test_captured_values(file, shared_records, payload, profile):
    for record in shared_records(file):
        if record["id"] in BEYOND:
            continue
        keys = Keys(bytes.fromhex(record["key_hex"])) if "key_hex" in record else None
        decoded = profile.decode(payload(record), keys=keys)
        number = decoded.device["id"].lower()
        assert number == record.get("meter_id", number)
        have = list(offered(decoded))
        for name, unit, quantity, slack in wanted(record):
            near = [q for u, q in have if u == unit and abs(q - quantity) <= slack]
            assert near, f"{record['id']}: {name} = {quantity} {unit} not among {have}"
