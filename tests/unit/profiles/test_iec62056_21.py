"""IEC 62056-21 readouts."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from firmware_profiles.codecs import iec62056_21 as iec
from firmware_profiles.de_sml.profile import profile
from ohmesh.model.errors import DecodeError, DecodeErrorKind

DE = profile()


def readings(text):
    return [(str(r.register.obis), r.quantity, r.time) for r in DE.decode(text.encode()).readings]


def checked(block, head="/LGZ52ZMD\r\n"):
    body = block.encode() + b"\x03"
    return head.encode() + b"\x02" + body + bytes((iec.block_check(body),))


def test_captured_readouts_encode_to_the_same_bytes(shared_records, payload):
    same = [
        record["id"]
        for record in shared_records("iec62056-21.jsonl")
        if iec.encode(iec.decode(payload(record))) == payload(record)
    ]
    assert len(same) >= 4


def test_several_sets_and_values_on_a_line():
    readout = iec.decode(b"1.8.1(1*kWh)2.8.1(2*kWh)\r\n1.6.1(3*kW)(2608091845)\r\n!\r\n")
    assert [d.address for d in readout.data] == ["1.8.1", "2.8.1", "1.6.1"]
    assert [len(d.values) for d in readout.data] == [1, 1, 2]
    assert iec.encode(readout) == b"1.8.1(1*kWh)2.8.1(2*kWh)\r\n1.6.1(3*kW)(2608091845)\r\n!\r\n"


def test_a_line_of_brackets_goes_on_with_the_set_before():
    readout = iec.decode(b"P.01(1)(2)\r\n(3)\r\n(4)\r\n!\r\n")
    assert [v.text for v in readout.data[0].values] == ["1", "2", "3", "4"]


def test_the_block_check():
    good = checked("1.8.0(1.5*kWh)\r\n!\r\n")
    assert readings_of(good) == [Decimal(1500)]
    assert iec.encode(iec.decode(good)) == good
    bad = good[:-1] + bytes((good[-1] ^ 1,))
    with pytest.raises(DecodeError) as caught:
        DE.decode(bad)
    assert caught.value.kind is DecodeErrorKind.CHECKSUM
    assert [r.quantity for r in DE.decode(bad, verify=False).readings] == [Decimal(1500)]


def test_idle_bytes_and_blanks_before_a_set_are_passed_over():
    assert readings_of(b"\xff\xff/ESY5Q\r\n\r\n 1.8.0(1*kWh)\r\n!\r\n\xff") == [Decimal(1000)]


def test_the_answer_to_a_single_read_has_no_end_mark():
    assert readings_of(checked("1.8.0(1.5*kWh)", head="")) == [Decimal(1500)]


def readings_of(payload):
    return [r.quantity for r in DE.decode(payload).readings]


def test_parity_bits_of_the_line_are_ignored():
    good = checked("1.8.0(1.5*kWh)\r\n!\r\n")
    even = bytes(b | 0x80 if b.bit_count() % 2 else b for b in good)
    assert readings_of(even) == [Decimal(1500)]


def test_a_stored_value_stays_apart_and_takes_the_unit_of_the_current_one():
    found = readings("1-1:1.8.0(0018788.9*kWh)\r\n1-1:1.8.0*62(0018750.0)\r\n!\r\n")
    assert found == [
        ("1-1:1.8.0", Decimal(18788900), None),
        ("1-1:1.8.0*62", Decimal(18750000), None),
    ]


def test_a_maximum_has_its_own_time_and_others_the_clock_s():
    found = readings(
        "0.9.1(162655)\r\n0.9.2(260815)\r\n1.6.0(0.641*kW)(2608091845)\r\n1.8.0(1*kWh)\r\n!\r\n"
    )
    assert found == [
        ("1-0:1.6.0", Decimal(641), datetime(2026, 8, 9, 16, 45, tzinfo=UTC)),
        ("1-0:1.8.0", Decimal(1000), datetime(2026, 8, 15, 14, 26, 55, tzinfo=UTC)),
    ]


def test_a_load_profile_gives_its_rows():
    head = "P.01(1260815143000)(08)(15)(2)(1.5)(kW)(2.5)(kW)\r\n"
    found = readings(head + "(0.123)(0.000)\r\n(0.125)(---)\r\n!\r\n")
    half_past, quarter_to = (datetime(2026, 8, 15, 12, m, tzinfo=UTC) for m in (30, 45))
    assert found == [
        ("1-0:1.5.0", Decimal(123), half_past),
        ("1-0:2.5.0", Decimal(0), half_past),
        ("1-0:1.5.0", Decimal(125), quarter_to),
    ]


@pytest.mark.parametrize(
    "body", ["(x)(08)(15)(1)(1.5)(kW)(1)", "(2608151430)(08)(15)(9)(1.5)(kW)", "(1)(2)", "(1)"]
)
def test_what_is_no_load_profile_is_a_text(body):
    decoded = DE.decode(f"P.01{body}\r\n!\r\n".encode())
    assert decoded.readings == ()
    assert "P.01" in decoded.texts


@pytest.mark.parametrize(("season", "hour"), [("0", 1), ("1", 0)])
@pytest.mark.parametrize("clock", ["023000", "02:30:00", "1023000"])
def test_the_season_decides_in_the_hour_that_comes_twice(season, hour, clock):
    text = f"0.9.1({clock})\r\n0.9.2({season}261025)\r\n1.8.0(1*kWh)\r\n!\r\n"
    assert readings(text)[0][2] == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)


def test_blanks_and_dashes_are_texts():
    decoded = DE.decode(b"C.1.1(        )\r\n32.7(---*V)\r\n1.8.0(1*gallon)\r\n!\r\n")
    assert decoded.readings == ()
    assert decoded.texts == {"C.1.1": "", "32.7": "---*V", "1.8.0": "1*gallon"}


@pytest.mark.parametrize(
    ("telegram", "kind"),
    [
        (b"", DecodeErrorKind.TRUNCATED),
        (b"1.8.0(1*kWh)\r\n", DecodeErrorKind.TRUNCATED),
        (b"1.8.0(1*kWh", DecodeErrorKind.TRUNCATED),
        (b"1.8.0 1*kWh)\r\n!", DecodeErrorKind.MALFORMED),
        (b"(1)\r\n!", DecodeErrorKind.MALFORMED),
        (b"1.8.0((1)\r\n!", DecodeErrorKind.MALFORMED),
        (b"1.8.0(1,2,3*kWh)\r\n!", DecodeErrorKind.MALFORMED),
        (b"/\r\n!", DecodeErrorKind.MALFORMED),
        (b"\x021.8.0(1*kWh)\r\n!\r\n", DecodeErrorKind.TRUNCATED),
        (b"a(1)" * 5000 + b"!", DecodeErrorKind.BUDGET),
        (b"a" + b"(1)" * 5000 + b"!", DecodeErrorKind.BUDGET),
        (b" " * 70_000, DecodeErrorKind.BUDGET),
    ],
)
def test_bad_readouts_end_in_a_typed_error(telegram, kind):
    with pytest.raises(DecodeError) as caught:
        DE.decode(telegram)
    assert caught.value.kind is kind
