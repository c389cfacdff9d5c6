"""What a meter measures.

Classes 1 Data, 3 Register, 4 Extended register, 5 Demand register, 7 Profile generic, 8 Clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, NamedTuple

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.clock import date_time_bytes, parse_date_time
from firmware_profiles.codecs.dlms.errors import AccessResult
from firmware_profiles.codecs.dlms.lists import UNIT_CODES
from firmware_profiles.codecs.dlms.objects.base import CosemObject
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firmware_profiles.codecs.axdr import Value
    from firmware_profiles.codecs.dlms.apdu import Selection
    from firmware_profiles.codecs.dlms.objects.base import Attribute
    from ohmesh.model.unit import Unit

CLOCK = Obis.parse("0-0:1.0.0")


def scaler_unit(scaler: int, unit: Unit) -> bytes:
    """Attribute 3 of registers."""
    return axdr.structure(axdr.int8(scaler), axdr.enum(UNIT_CODES[unit]))


def data(
    obis: Obis, value: Attribute, *, writable: bool = False, public: bool = False
) -> CosemObject:
    """Class 1: any value."""
    return CosemObject(
        1, 0, obis, {2: value}, frozenset({2}) if writable else frozenset(), {}, public
    )


def register(obis: Obis, value: Attribute, *, scaler: int, unit: Unit) -> CosemObject:
    """Class 3: a value with its scaler and unit."""
    return CosemObject(3, 0, obis, {2: value, 3: scaler_unit(scaler, unit)})


def extended_register(
    obis: Obis, value: Attribute, capture_time: Attribute, *, scaler: int, unit: Unit
) -> CosemObject:
    """Class 4: as a register, with the time at which the value was captured."""
    attributes = {2: value, 3: scaler_unit(scaler, unit), 4: axdr.uint8(0), 5: capture_time}
    return CosemObject(4, 0, obis, attributes)


@dataclass(frozen=True, slots=True)
class Demand:
    """The values of a demand register.

    Attributes:
        current: running average of the period.
        last: average of the period before.
        captured: COSEM date-time at which `last` was captured.
        start: COSEM date-time at which the period began.
    """

    current: int
    last: int
    captured: bytes
    start: bytes


def demand_register(
    obis: Obis, demand: Callable[[datetime], Demand], *, scaler: int, unit: Unit, period_s: int
) -> CosemObject:
    """Class 5: average of a period, running and last."""
    return CosemObject(
        5,
        0,
        obis,
        {
            2: lambda now: axdr.uint32(demand(now).current),
            3: lambda now: axdr.uint32(demand(now).last),
            4: scaler_unit(scaler, unit),
            5: axdr.uint8(0),
            6: lambda now: axdr.octets(demand(now).captured),
            7: lambda now: axdr.octets(demand(now).start),
            8: axdr.uint32(period_s),
            9: axdr.uint16(1),
        },
    )


class Clock(CosemObject):
    """Class 8. What a client sets moves the clock against the time that the server is given."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__(8, 0, CLOCK, public=True)
        self.zone = zone
        self.offset = timedelta(0)
        self.attributes = {
            2: lambda now: axdr.octets(date_time_bytes(now + self.offset, zone)),
            3: lambda now: axdr.int16(self._deviation(now)),
            4: axdr.uint8(0),
            5: axdr.octets(bytes.fromhex("ffff03fe07020000ff800000")),
            6: axdr.octets(bytes.fromhex("ffff0afe07030000ff800080")),
            7: axdr.int8(60),
            8: lambda now: axdr.boolean(bool(now.astimezone(zone).dst())),
            9: axdr.enum(1),
        }
        self.writable = frozenset({2})
        self.methods = {6: self._shift}

    def _deviation(self, now: datetime) -> int:
        offset = now.astimezone(self.zone).utcoffset() or timedelta(0)
        return -int(offset.total_seconds()) // 60

    def store(self, index: int, data: bytes, now: datetime) -> None:
        """Set the clock. Raises AccessRefused for what is no time."""
        value = axdr.decode_whole(data)
        time = parse_date_time(value, self.zone).time if isinstance(value, bytes) else None
        if time is None:
            raise self.refused(AccessResult.OTHER_REASON, index)
        self.offset = time - now

    def _shift(self, parameter: Value, _now: datetime) -> bytes:
        self.offset += timedelta(seconds=self.need_int(parameter, 6))
        return b""


