"""HAN lists and the Norwegian profile."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from firmware_profiles.api import Keys, Report
from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.dialects import KAMSTRUP, KAMSTRUP_CT, dialect_of
from firmware_profiles.codecs.dlms.lists import (
    clock_entry,
    framed,
    notification,
    text_entry,
    value_entry,
)
from firmware_profiles.codecs.dlms.push import decode_telegram, parse_notification
from firmware_profiles.codecs.dlms.security import seal_general
from firmware_profiles.codecs.dlms.transport import unwrap
from firmware_profiles.codecs.hdlc import parse_frames
from firmware_profiles.no_han.profile import profile
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Quality, Reading, Register
from ohmesh.model.unit import Unit

NO = profile()
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
FRAME_MAX = 140
NAMES = {
    "active_power_import": "el.power.import",
    "active_power_export": "el.power.export",
    "reactive_power_import": "el.power.reactive.import",
    "reactive_power_export": "el.power.reactive.export",
    "current_l1": "el.current.l1",
    "current_l2": "el.current.l2",
    "current_l3": "el.current.l3",
    "voltage_l1": "el.voltage.l1",
    "voltage_l2": "el.voltage.l2",
    "voltage_l3": "el.voltage.l3",
    "active_power_import_total": "el.energy.import",
    "active_power_export_total": "el.energy.export",
    "reactive_power_import_total": "el.reactive.import",
    "reactive_power_export_total": "el.reactive.export",
}


def keys_of(record):
    if "key_hex" not in record:
        return None
    return Keys(bytes.fromhex(record["key_hex"]), bytes.fromhex(record["auth_key_hex"]))


def broken(record):
    return record["expected"].get("hdlc_crc_valid", {}).get("value") is False


def expected_channel(name):
    if name in NAMES:
        return NAMES[name]
    return name if name[:1].isdigit() else None


def test_captured_lists(shared_records, payload):
    compared = 0
    for record in shared_records("dlms-han-push.jsonl"):
        if broken(record):
            with pytest.raises(DecodeError, match="check sequence"):
                NO.decode(payload(record))
            continue
        decoded = NO.decode(payload(record), keys=keys_of(record))
        found = {r.register.channel: r.quantity for r in decoded.readings}
        found |= {str(r.register.obis): r.quantity for r in decoded.readings}
        for name, entry in record["expected"].items():
            channel = expected_channel(name)
            if entry["unit"] and channel:
                value = Decimal(str(entry["value"]))
                assert abs(found[channel] - value) < Decimal("1e-9"), (record["id"], name)
                compared += 1
        for name, key in (("meter_manufacturer", "manufacturer"), ("meter_id", "serial")):
            if name in record["expected"]:
                assert decoded.device[key] == record["expected"][name]["value"]
    assert compared > 100


def test_aidon_frames_are_written_back_to_the_byte(shared_records, payload):
    written = 0
    for record in shared_records("dlms-han-push.jsonl"):
        if record["maker"] != "Aidon" or not payload(record).startswith(b"\x7e"):
            continue
        if "key_hex" in record:
            continue
        body = parse_notification(unwrap(payload(record)).apdus[0]).body
        entries = [aidon_entry(*item) for item in body]
        apdu = notification(axdr.array(*entries))
        assert framed(apdu, destination=b"\x41", source=payload(record)[4:6]) == payload(record)
        written += 1
    assert written >= 3


def aidon_entry(obis, value, scaler_unit=None):
    if isinstance(value, str):
        return text_entry(Obis.from_bytes(obis), value)
    if isinstance(value, bytes):
        return clock_entry(value)
    units = {0x1B: Unit.W, 0x1D: Unit.VAR, 0x1E: Unit.WH, 0x20: Unit.VARH}
    units |= {0x21: Unit.A, 0x23: Unit.V}
    return value_entry(Obis.from_bytes(obis), value, scaler_unit[0], units[scaler_unit[1]])


def report(*channels, meter="mesh-0000002a", value=123456):
    readings = tuple(
        Reading(NO.spec.registers[channel], value % 30000 if "current" in channel else value, NOON)
        for channel in channels
    )
    return Report(meter, NOON, readings)


@pytest.mark.parametrize("meter", ["m", "mesh-0000002a", "x" * 30])
def test_the_short_list_fits_a_mesh_frame(meter):
    wanted = report(*NO.spec.reported, meter=meter, value=4_000_000_000)
    payload = NO.encode(wanted)
    assert len(payload) <= FRAME_MAX
    decoded = NO.decode(payload)
    assert decoded.readings == wanted.readings
    assert decoded.device["serial"] == meter
    assert decoded.time == NOON


def test_the_full_list_gives_every_register_back():
    wanted = report(*NO.spec.registers, value=2345)
    assert NO.decode(NO.encode(wanted)).readings == wanted.readings


def test_what_the_list_cannot_hold_is_refused():
    foreign = Register("water.volume", Obis.parse("8-0:1.0.0"), Unit.M3, -3)
    with pytest.raises(ProfileError, match=r"no channel water\.volume"):
        NO.encode(Report("m", NOON, (Reading(foreign, 1, NOON),)))
    with pytest.raises(ProfileError, match=r"el\.energy\.import = 4294967296"):
        NO.encode(report("el.energy.import", value=1 << 32))


def obis(code):
    return axdr.octets(Obis.parse(code).to_bytes())


def test_kamstrup_transformer_meters_have_finer_currents():
    def items(model):
        return axdr.structure(
            axdr.visible("Kamstrup_V0001"),
            obis("1-1:96.1.1"),
            axdr.visible(model),
            obis("1-1:31.7.0"),
            axdr.uint32(1234),
        )

    def current(model):
        return NO.decode(notification(items(model))).readings[0].quantity

    assert current("684xx") == Decimal("12.34")
    assert current("685xx") == Decimal("1.234")
    assert KAMSTRUP != KAMSTRUP_CT
    assert dialect_of(("Kamstrup_V0001",)) is KAMSTRUP


def test_a_kaifa_model_of_six_letters_is_no_logical_name():
    numbers = map(axdr.uint32, (1, 2, 3, 4, 1000, 2301))
    head = map(axdr.octets, (b"KFM_001", b"OHM-1", b"OHM304"))
    decoded = NO.decode(notification(axdr.structure(*head, *numbers)))
    assert decoded.device["model"] == "OHM304"
    assert decoded.readings[-1].quantity == Decimal("230.1")


def valued(code, value, scaler, unit):
    return axdr.structure(obis(code), value, axdr.structure(axdr.int8(scaler), axdr.enum(unit)))


def test_null_and_unknown_values():
    body = axdr.array(
        valued("1-0:1.7.0", axdr.null(), 0, 27),
        axdr.structure(obis("1-0:99.1.7"), axdr.uint32(7)),
        valued("1-0:1.8.0", axdr.uint32(5), 3, 30),
        valued("1-0:32.7.0", axdr.uint32(5), 0, 99),
    )
    found = {r.register.channel: r for r in NO.decode(notification(body)).readings}
    assert found["raw.1-0:99.1.7"].value == 7
    assert found["el.energy.import"].value == 5000
    assert found["raw.1-0:32.7.0"].register.unit is Unit.ONE
    assert len(found) == 3


@pytest.mark.parametrize(
    ("stamp", "time", "quality"),
    [
        ("07ea0701030e0000ff800000", NOON, Quality.ACTUAL),
        ("07ea0701030e000000ff8880", NOON, Quality.ACTUAL),
        ("07ea0701030cffffff000001", NOON, Quality.CLOCK_INVALID),
        ("ffffffffffffffffffffffff", None, Quality.CLOCK_INVALID),
        ("07ea0d01030e0000ff800000", None, Quality.CLOCK_INVALID),
        ("07ea0a19070200 00ff8000ff".replace(" ", ""), datetime(2026, 10, 25, 0, 0, tzinfo=UTC), 0),
        ("07ea0a1907020000ff800000", datetime(2026, 10, 25, 1, 0, tzinfo=UTC), Quality.ACTUAL),
        ("07ea0a1907020000ff800080", datetime(2026, 10, 25, 0, 0, tzinfo=UTC), Quality.ACTUAL),
    ],
)
def test_stamps(stamp, time, quality):
    octets = bytes.fromhex(stamp)
    if octets[6] == 0xFF:
        octets = octets[:6] + b"\0" + octets[7:]
    body = axdr.structure(axdr.uint32(5))
    decoded = NO.decode(notification(body, octets))
    assert (decoded.time, decoded.readings[0].quality) == (time, quality)


TITLE = b"OHM\0\0\0\0\1"
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
PLAIN = notification(axdr.structure(axdr.uint32(5)))


@pytest.mark.parametrize("control", [0x10, 0x20, 0x30, 0x21, 0x31])
def test_ciphered_lists(control):
    sealed = seal_general(TITLE, PLAIN, KEYS, control=control, counter=7)
    keys = KEYS if control & 0x10 else Keys(KEYS.unicast)
    decoded = NO.decode(sealed, keys=keys)
    assert decoded.readings[0].value == 5
    assert decoded.counter == 7
    assert decoded.device["system_title"] == TITLE.hex().upper()


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (None, DecodeErrorKind.KEY),
        (Keys(bytes(16), KEYS.authentication), DecodeErrorKind.KEY),
        (Keys(KEYS.unicast, bytes(16)), DecodeErrorKind.KEY),
        (Keys(b"short", KEYS.authentication), DecodeErrorKind.KEY),
        (Keys(KEYS.unicast, KEYS.authentication, counter_floor=7), DecodeErrorKind.REPLAY),
        (Keys(KEYS.unicast, KEYS.authentication, counter_floor=6), None),
        (Keys(KEYS.unicast), None),
    ],
)
def test_keys_and_counters_decide(keys, kind):
    sealed = seal_general(TITLE, PLAIN, KEYS, control=0x30, counter=7)
    if kind is None:
        assert NO.decode(sealed, keys=keys).readings
        return
    with pytest.raises(DecodeError) as caught:
        NO.decode(sealed, keys=keys)
    assert caught.value.kind is kind


@pytest.mark.parametrize("control", [0x00, 0x20])
def test_a_list_without_a_tag_is_refused_where_tags_are_due(control):
    sealed = seal_general(TITLE, PLAIN, KEYS, control=control, counter=7)
    with pytest.raises(DecodeError) as caught:
        NO.decode(sealed, keys=KEYS)
    assert caught.value.kind is DecodeErrorKind.KEY


def test_a_wrong_key_without_a_tag_is_seen_by_what_comes_out():
    sealed = seal_general(TITLE, PLAIN, KEYS, control=0x20, counter=7)
    with pytest.raises(DecodeError) as caught:
        NO.decode(sealed, keys=Keys(bytes(16)))
    assert caught.value.kind is DecodeErrorKind.KEY


SEALED = seal_general(TITLE, PLAIN, KEYS, control=0x30, counter=7)


@pytest.mark.parametrize("position", range(len(SEALED)))
def test_an_altered_byte_of_an_authenticated_list_is_seen(position):
    altered = bytearray(SEALED)
    altered[position] ^= 4
    with pytest.raises(DecodeError):
        NO.decode(bytes(altered), keys=KEYS)


@pytest.mark.parametrize("killer", ["01ff02", "0282ffff06", "01847fffffff00"])
def test_known_killers_end_at_once(killer):
    bytes_ = bytes.fromhex(killer)
    for payload in (bytes_, notification(bytes_), b"\xe6\xe7\x00" + notification(bytes_)):
        with pytest.raises(DecodeError):
            NO.decode(payload)


@pytest.mark.parametrize(
    "hexed", ["", "0f", "0f00000001", "0f0000000105", "0f000000010c07ea", "c001", "7e", "e0", "db"]
)
def test_what_is_no_list_is_refused(hexed):
    with pytest.raises(DecodeError):
        NO.decode(bytes.fromhex(hexed))


def test_every_cut_and_every_flip_of_a_list_ends_in_a_typed_error():
    whole = NO.encode(report(*NO.spec.reported))
    for length in range(len(whole) - 1):
        with pytest.raises(DecodeError):
            NO.decode(whole[:length])
    for position in range(1, len(whole) - 1):
        for mask in (1, 0x80, 0xFF):
            bad = bytearray(whole)
            bad[position] ^= mask
            with pytest.raises(DecodeError):
                NO.decode(bytes(bad))


def test_an_empty_frame_says_nothing():
    decoded = decode_telegram(
        bytes.fromhex("7EA00801020110378D7E"), NO.zone, dialect_of, keys=None, verify=True
    )
    assert decoded.readings == ()
    assert len(parse_frames(bytes.fromhex("7EA00801020110378D7E"))) == 1
