"""The helpers that all codecs build on."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from firmware_profiles.canonical import register_for
from firmware_profiles.codecs.clock import is_summer, to_utc
from firmware_profiles.codecs.crc import crc16_arc, crc16_modbus, crc16_x25
from firmware_profiles.codecs.cursor import Cursor
from firmware_profiles.codecs.number import number_text, parse_number, to_register
from firmware_profiles.codecs.units import text_unit
from ohmesh.model.errors import DecodeError, DecodeErrorKind
from ohmesh.model.obis import Obis
from ohmesh.model.unit import Unit

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
IMPORT = register_for(Obis.parse("1-0:1.8.0"), Unit.WH)


def bitwise(data, *, polynomial, initial, final):
    """The definition of a reflected CRC-16, bit by bit."""
    crc = initial
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return crc ^ final


@pytest.mark.parametrize(
    ("function", "check", "parameters"),
    [
        (crc16_x25, 0x906E, {"polynomial": 0x8408, "initial": 0xFFFF, "final": 0xFFFF}),
        (crc16_arc, 0xBB3D, {"polynomial": 0xA001, "initial": 0, "final": 0}),
        (crc16_modbus, 0x4B37, {"polynomial": 0xA001, "initial": 0xFFFF, "final": 0}),
    ],
)
def test_crc_agrees_with_its_definition(function, check, parameters):
    assert function(b"123456789") == check
    for size in (0, 1, 2, 3, 15, 16, 255, 900, 5000):
        data = bytes((i * 37 + size) & 0xFF for i in range(size))
        assert function(data) == bitwise(data, **parameters), size


def test_cursor_reads_what_is_there_and_says_where_it_ends():
    cursor = Cursor(bytes.fromhex("01fffe0a0b"), end=4)
    assert (cursor.u8(), cursor.signed(2), cursor.peek(), cursor.remaining) == (1, -2, 10, 1)
    with pytest.raises(DecodeError) as caught:
        cursor.unsigned(2)
    assert (caught.value.kind, caught.value.offset) == (DecodeErrorKind.TRUNCATED, 3)
    assert cursor.u8() == 10
    for read in (cursor.u8, cursor.peek):
        with pytest.raises(DecodeError):
            read()


def test_cursor_refuses_a_negative_count():
    with pytest.raises(DecodeError):
        Cursor(b"abc").take(-1)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0012.30", (1230, -2)), ("-5", (-5, 0)), ("+7,5", (75, -1)), ("5.", (5, 0)), (".5", (5, -1))],
)
def test_numbers_keep_their_resolution(text, number):
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["", "-", ".", "1_0", " 1", "1e3", "²", "٣", "1.2.3", "9" * 41])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(DecodeError) as caught:
        parse_number(text)
    assert caught.value.kind is DecodeErrorKind.MALFORMED


def test_a_value_meets_its_register_exactly():
    assert to_register(IMPORT, 1234, 1) == (IMPORT, 12340)
    assert to_register(IMPORT, 12340, -1) == (IMPORT, 1234)
    finer, value = to_register(IMPORT, 12345, -1)
    assert (finer.channel, finer.scaler, value) == ("el.energy.import", -1, 12345)


@pytest.mark.parametrize(("mantissa", "exponent"), [(1, 19), (1 << 63, 0), (1, 300), (1, -300)])
def test_a_value_beyond_the_store_is_refused(mantissa, exponent):
    with pytest.raises(DecodeError):
        to_register(IMPORT, mantissa, exponent)


@pytest.mark.parametrize(
    ("mantissa", "exponent", "text"),
    [(1230, -2, "12.30"), (-5, -3, "-0.005"), (7, 2, "700"), (0, 0, "0")],
)
def test_numbers_are_written_without_exponent(mantissa, exponent, text):
    assert number_text(mantissa, exponent) == text


def test_number_text_fills_with_zeros():
    assert number_text(1581123, -3, whole_digits=6) == "001581.123"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("kWh", (Unit.WH, 3)),
        ("kVArh", (Unit.VARH, 3)),
        ("mV", (Unit.V, -3)),
        ("MWh", (Unit.WH, 6)),
        ("GJ", (Unit.J, 9)),
        ("m3", (Unit.M3, 0)),
        ("", None),
        ("k", None),
        ("furlong", None),
    ],
)
def test_unit_texts(text, unit):
    assert text_unit(text) == unit


def test_the_hour_that_comes_twice_is_told_by_the_season():
    twice = datetime(2024, 10, 27, 2, 30)  # noqa: DTZ001 - a meter's local stamp
    first = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
    second = datetime(2024, 10, 27, 1, 30, tzinfo=UTC)
    assert to_utc(twice, AMSTERDAM, summer=True) == first
    assert to_utc(twice, AMSTERDAM, summer=False) == second
    assert to_utc(twice, AMSTERDAM) == first
    assert is_summer(first, AMSTERDAM)
    assert not is_summer(second, AMSTERDAM)


@pytest.mark.parametrize(
    ("code", "unit", "channel"),
    [
        ("1-0:1.8.0", Unit.WH, "el.energy.import"),
        ("1-1:1.8.0", Unit.WH, "el.energy.import"),
        ("1-65:32.7.0", Unit.V, "el.voltage.l1"),
        ("1-0:1.8.0*12", Unit.WH, "raw.1-0:1.8.0*12"),
        ("1-0:1.8.0", Unit.W, "raw.1-0:1.8.0"),
        ("0-0:96.3.10", Unit.CODE, "relay.state"),
        ("0-2:96.3.10", Unit.CODE, "raw.0-2:96.3.10"),
        ("1-0:199.130.3", Unit.ONE, "raw.1-0:199.130.3"),
    ],
)
def test_registers_by_obis_keep_the_code_as_sent(code, unit, channel):
    register = register_for(Obis.parse(code), unit)
    assert (register.channel, str(register.obis), register.unit) == (channel, code, unit)
