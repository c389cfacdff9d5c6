"""Rows of a load profile (class 7) as a client reads them -> readings.

Each row holds a value for each capture object. The clock column tells the END of the interval; a
meter may leave it out (null) when it is one capture period after the row before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from firmware_profiles import canonical
from firmware_profiles.codecs.cursor import malformed
from firmware_profiles.codecs.dlms.clock import Stamp, parse_date_time
from firmware_profiles.codecs.dlms.push import is_obis
from firmware_profiles.codecs.number import to_register
from firmware_profiles.codecs.units import DLMS_UNITS
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Quality, Reading, Register
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from firmware_profiles.codecs.axdr import Value

_CLASS_CLOCK = 8
_VALUE_ATTRIBUTES = frozenset({2, 3})


@dataclass(frozen=True, slots=True)
class Column:
    """What a column of a profile holds.

    Attributes:
        class_id: interface class of the captured object.
        obis: its logical name.
        attribute: which attribute.
    """

    class_id: int
    obis: Obis
    attribute: int


def parse_columns(capture_objects: Value) -> list[Column]:
    """Attribute 3 of a profile. Raises DecodeError for what is no list of capture objects."""
    if not isinstance(capture_objects, tuple):
        raise malformed("capture objects that are no list")
    return [_column(item) for item in capture_objects]


def _column(item: Value) -> Column:
    if isinstance(item, tuple) and len(item) == 4:
        class_id, name, attribute, _ = item
        if isinstance(class_id, int) and isinstance(attribute, int) and is_obis(name):
            return Column(class_id, Obis.from_bytes(name), attribute)
    raise malformed("a capture object that is none")


def readings_of_rows(
    rows: Sequence[Value],
    columns: Sequence[Column],
    scaler_units: Mapping[Obis, tuple[int, int]],
    *,
    zone: tzinfo,
    period_s: int,
) -> list[Reading]:
    """The readings of a profile's rows, in their order.

    Args:
        rows: attribute 2 of the profile, or a selection of it.
        columns: what the columns hold.
        scaler_units: logical name -> scaler and DLMS unit code, as read from the registers; a
            column without one is in its usual unit.
        zone: of stamps without a deviation.
        period_s: capture period, for rows without a stamp.

    Raises:
        DecodeError: MALFORMED for a row of another shape, or a row whose time nobody can tell.
    """
    plans = [_plan(column, scaler_units) for column in columns]
    readings: list[Reading] = []
    for row, stamp in _stamped(rows, columns, zone, timedelta(seconds=period_s)):
        for value, plan in zip(row, plans, strict=True):
            if plan is not None and isinstance(value, int):
                register, fitted = to_register(plan[0], value, plan[1])
                readings.append(Reading(register, fitted, *stamp))
    return readings


def _plan(
    column: Column, scaler_units: Mapping[Obis, tuple[int, int]]
) -> tuple[Register, int] | None:
    """Register and exponent of a column; None for the clock and for what is no value."""
    if column.class_id == _CLASS_CLOCK or column.attribute not in _VALUE_ATTRIBUTES:
        return None
    if column.obis in scaler_units:
        scaler, code = scaler_units[column.obis]
        unit, exponent = DLMS_UNITS.get(code, (Unit.ONE, 0))
        return canonical.register_for(column.obis, unit, scaler), scaler + exponent
    usual = canonical.usual(column.obis)
    return (canonical.register_for(column.obis, Unit.ONE), 0) if usual is None else (usual, 0)


def _stamped(
    rows: Sequence[Value], columns: Sequence[Column], zone: tzinfo, period: timedelta
) -> Iterator[tuple[tuple[Value, ...], Stamp]]:
    """Each row with its time."""
    clock = next((i for i, c in enumerate(columns) if c.class_id == _CLASS_CLOCK), None)
    if clock is None:
        raise malformed("a profile without a clock column")
    time: datetime | None = None
    for row in rows:
        if not isinstance(row, tuple) or len(row) != len(columns):
            raise malformed("a row that does not fit the capture objects")
        octets = row[clock]
        stamp = Stamp(None if time is None else time + period, Quality.ACTUAL)
        if isinstance(octets, bytes):
            stamp = parse_date_time(octets, zone)
        if stamp.time is None:
            raise malformed("a row whose time is not told")
        time = stamp.time
        yield row, stamp
