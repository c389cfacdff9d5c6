"""Load-profile rows to readings."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from firmware_profiles.codecs.dlms.clock import date_time_bytes
from firmware_profiles.codecs.dlms.rows import parse_columns, readings_of_rows
from ohmesh.model.errors import DecodeError
from ohmesh.model.obis import Obis
from ohmesh.model.unit import Unit

SEOUL = ZoneInfo("Asia/Seoul")
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
NAMES = ("0-0:1.0.0", "1-0:1.8.0", "1-0:32.7.0", "0-0:96.10.1")
COLUMNS = parse_columns(
    tuple(
        (class_id, Obis.parse(name).to_bytes(), 2, 0)
        for class_id, name in zip((8, 3, 3, 1), NAMES, strict=True)
    )
)
UNITS = {Obis.parse("1-0:1.8.0"): (1, 30), Obis.parse("1-0:32.7.0"): (-1, 35)}


def stamp(moment):
    return date_time_bytes(moment, SEOUL)


def read(*rows):
    return readings_of_rows(rows, COLUMNS, UNITS, zone=SEOUL, period_s=900)


def test_rows_become_readings_at_the_end_of_their_interval():
    found = read((stamp(NOW), 100, 2301, 0), (None, 101, 2302, 8))
    assert [(r.register.channel, r.quantity, r.time) for r in found] == [
        ("el.energy.import", Decimal(1000), NOW),
        ("el.voltage.l1", Decimal("230.1"), NOW),
        ("raw.0-0:96.10.1", Decimal(0), NOW),
        ("el.energy.import", Decimal(1010), NOW + QUARTER),
        ("el.voltage.l1", Decimal("230.2"), NOW + QUARTER),
        ("raw.0-0:96.10.1", Decimal(8), NOW + QUARTER),
    ]


def test_what_is_missing_is_no_reading():
    found = read((stamp(NOW), None, 2301, None))
    assert [r.register.unit for r in found] == [Unit.V]


@pytest.mark.parametrize(
    "rows", [((None, 1, 2, 3),), ((stamp(NOW), 1),), (5,), ((b"short", 1, 2, 3),)]
)
def test_rows_that_fit_nothing_are_refused(rows):
    with pytest.raises(DecodeError):
        read(*rows)


@pytest.mark.parametrize("value", [5, ((1, 2),), ((3, b"short!!", 2, 0),), (5,)])
def test_columns_that_are_none_are_refused(value):
    with pytest.raises(DecodeError):
        parse_columns(value)


def test_a_profile_needs_a_clock():
    with pytest.raises(DecodeError, match="clock"):
        readings_of_rows([(1, 2, 3)], COLUMNS[1:], UNITS, zone=SEOUL, period_s=900)
