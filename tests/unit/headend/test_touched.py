"""What ingest tells validation: a stretch per meter and day."""

from __future__ import annotations

import numpy as np

from headend.ingest.rows import HEADER, TRAILER
from headend.ingest.touched import _ROW, stream

DAY_US = 86_400_000_000


def rows(meters, times_us):
    octets = stream(meters, times_us)
    assert octets.startswith(HEADER)
    assert octets.endswith(TRAILER)
    found = np.frombuffer(octets[len(HEADER) : -len(TRAILER)], dtype=_ROW)
    return [(int(r["meter"]), int(r["from"]), int(r["to"])) for r in found]


def test_a_row_per_meter_and_day_whatever_the_order():
    times = [5, DAY_US + 9, 7, DAY_US + 1, 3, -1]
    meters = [2, 2, 2, 2, 1, 1]
    assert rows(meters, times) == [
        (1, -1, -1),
        (1, 3, 3),
        (2, 5, 7),
        (2, DAY_US + 1, DAY_US + 9),
    ]


def test_one_reading_is_one_row():
    assert rows([4], [11]) == [(4, 11, 11)]
