"""Which stretch of which meter has new readings: what validation looks at next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from headend.ingest.rows import HEADER, TRAILER

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_DAY_US: Final = 86_400_000_000
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("meter_bytes", ">i4"),
        ("meter", ">i4"),
        ("from_bytes", ">i4"),
        ("from", ">i8"),
        ("to_bytes", ">i4"),
        ("to", ">i8"),
    ]
)


def stream(meters: ArrayLike, times_us: ArrayLike) -> bytes:
    """The COPY stream for (meter_id, from_ts, to_ts): a row per meter and UTC day.

    Args:
        meters: the meter of each reading; at least one.
        times_us: its time, microseconds since 2000.
    """
    meter = np.asarray(meters, dtype=np.int64)
    time = np.asarray(times_us, dtype=np.int64)
    order = np.lexsort((time, meter))
    meter, time = meter[order], time[order]
    day = time // _DAY_US
    starts = np.ones(len(meter), dtype=np.bool_)
    starts[1:] = (meter[1:] != meter[:-1]) | (day[1:] != day[:-1])
    ends = np.roll(starts, -1)
    rows = np.zeros(int(starts.sum()), dtype=_ROW)
    for field, value in (("fields", 3), ("meter_bytes", 4), ("from_bytes", 8), ("to_bytes", 8)):
        rows[field] = value
    rows["meter"], rows["from"], rows["to"] = meter[starts], time[starts], time[ends]
    return b"".join((HEADER, rows.tobytes(), TRAILER))
