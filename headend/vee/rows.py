"""Columns to and from PostgreSQL's binary COPY, as arrays of whole rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from headend.vee.model import Readings

if TYPE_CHECKING:
    from headend.vee.model import Ints

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"


def _layout(*columns: tuple[str, int]) -> np.dtype[np.void]:
    """A row: the count of fields, then length and value of each, big-endian."""
    fields = [("fields", ">i2")]
    for name, octets in columns:
        fields += [(f"{name}_bytes", ">i4"), (name, f">i{octets}")]
    return np.dtype(fields)


_READING: Final = (("series", 4), ("channel", 4), ("ts", 8), ("value", 8), ("status", 4))
_INTERVAL: Final = (
    ("meter", 4),
    ("channel", 4),
    ("ts", 8),
    ("value", 8),
    ("length", 4),
    ("quality", 4),
    ("failed", 4),
    ("method", 2),
    ("version", 2),
    ("made_at", 8),
)
_READING_ROW: Final = _layout(*_READING)
_INTERVAL_ROW: Final = _layout(*_INTERVAL)


def readings(stream: bytes) -> tuple[Readings, Ints]:
    """The rows of the query `readings`; `series` is the stretch's number. And their channels."""
    rows = np.frombuffer(stream[len(_HEADER) : -len(_TRAILER)], dtype=_READING_ROW)
    stretch, channel, ts, value, status = (rows[n].astype(np.int64) for n, _ in _READING)
    return Readings(stretch, ts, value, status), channel


def intervals(**columns: Ints | int) -> bytes:
    """The COPY stream for new intervals; a column may be one number for all rows."""
    rows = np.zeros(len(np.atleast_1d(columns["ts"])), dtype=_INTERVAL_ROW)
    rows["fields"] = len(_INTERVAL)
    for name, octets in _INTERVAL:
        rows[f"{name}_bytes"] = octets
        rows[name] = columns[name]
    return b"".join((_HEADER, rows.tobytes(), _TRAILER))
