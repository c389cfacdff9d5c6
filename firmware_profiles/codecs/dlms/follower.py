"""The rows of a load profile, as they are captured: each once, and none left out.

Theory of operation. A meter keeps its rows for weeks. Whoever reads it asks by range, from the
last row that is safe elsewhere to the meter's own clock, at most a day at once; `kept` says that
what was given out is safe, and only that moves the beginning on. So whatever happened between, a
dead line, a refused row, is asked for again. Where nothing is known, after a start or when the
meter's clock went back, the reading begins `history_s` before the clock; whoever stores rows that
come twice stores them once.

No value is decoded: a row's columns are cut out as they came and named by their OBIS codes, value
and scaler, in the list of a DataNotification with the row's own time; every DLMS profile reads it.
Source: IEC 62056-6-2, class 7 profile generic; selective access by range.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.cursor import malformed
from firmware_profiles.codecs.dlms.apdu import Target
from firmware_profiles.codecs.dlms.client import LONG_ITEMS_MAX, range_selection
from firmware_profiles.codecs.dlms.clock import SIZE, parse_date_time
from firmware_profiles.codecs.dlms.errors import AccessRefused
from firmware_profiles.codecs.dlms.lists import clock_entry, notification
from firmware_profiles.codecs.dlms.push import is_obis
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware_profiles.codecs.axdr import Value
    from firmware_profiles.codecs.dlms.client import Client, Exchange

WINDOW_S = 86_400
_CLASS_PROFILE, _CLASS_CLOCK = 7, 8
_BUFFER, _CAPTURE_OBJECTS, _CAPTURE_PERIOD = 2, 3, 4
_SCALER_UNIT = {3: 3, 4: 3, 5: 4}
"""Interface class of a register -> its attribute of scaler and unit."""
_NULL = axdr.null()


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


class Follower:
    """Follows one load profile of one meter."""

    def __init__(self, profile: Obis, *, history_s: int) -> None:
        """Args: profile: logical name. history_s: how far back it begins."""
        self._profile = profile
        self._history_s = history_s
        self._columns: list[Column] = []
        self._scalers: dict[Obis, bytes] = {}
        self._period_s = 0
        self._since = self._next = b""

    def read(self, client: Client, clock: bytes) -> Exchange[tuple[bytes, ...]]:
        """Telegrams of the rows after those that are kept, a row each, the oldest first.

        Args:
            client: with an open association.
            clock: value of the meter's clock, encoded; empty when it has none.

        Raises:
            AccessRefused: there is no such profile, or not for us.
            DecodeError: what the meter says is no profile.
        """
        self._next = b""
        time = axdr.decode_whole(clock) if clock else b""
        if not isinstance(time, bytes):
            raise malformed("a clock that shows no date-time")
        now = _moment(time)
        if not self._columns:
            yield from self._learn(client)
        if not self._since or _moment(self._since) > now:
            self._since = shifted(time, -self._history_s)
        end = shifted(self._since, WINDOW_S)
        whole = _moment(end) < now
        selection = range_selection(self._since, end if whole else time)
        target = Target(_CLASS_PROFILE, self._profile, _BUFFER)
        buffer = yield from client.get_encoded(target, selection)
        fresh = [row for row in self._rows(buffer) if _moment(row[0]) > _moment(self._since)]
        # The window up to now may get further rows; its end is that of the last row.
        self._next = end if whole else (fresh[-1][0] if fresh else b"")
        return tuple(self._telegram(stamp, columns) for stamp, columns in fresh)

    def kept(self) -> None:
        """All that `read` gave is safe; the next reading begins behind it."""
        self._since = self._next or self._since

    def _learn(self, client: Client) -> Exchange[None]:
        """What the columns hold, and their scalers; asked once."""
        described = yield from client.get(Target(_CLASS_PROFILE, self._profile, _CAPTURE_OBJECTS))
        columns = parse_columns(described)
        if not any(column.class_id == _CLASS_CLOCK for column in columns):
            raise malformed("a profile without a clock column")
        period = yield from client.get(Target(_CLASS_PROFILE, self._profile, _CAPTURE_PERIOD))
        self._period_s = period if isinstance(period, int) else 0
        for column in columns:
            self._scalers[column.obis] = yield from _scaler(client, column)
        self._columns = columns

    def _rows(self, buffer: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
        """Each row with its time; a row without one is a period after the row before."""
        clock = next(i for i, c in enumerate(self._columns) if c.class_id == _CLASS_CLOCK)
        stamp = b""
        for columns in encoded_rows(buffer, len(self._columns)):
            given = axdr.decode_whole(columns[clock])
            if isinstance(given, bytes) and len(given) == SIZE:
                stamp = given
            elif given is None and stamp and self._period_s:
                stamp = shifted(stamp, self._period_s)
            else:
                raise malformed("a row whose time is not told")
            yield stamp, columns

    def _telegram(self, stamp: bytes, columns: list[bytes]) -> bytes:
        names = [(column.class_id, column.obis) for column in self._columns]
        entries = [
            axdr.structure(axdr.octets(obis.to_bytes()), value, self._scalers[obis])
            for (class_id, obis), value in zip(names, columns, strict=True)
            if class_id != _CLASS_CLOCK and value != _NULL
        ]
        return notification(axdr.array(clock_entry(stamp), *entries))


def _scaler(client: Client, column: Column) -> Exchange[bytes]:
    """Scaler and unit of a column, encoded; empty for what has none."""
    attribute = _SCALER_UNIT.get(column.class_id)
    if attribute is None:
        return b""
    try:
        return (yield from client.get_encoded(Target(column.class_id, column.obis, attribute)))
    except AccessRefused:
        return b""


def encoded_rows(buffer: bytes, width: int) -> Iterator[list[bytes]]:
    """The columns of each row of a profile's buffer, as they are encoded. Raises DecodeError."""
    reader = axdr.Reader(buffer, 1, LONG_ITEMS_MAX)
    if buffer[:1] != bytes((axdr.ARRAY,)):
        raise malformed("a profile buffer that is no list")
    for _ in range(reader.length()):
        if buffer[reader.offset : reader.offset + 1] != bytes((axdr.STRUCTURE,)):
            raise malformed("a row that is no structure", reader.offset)
        reader.offset += 1
        if reader.length() != width:
            raise malformed("a row that does not fit the capture objects", reader.offset)
        columns = []
        for _ in range(width):
            start = reader.offset
            reader.value(2)
            columns.append(buffer[start : reader.offset])
        yield columns
    if reader.offset != len(buffer):
        raise malformed("bytes behind the rows", reader.offset)


def shifted(stamp: bytes, seconds: int) -> bytes:
    """A COSEM date-time moved on its own local clock; deviation and status stay as they are.

    Raises:
        DecodeError: it is no time.
    """
    try:
        local = datetime(  # noqa: DTZ001 - local time of a meter whose zone nobody tells
            int.from_bytes(stamp[:2], "big"),
            *(stamp[2], stamp[3], stamp[5], stamp[6]),
            stamp[7] % 0xFF,
        )
        moved = local + timedelta(seconds=seconds)
    except (ValueError, OverflowError, IndexError) as error:
        raise malformed(f"a clock that shows {stamp.hex()}") from error
    date = (moved.month, moved.day, moved.isoweekday())
    time = (moved.hour, moved.minute, moved.second)
    return moved.year.to_bytes(2, "big") + bytes((*date, *time)) + stamp[8:]


def _moment(stamp: bytes) -> datetime:
    """For comparing one meter's times with each other. Raises DecodeError."""
    time = parse_date_time(stamp, UTC).time
    if time is None:
        raise malformed(f"a clock that shows {stamp.hex()}")
    return time
