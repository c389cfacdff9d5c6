"""Rows as PostgreSQL's binary COPY takes them, built without a Python call per field.

Format: PostgreSQL documentation, COPY, "Binary Format": an 11-byte signature, flags and extension
length (both 0); a row is an int16 count of fields, each an int32 length and the value big-endian;
the end is an int16 -1. A reading takes 50 bytes, so that an array of them is the stream itself.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    Ints = NDArray[np.int64]

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_READING: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("meter_bytes", ">i4"),
        ("meter", ">i4"),
        ("channel_bytes", ">i4"),
        ("channel", ">i4"),
        ("ts_bytes", ">i4"),
        ("ts", ">i8"),
        ("value_bytes", ">i4"),
        ("value", ">i8"),
        ("status_bytes", ">i4"),
        ("status", ">i4"),
    ]
)
_LENGTHS: Final = {
    "fields": 5,
    "meter_bytes": 4,
    "channel_bytes": 4,
    "ts_bytes": 8,
    "value_bytes": 8,
    "status_bytes": 4,
}


class Columns(NamedTuple):
    """Readings by column, of one length or broadcasting to one shape.

    Attributes:
        places: which of two readings with one key came first.
        times_us: microseconds since 2000.
    """

    places: ArrayLike
    meters: ArrayLike
    channels: ArrayLike
    times_us: ArrayLike
    values: ArrayLike
    statuses: ArrayLike


class Readings:
    """Readings sorted by key, each key once: of readings with the same key the first stays.

    Sorted, because two writers that meet on the same keys then wait for each other instead of
    deadlocking.
    """

    def __init__(self, parts: Iterable[Columns]) -> None:
        """Args: parts: at least one."""
        flat = [
            [column.ravel() for column in np.broadcast_arrays(*map(_integers, part))]
            for part in parts
        ]
        places, *columns = (np.concatenate(column) for column in zip(*flat, strict=True))
        meters, channels, times_us = columns[:3]
        series = meters << 32 | channels  # both are positive and of 32 bits
        order = np.lexsort((places, times_us, series))
        kept = order[_first_of_key(series[order], times_us[order])]
        self.given = len(places)
        self._columns = [column[kept] for column in columns]

    def __len__(self) -> int:
        return len(self._columns[0])

    @property
    def meters(self) -> Ints:
        """The meter of each."""
        return self._columns[0]

    @property
    def times_us(self) -> Ints:
        """The time of each."""
        return self._columns[2]

    def stream(self) -> bytes:
        """The COPY stream for (meter_id, channel, ts, value, status)."""
        rows = np.zeros(len(self), dtype=_READING)
        for field, length in _LENGTHS.items():
            rows[field] = length
        for field, column in zip(
            ("meter", "channel", "ts", "value", "status"), self._columns, strict=True
        ):
            rows[field] = column
        return b"".join((HEADER, rows.tobytes(), TRAILER))


def _integers(column: ArrayLike) -> Ints:
    return np.asarray(column, np.int64)


def _first_of_key(series: Ints, times: Ints) -> NDArray[np.bool_]:
    fresh = np.ones(len(series), dtype=np.bool_)
    fresh[1:] = (series[1:] != series[:-1]) | (times[1:] != times[:-1])
    return fresh


_TELEGRAM_HEAD: Final = struct.Struct(">hiqiiiqiqih")
_INT4: Final = struct.Struct(">ii")
_INT4_LENGTH: Final = struct.Struct(">i")
_NULL: Final = b"\xff\xff\xff\xff"


class Telegrams:
    """The archive's rows, appended one by one, then one stream."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [HEADER]
        self.count = 0

    def append(
        self,
        *,
        received_us: int,
        gateway_id: int,
        epoch: int,
        seq: int,
        kind: int,
        meter_id: int | None,
        texts: tuple[str, str, str],
        payload: bytes,
    ) -> None:
        """One row; `texts` are source, address and profile."""
        source, address, profile = texts
        self._parts += (
            _TELEGRAM_HEAD.pack(10, 8, received_us, 4, gateway_id, 8, epoch, 8, seq, 2, kind),
            _text(source),
            _NULL if meter_id is None else _INT4.pack(4, meter_id),
            _text(address),
            _text(profile),
            _INT4_LENGTH.pack(len(payload)),
            payload,
        )
        self.count += 1

    def stream(self) -> bytes:
        """The COPY stream for the columns of bulk.telegram in the table's order."""
        return b"".join((*self._parts, TRAILER))


@lru_cache(maxsize=100_000)
def _text(text: str) -> bytes:
    """A text with its length; those of one meter come again and again."""
    octets = text.encode()
    return _INT4_LENGTH.pack(len(octets)) + octets
