"""Columns from a few words."""

from __future__ import annotations

import numpy as np

from headend.vee.model import SECOND_US, Intervals, Readings, Series

L = 900 * SECOND_US
"""A quarter-hour."""
START = 9000 * 86_400 * SECOND_US
NOW = START + 10**6 * L


def ints(values):
    return np.array(list(values), dtype=np.int64)


def series(count=1, **columns):
    """`count` series alike; columns override."""
    usual = {
        "meter": range(1, count + 1),
        "channel": [1] * count,
        "length_us": [L] * count,
        "reported": [False] * count,
        "signed": [False] * count,
        "most": [27_500] * count,
        "usual_max": [0] * count,
        "usual_day": [0] * count,
        "days": [0] * count,
        "zero_since_us": [-1] * count,
    }
    made = {name: ints(columns.get(name, value)) for name, value in usual.items()}
    for name in ("reported", "signed"):
        made[name] = made[name].astype(bool)
    return Series(**made)


def readings(*rows):
    """Rows of (series, slot or (slot, seconds off), value[, status])."""
    columns = []
    for number, slot, value, *status in rows:
        at, off_s = slot if isinstance(slot, tuple) else (slot, 0)
        columns.append((number, START + at * L + off_s * SECOND_US, value, *(status or [0])))
    columns.sort(key=lambda row: row[:2])
    return Readings(*(ints(column) for column in zip(*columns, strict=True)))


def intervals(values, *, number=0, start=0, method=0, quality=0):
    """Neighbouring intervals of a series; None leaves one out."""
    kept = [(i, v) for i, v in enumerate(values) if v is not None]
    count = len(kept)
    return Intervals(
        ints([number] * count),
        ints(START + (start + i + 1) * L for i, _ in kept),
        ints(v for _, v in kept),
        ints([quality] * count),
        ints([0] * count),
        ints([method] * count),
    )


def shown(found, number=0):
    """(slot, value) of a series' intervals; the slot is that of the END."""
    which = found.series == number
    return [
        ((int(end) - START) / L, int(value))
        for end, value in zip(found.end_us[which], found.value[which], strict=True)
    ]