class Row(NamedTuple):
    """A captured row: UTC time of the capture, and its columns, encoded."""

    time: datetime
    columns: tuple[bytes, ...]


class Column(NamedTuple):
    """What a profile captures: an object and one of its attributes."""

    source: CosemObject
    attribute: int


class ProfileGeneric(CosemObject):
    """Class 7: a bounded list of rows, oldest first, with selective access.

    Args:
        obis: logical name.
        columns: what is captured; the first one should be the clock.
        period_s: capture period, 0 for captures on request.
        entries_max: rows kept; the oldest go first.
    """

    def __init__(
        self, obis: Obis, columns: Sequence[Column], *, period_s: int, entries_max: int
    ) -> None:
        super().__init__(7, 1, obis)
        self._columns = tuple(columns)
        self._rows: deque[Row] = deque(maxlen=entries_max)
        captured = [_capture_object(column) for column in columns]
        self.attributes = {
            2: lambda _now: _buffer(self._rows),
            3: axdr.array(*captured),
            4: axdr.uint32(period_s),
            5: axdr.enum(1),
            6: captured[0],
            7: lambda _now: axdr.uint32(len(self._rows)),
            8: axdr.uint32(entries_max),
        }
        self.methods = {1: self._reset, 2: self._capture}

    def capture(self, now: datetime) -> None:
        """Add a row of what the columns hold now."""
        columns = tuple(column.source.get(column.attribute, now) for column in self._columns)
        self._rows.append(Row(now, columns))

    def _reset(self, _parameter: Value, _now: datetime) -> bytes:
        self._rows.clear()
        return b""

    def _capture(self, _parameter: Value, now: datetime) -> bytes:
        self.capture(now)
        return b""

    def get(self, index: int, now: datetime, selection: Selection | None = None) -> bytes:
        """As every object; the buffer takes selective access by range and by entry."""
        if index != 2 or selection is None:
            return super().get(index, now, selection)
        window = axdr.decode_whole(selection.parameters)
        if not isinstance(window, tuple) or len(window) != 4:
            raise self.refused(AccessResult.TYPE_UNMATCHED, index)
        if selection.selector == 1:
            return _buffer(self._by_range(window))
        if selection.selector == 2:
            return _buffer(self._by_entry(window))
        raise self.refused(AccessResult.SCOPE_OF_ACCESS_VIOLATED, index)

    def _by_range(self, window: tuple[Value, ...]) -> list[Row]:
        """Rows whose capture time lies in the window; the restricting object is the clock."""
        restricting, start, end, _ = window
        zone = next((c.source.zone for c in self._columns if isinstance(c.source, Clock)), None)
        if not _is_clock(restricting) or zone is None:
            raise self.refused(AccessResult.SCOPE_OF_ACCESS_VIOLATED, 2)
        if not isinstance(start, bytes) or not isinstance(end, bytes):
            raise self.refused(AccessResult.TYPE_UNMATCHED, 2)
        first, last = parse_date_time(start, zone).time, parse_date_time(end, zone).time
        if first is None or last is None:
            raise self.refused(AccessResult.TYPE_UNMATCHED, 2)
        return [row for row in self._rows if first <= row.time <= last]

    def _by_entry(self, window: tuple[Value, ...]) -> list[Row]:
        """Rows and columns by number from 1; 0 as the last means to the end."""
        numbers = [self.need_int(number, 2) for number in window]
        first, last, left, right = numbers
        if first < 1 or left < 1:
            raise self.refused(AccessResult.TYPE_UNMATCHED, 2)
        rows = list(self._rows)[first - 1 : last or None]
        return [Row(row.time, row.columns[left - 1 : right or None]) for row in rows]


def _capture_object(column: Column) -> bytes:
    source, attribute = column
    return axdr.structure(
        axdr.uint16(source.class_id),
        axdr.octets(source.obis.to_bytes()),
        axdr.int8(attribute),
        axdr.uint16(0),
    )


def _buffer(rows: Sequence[Row] | deque[Row]) -> bytes:
    return axdr.array(*[axdr.structure(*row.columns) for row in rows])


def _is_clock(restricting: Value) -> bool:
    return (
        isinstance(restricting, tuple)
        and len(restricting) == 4
        and restricting[:2] == (8, CLOCK.to_bytes())
    )
