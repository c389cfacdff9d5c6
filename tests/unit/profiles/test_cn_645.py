"""DL/T 645-2007, DL/T 698.45 and the Chinese profile."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from firmware_profiles.api import Report
from firmware_profiles.cn_645.items645 import signed_bcd, to_bcd
from firmware_profiles.cn_645.profile import profile
from firmware_profiles.codecs import dlt645
from firmware_profiles.codecs.dlt698 import link
from ohmesh.model.errors import DecodeError, DecodeErrorKind, ProfileError
from ohmesh.model.reading import Reading

CN = profile()
NOON = datetime(2026, 7, 1, 4, 0, 5, tzinfo=UTC)
METER = "000000000161"
FRAME_MAX = 140


def answer(identifier, data, control=0x91):
    octets = identifier.to_bytes(4, "little") + bytes.fromhex(data)
    return dlt645.encode((dlt645.Frame(METER, control, octets),))


def found(payload):
    return [
        (r.register.channel, r.quantity, r.register.unit.value) for r in CN.decode(payload).readings
    ]


def frame698(apdu, control=0xC3):
    return link.encode(link.Frame(control, METER, 0, bytes.fromhex(apdu)))


def test_captured_frames_encode_to_the_same_bytes(shared_records, payload):
    for record in shared_records("dlt645-2007.jsonl"):
        assert dlt645.encode(dlt645.decode(payload(record))) == payload(record), record["id"]
    for record in shared_records("dlt698-45.jsonl"):
        assert link.encode(link.decode(payload(record))) == payload(record), record["id"]


@pytest.mark.parametrize(
    ("identifier", "data", "expected"),
    [
        (0x00010000, "56341200", [("el.energy.import", 1234560, "Wh")]),
        (0x00010100, "56341200", [("el.energy.import.t1", 1234560, "Wh")]),
        (0x00020000, "56341200", [("el.energy.export", 1234560, "Wh")]),
        (0x00000000, "56341280", [("el.energy.abs", -1234560, "Wh")]),
        (0x00030000, "26000100", [("el.reactive.import", 100260, "varh")]),
        (0x00150000, "01000000", [("el.energy.l1.import", 10, "Wh")]),
        (0x003E0000, "01000000", [("el.energy.l3.export", 10, "Wh")]),
        (0x00010001, "01000000", [("raw.1-0:1.8.0*1", 10, "Wh")]),
        (0x02010100, "3322", [("el.voltage.l1", Decimal("223.3"), "V")]),
        (0x02020200, "994980", [("el.current.l2", Decimal("-0.4999").scaleb(1), "A")]),
        (0x02030000, "122500", [("el.power.net", Decimal("251.2"), "W")]),
        (0x02030000, "122580", [("el.power.net", Decimal("-251.2"), "W")]),
        (0x02060100, "0105", [("el.pf.l1", Decimal("0.501"), "1")]),
        (0x02800002, "0150", [("el.frequency", Decimal("50.01"), "Hz")]),
        (0x02800001, "010000", [("el.current.n", Decimal("0.001"), "A")]),
        (
            0x0201FF00,
            "012202220322",
            [(f"el.voltage.l{n}", Decimal(f"220.{n}"), "V") for n in (1, 2, 3)],
        ),
        (
            0x0203FF00,
            "000000" * 4,
            [("el.power.net", 0, "W")] + [(f"el.power.l{n}.net", 0, "W") for n in (1, 2, 3)],
        ),
        (
            0x0001FF00,
            "0100000002000000AA",
            [("el.energy.import", 10, "Wh"), ("el.energy.import.t1", 20, "Wh")],
        ),
        (0x02010200, "FFFF", []),
        (0x04000401, "610100000000", []),
    ],
)
def test_items(identifier, data, expected):
    assert found(answer(identifier, data)) == expected


def test_a_highest_demand_has_its_time():
    decoded = CN.decode(answer(0x01010000, "563412" + "3014010726"))
    (reading,) = decoded.readings
    assert reading.register.channel == "el.demand.max.import"
    assert reading.quantity == Decimal("12345.6")
    assert reading.time == datetime(2026, 7, 1, 6, 30, tzinfo=UTC)


def test_a_later_frame_ends_with_its_number():
    payload = answer(0x00010000, "56341200" + "01", control=0x92)
    assert found(payload) == [("el.energy.import", 1234560, "Wh")]


def test_what_is_no_item_is_kept_as_text():
    assert CN.decode(answer(0x04000401, "6101")).texts == {"04000401": "6101"}
    refusal = dlt645.encode((dlt645.Frame(METER, 0xD1, b"\x02"),))
    assert CN.decode(refusal).texts == {"error_word": "2"}
    request = dlt645.encode((dlt645.Frame(METER, 0x11, bytes.fromhex("00000100")),))
    assert CN.decode(request).texts == {"00010000": ""}
    address = dlt645.encode((dlt645.Frame(METER, 0x93, b"\x61"),))
    assert CN.decode(address).texts == {"control.93": "61"}


@pytest.mark.parametrize("wake", range(5))
def test_frames_after_any_wake_up(wake):
    payload = b"\xfe" * wake + answer(0x00010000, "56341200")
    assert len(CN.decode(payload + payload).readings) == 2
    waked = b"\xfe" * wake + frame698("850100200002010112096D0000")
    assert CN.decode(waked).readings[0].quantity == Decimal("241.3")


def test_a_bad_sum_is_refused_unless_told_otherwise():
    good = answer(0x00010000, "56341200")
    bad = good[:-2] + bytes(((good[-2] + 1) & 0xFF,)) + good[-1:]
    with pytest.raises(DecodeError) as caught:
        CN.decode(bad)
    assert caught.value.kind is DecodeErrorKind.CHECKSUM
    assert CN.decode(bad, verify=False) == CN.decode(good)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", DecodeErrorKind.TRUNCATED),
        (b"\xfe\xfe", DecodeErrorKind.TRUNCATED),
        (b"\x00", DecodeErrorKind.MALFORMED),
        (b"\x68\x17\x40" + bytes(22) + b"\x16", DecodeErrorKind.UNSUPPORTED),
        (answer(0x00010000, "56341200")[:-1] + b"\x17", DecodeErrorKind.MALFORMED),
        (answer(0x00010000, "5634120A"), DecodeErrorKind.MALFORMED),
        (answer(0x00010000, "563412"), DecodeErrorKind.MALFORMED),
        (answer(0x00010000, "00000000") * 300, DecodeErrorKind.BUDGET),
        (frame698("8501002000020101FF"), DecodeErrorKind.UNSUPPORTED),
        (frame698("FF0100"), DecodeErrorKind.UNSUPPORTED),
        (frame698("85010020000201" + "0101" * 60 + "00"), DecodeErrorKind.BUDGET),
        (frame698("85010020000201" + "010182FFFF"), DecodeErrorKind.TRUNCATED),
        (frame698("8502008200FF"), DecodeErrorKind.TRUNCATED),
        (frame698("85010020000201" + "0105" + "00"), DecodeErrorKind.TRUNCATED),
        (frame698("850100", control=0xE3), DecodeErrorKind.UNSUPPORTED),
        (frame698("9000" + "03" + "9000" + "00"), DecodeErrorKind.MALFORMED),
        (frame698("9001"), DecodeErrorKind.UNSUPPORTED),
    ],
)
def test_bad_frames_end_in_a_typed_error(payload, kind):
    with pytest.raises(DecodeError) as caught:
        CN.decode(payload)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("apdu", "expected"),
    [
        ("85010100100201" + "01060001E240" + "0000", [("el.energy.import", 1234560, "Wh")]),
        ("85010100100202" + "01060001E240" + "0000", [("el.energy.import.t1", 1234560, "Wh")]),
        (
            "85010100100401" + "01" + "150000000000BC614E",
            [("el.energy.import", Decimal("1234567.8"), "Wh")],
        ),
        ("85010100220201" + "01060001E240", [("el.energy.l2.export", 1234560, "Wh")]),
        (
            "85010120040200" + "010104" + "05FFFFFFF6" + "0500000001" * 3,
            [("el.power.net", -1, "W")]
            + [(f"el.power.l{n}.net", Decimal("0.1"), "W") for n in (1, 2, 3)],
        ),
        ("850101200F0200" + "01121389", [("el.frequency", Decimal("50.01"), "Hz")]),
        ("85010120010201" + "0105000003E8", [("el.current.l1", 1, "A")]),
        ("85010120000201" + "0006" + "0000", []),
        ("900010" + "85010100100201" + "010600000001" + "000000", [("el.energy.import", 10, "Wh")]),
    ],
)
def test_answers_of_698(apdu, expected):
    assert found(frame698(apdu)) == expected


def test_refusals_and_requests_of_698_are_texts():
    assert CN.decode(frame698("850101200002010006")).texts == {"error.20000201": "6"}
    assert CN.decode(frame698("0501002000020100", control=0x43)).texts == {"request": "20000201"}
    assert CN.decode(frame698("0100", control=0x81)).texts == {"apdu": "0100"}
    assert CN.decode(frame698("860100")).texts == {"apdu": "860100"}


def test_a_scrambled_apdu_is_read():
    assert found(frame698("85010100100201010600000001", control=0xCB)) == [
        ("el.energy.import", 10, "Wh")
    ]


def test_records_of_698_take_the_time_of_their_row():
    columns = "02" + "00" + "20210200" + "00" + "00100201"
    rows = "02" + "1C07EA0701000000" + "0600000001" + "1C07EA0702000000" + "0600000002"
    decoded = CN.decode(frame698("850301" + "50040200" + columns + "01" + rows + "0000"))
    assert [(r.quantity, r.time) for r in decoded.readings] == [
        (10, datetime(2026, 6, 30, 16, 0, tzinfo=UTC)),
        (20, datetime(2026, 7, 1, 16, 0, tzinfo=UTC)),
    ]


def test_a_highest_demand_of_698_has_its_time():
    data = "0202" + "060001E240" + "1C07EA07010E1E00"
    (reading,) = CN.decode(frame698("85010110100201" + "01" + data)).readings
    assert reading.register.channel == "el.demand.max.import"
    assert reading.time == datetime(2026, 7, 1, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize("value", [0, 5, -5, 79_999_999, -79_999_999])
def test_signed_bcd_round_trips(value):
    octets = to_bcd(value, 4, signed=True)
    assert octets is not None
    assert signed_bcd(octets, signed=True) == value


def test_a_report_comes_back():
    values = {
        "el.energy.import": 123_456,
        "el.energy.export": 0,
        "el.power.net": -2512,
        "el.voltage.l1": 2233,
        "el.current.l3": 4999,
        "el.pf": 501,
    }
    readings = tuple(Reading(CN.spec.registers[c], value, NOON) for c, value in values.items())
    decoded = CN.decode(CN.encode(Report(METER, NOON, readings)))
    assert decoded.readings == readings
    assert decoded.time == NOON
    assert decoded.device == {"id": METER}


@pytest.mark.parametrize(
    ("meter", "address"), [("M0042", "000000000042"), ("9" + METER, METER), ("7", "000000000007")]
)
def test_an_address_is_the_last_digits_of_an_id(meter, address):
    reading = Reading(CN.spec.registers["el.energy.import"], 1, NOON)
    assert CN.decode(CN.encode(Report(meter, NOON, (reading,)))).device == {"id": address}


def test_the_reported_channels_fit_one_frame():
    readings = tuple(Reading(CN.spec.registers[c], 79_999_999, NOON) for c in CN.spec.reported)
    assert len(CN.encode(Report(METER, NOON, readings))) <= FRAME_MAX


@pytest.mark.parametrize(("meter", "value"), [("abc", 1), ("1", 80_000_000)])
def test_what_the_frame_cannot_hold_is_refused(meter, value):
    reading = Reading(CN.spec.registers["el.energy.import"], value, NOON)
    with pytest.raises(ProfileError):
        CN.encode(Report(meter, NOON, (reading,)))
