"""Rows as PostgreSQL's binary COPY takes them, built without a Python call per field.

Format: PostgreSQL documentation, COPY, "Binary Format": an 11-byte signature, flags and extension
length (both 0); a row is an int16 count of fields, each an int32 length and the value big-endian;
the end is an int16 -1. A reading takes 50 bytes, so that an array of them is the stream itself.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

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


class Readings:
    """Columns of readings that grow, then one stream, sorted by key and free of repeated keys."""

    def __init__(self) -> None:
        self.meters: list[int] = []
        self.channels: list[int] = []
        self.times_us: list[int] = []
        self.values: list[int] = []
        self.statuses: list[int] = []

    def __len__(self) -> int:
        return len(self.meters)

    def stream(self) -> tuple[bytes, int]:
        """The COPY stream for (meter_id, channel, ts, value, status) and its number of rows.

        Sorted by key: two writers that meet on the same keys then wait for each other instead of
        deadlocking. Of rows with the same key the first stays.
        """
        columns = [
            np.asarray(column, dtype=np.int64)
            for column in (self.meters, self.channels, self.times_us, self.values, self.statuses)
        ]
        order = np.lexsort((columns[2], columns[1], columns[0]))  # stable: the first stays first
        columns = [column[order] for column in columns]
        fresh = _first_of_key(columns)
        rows = np.zeros(int(fresh.sum()), dtype=_READING)
        for field, length in _LENGTHS.items():
            rows[field] = length
        for field, column in zip(
            ("meter", "channel", "ts", "value", "status"), columns, strict=True
        ):
            rows[field] = column[fresh]
        return b"".join((HEADER, rows.tobytes(), TRAILER)), len(rows)


def _first_of_key(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    meters, channels, times = columns[:3]
    fresh = np.ones(len(meters), dtype=np.bool_)
    fresh[1:] = (
        (meters[1:] != meters[:-1]) | (channels[1:] != channels[:-1]) | (times[1:] != times[:-1])
    )
    return fresh


_TELEGRAM_HEAD: Final = struct.Struct(">hiqiiiqiqih")
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
        texts: Iterable[str],
        payload: bytes,
    ) -> None:
        """One row; `texts` are source, address and profile."""
        source, address, profile = (_variable(text.encode()) for text in texts)
        self._parts += (
            _TELEGRAM_HEAD.pack(10, 8, received_us, 4, gateway_id, 8, epoch, 8, seq, 2, kind),
            source,
            _NULL if meter_id is None else struct.pack(">ii", 4, meter_id),
            address,
            profile,
            _variable(payload),
        )
        self.count += 1

    def stream(self) -> bytes:
        """The COPY stream for the columns of bulk.telegram in the table's order."""
        return b"".join((*self._parts, TRAILER))


def _variable(octets: bytes) -> bytes:
    return len(octets).to_bytes(4, "big") + octets
