"""ECHONET Lite and the Japanese profile."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from firmware_profiles.api import Report
from firmware_profiles.codecs import echonet
from firmware_profiles.codecs.echonet import Frame, Property
from firmware_profiles.jp_broute.profile import profile
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError
from ohmesh.model.reading import Reading

JP = profile()
NOON = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)
METER = "AB1234567890"
FRAME_MAX = 140
COEFFICIENT = Property(0xD3, bytes(3) + b"\x01")
TENTHS = Property(0xE1, b"\x01")
DATE, CLOCK = Property(0x98, bytes.fromhex("07EA0701")), Property(0x97, b"\x0c\x1e")


def answer(*properties, service=echonet.GET_RESPONSE, source="028801"):
    frame = Frame(1, bytes.fromhex(source), bytes.fromhex("05FF01"), service, properties)
    return echonet.encode(frame)


def found(*properties, **options):
    decoded = JP.decode(answer(*properties, **options))
    return [(r.register.channel, r.quantity, r.time) for r in decoded.readings]


def count(value):
    return value.to_bytes(4, "big")


def test_captured_frames_encode_to_the_same_bytes(shared_records, payload):
    same = 0
    for record in shared_records("echonet-lite-broute.jsonl"):
        if "error" not in record["expected"]:
            assert echonet.encode(echonet.decode(payload(record))) == payload(record)
            same += 1
    assert same >= 14


@pytest.mark.parametrize(
    ("code", "wh"),
    [(0, 1000), (1, 100), (2, 10), (3, 1), (4, Decimal("0.1")), (0x0A, 10_000), (0x0D, 10_000_000)],
)
def test_the_unit_of_an_energy(code, wh):
    items = (COEFFICIENT, Property(0xE1, bytes((code,))), Property(0xE0, count(7)))
    assert found(*items) == [("el.energy.import", 7 * wh, None)]


def test_the_unit_alone_says_what_a_count_is_worth():
    assert found(TENTHS) == [("raw.E1", 100, None)]
    assert found(TENTHS, COEFFICIENT) == [("raw.E1", 100, None)]


def test_the_coefficient_multiplies_and_a_refused_one_is_one():
    ten = Property(0xD3, count(10))
    energy = Property(0xE0, count(7))
    assert found(ten, TENTHS, energy) == [("el.energy.import", 7000, None)]
    assert found(Property(0xD3), TENTHS, energy, service=0x52) == [("el.energy.import", 700, None)]


@pytest.mark.parametrize("known", [(), (TENTHS,), (COEFFICIENT,), (Property(0xE1, b"\x09"),)])
def test_without_unit_or_coefficient_a_count_stays_raw(known):
    assert found(*known, Property(0xE0, count(7))) == [("raw.E0", 7, None)]


def test_energies_of_the_last_half_hour_have_their_time():
    stamp = bytes.fromhex("07EA05140E0000")
    decoded = JP.decode(answer(COEFFICIENT, TENTHS, Property(0xEA, stamp + count(65128))))
    assert [r.quantity for r in decoded.readings] == [Decimal(6512800)]
    assert decoded.time == decoded.readings[0].time == datetime(2026, 5, 20, 5, 0, tzinfo=UTC)


def test_no_data_codes_give_no_value():
    day = b"\x00\x01" + count(0xFFFFFFFE) * 47 + count(5)
    assert found(COEFFICIENT, TENTHS, DATE, CLOCK, Property(0xE2, day)) == [
        ("el.energy.import", 500, datetime(2026, 6, 30, 14, 30, tzinfo=UTC))
    ]
    single = Property(0xE8, bytes.fromhex("001E7FFE"))
    assert found(single) == [("el.current.l1", Decimal(3), None)]
    assert found(Property(0xE7, bytes.fromhex("7FFFFFFF"))) == []


def test_a_day_without_its_date_is_a_text():
    day = Property(0xE2, b"\x00\x0b" + count(9) * 48)
    decoded = JP.decode(answer(COEFFICIENT, TENTHS, day))
    assert decoded.readings == ()
    assert decoded.texts["E2"] == "day 11: " + " ".join("9" * 48)


def test_rows_of_half_hours_go_back_in_time():
    rows = count(20) + count(2) + count(10) + count(1)
    data = bytes.fromhex("07EA07010C1E02") + rows
    last = datetime(2026, 7, 1, 3, 30, tzinfo=UTC)
    before = last - timedelta(minutes=30)
    assert found(COEFFICIENT, Property(0xE1, b"\x03"), Property(0xEC, data)) == [
        ("el.energy.import", 20, last),
        ("el.energy.export", 2, last),
        ("el.energy.import", 10, before),
        ("el.energy.export", 1, before),
    ]


def test_other_objects_give_texts_alone():
    decoded = JP.decode(answer(Property(0xE7, count(1)), source="0EF001", service=0x73))
    assert (decoded.readings, decoded.texts) == ((), {"E7": "00000001"})


def test_a_date_of_no_calendar_is_no_time():
    never = Property(0x98, bytes.fromhex("00010101"))
    day = Property(0xE2, b"\xff\xff" + count(9) * 48)
    assert JP.decode(answer(COEFFICIENT, TENTHS, never, CLOCK, day)).time is None
    early = Property(0x98, bytes.fromhex("07D00101"))
    assert len(found(COEFFICIENT, TENTHS, early, CLOCK, day)) == 48


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ("", DecodeErrorKind.TRUNCATED),
        ("1082", DecodeErrorKind.UNSUPPORTED),
        ("1181000102880105FF017201E70400000001", DecodeErrorKind.MALFORMED),
        ("1081000102880105FF017201E7040000", DecodeErrorKind.TRUNCATED),
        ("1081000102880105FF0172FFE70400000001", DecodeErrorKind.TRUNCATED),
        ("1081000102880105FF010001E70400000001", DecodeErrorKind.MALFORMED),
        ("1081000102880105FF017201E7040000000100", DecodeErrorKind.MALFORMED),
        ("1081000102880105FF017201E7020001", DecodeErrorKind.MALFORMED),
        ("1081000102880105FF017201EC0107", DecodeErrorKind.MALFORMED),
    ],
)
def test_bad_frames_end_in_a_typed_error(payload, kind):
    with pytest.raises(DecodeError) as caught:
        JP.decode(bytes.fromhex(payload))
    assert caught.value.kind is kind


def test_a_report_comes_back():
    values = {
        "el.energy.import": 6_512_834,
        "el.energy.export": 0,
        "el.power.net": -524,
        "el.current.l1": 35,
        "el.current.l3": -2,
    }
    readings = tuple(Reading(JP.spec.registers[c], value, NOON) for c, value in values.items())
    decoded = JP.decode(JP.encode(Report(METER, NOON, readings)))
    assert decoded.readings == readings
    assert decoded.time == NOON
    assert decoded.device == {"id": METER, "serial": METER}


def test_the_reported_channels_fit_one_frame():
    readings = tuple(Reading(JP.spec.registers[c], 99_999_999, NOON) for c in JP.spec.reported)
    assert len(JP.encode(Report(METER, NOON, readings))) <= FRAME_MAX


@pytest.mark.parametrize(
    ("channel", "value"),
    [("el.energy.import", -1), ("el.energy.import", 10**15), ("el.power.net", 1 << 31)],
)
def test_what_the_meter_cannot_say_is_refused(channel, value):
    reading = Reading(JP.spec.registers[channel], value, NOON)
    with pytest.raises(ProfileError):
        JP.encode(Report(METER, NOON, (reading,)))
