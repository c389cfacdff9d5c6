"""From registers to intervals, under everything that registers do.

Theory of operation. Readings of a series, sorted by time, are *anchors*; between two neighbours
lies a *segment* with an advance. An advance below zero is a roll-over when the register stood near
the end of its digits and now stands near zero; an exchange of the meter that somebody wrote down
adds what the old register still counted; anything else breaks the series there. The register at
every boundary of the grid follows: it was read there, or lies between two readings that are close.
An interval is the difference of two boundaries. Segments longer than an interval and a half are
*gaps*; what they hold is known in sum, and estimation spreads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headend.vee.model import SECOND_US, Check, Finding, Gap, Intervals, Method, Readings
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headend.vee.model import Bools, Ints, Series

_TEN = 10 ** np.arange(19, dtype=np.int64)
_ESTIMATED = int(Quality.ESTIMATED)


class Swap(NamedTuple):
    """An exchange of a meter at a time: its register ended and began at these values."""

    series: int
    at_us: int
    old_close: int
    new_open: int


@dataclass(frozen=True, slots=True)
class Segments:
    """What lies between neighbouring anchors `left` and `left + 1`."""

    left: Ints
    advance: Ints
    broken: Bools


def segments(anchors: Readings, series: Series, swaps: Iterable[Swap]) -> Segments:
    """The advances between neighbours of one series."""
    left = np.flatnonzero(anchors.series[1:] == anchors.series[:-1])
    old, new = anchors.value[left], anchors.value[left + 1]
    advance = new - old + _exchanged(anchors, left, swaps)
    signed = series.signed[anchors.series[left]]
    rolled = (advance < 0) & ~signed & _rolls(anchors, left, series)
    modulus = _modulus(old)
    advance = np.where(rolled, new - old + modulus, advance)
    return Segments(left, advance, (advance < 0) & ~signed)


def _modulus(value: Ints) -> Ints:
    """The power of ten above a register's value."""
    return _TEN[np.minimum(np.searchsorted(_TEN, np.maximum(value, 1), side="right"), 18)]


def _rolls(anchors: Readings, left: Ints, series: Series) -> Bools:
    """From the last tenth of the digits into the first, by no more than the supply can carry."""
    old, new = anchors.value[left], anchors.value[left + 1]
    modulus = _modulus(old)
    near = (old >= modulus // 10 * 9) & (new < modulus // 10) & (new >= 0)
    group = anchors.series[left]
    spans = (anchors.time_us[left + 1] - anchors.time_us[left]) // series.length_us[group] + 1
    most = series.most[group]
    fits: Bools = (new - old + modulus) // np.maximum(spans, 1) <= most
    return near & fits


def _exchanged(anchors: Readings, left: Ints, swaps: Iterable[Swap]) -> Ints:
    more = np.zeros(len(left), dtype=np.int64)
    for swap in swaps:
        inside = (
            (anchors.series[left] == swap.series)
            & (anchors.time_us[left] < swap.at_us)
            & (anchors.time_us[left + 1] >= swap.at_us)
        )
        more[inside] += swap.old_close - swap.new_open
    return more


def intervals(
    anchors: Readings, on_grid: Bools, series: Series, swaps: Iterable[Swap]
) -> tuple[Intervals, list[Gap], list[Finding]]:
    """The intervals of cumulative registers, the gaps among them, and where they ran backwards.

    Intervals inside a gap are spread evenly and marked as estimated; `estimate` betters them.
    """
    found = segments(anchors, series, swaps)
    points = _boundaries(anchors, on_grid, series, found)
    made = _differences(points, series)
    return made, _gaps(anchors, series, found), _backwards(anchors, found)


class _Points(NamedTuple):
    """Registers at boundaries: advance since the series' first anchor, and how it is known."""

    series: Ints
    run: Ints
    time_us: Ints
    advance: Ints
    exact: Bools
    status: Ints


def _boundaries(anchors: Readings, on_grid: Bools, series: Series, found: Segments) -> _Points:
    advance = np.zeros(len(anchors.series), dtype=np.int64)
    advance[found.left + 1] = np.where(found.broken, 0, found.advance)
    total = np.cumsum(advance)  # differences within a run are all that is used
    breaks = np.ones(len(anchors.series), dtype=np.int64)
    breaks[found.left + 1] = found.broken
    run = np.cumsum(breaks)
    inside = _inside(anchors, series, found, total, run)
    standing = _Points(
        anchors.series[on_grid],
        run[on_grid],
        anchors.time_us[on_grid],
        total[on_grid],
        np.ones(int(on_grid.sum()), dtype=np.bool_),
        anchors.status[on_grid],
    )
    columns = [np.concatenate(pair) for pair in zip(standing, inside, strict=True)]
    order = np.lexsort((columns[2], columns[0]))
    number, runs, time, advance, exact, status = (column[order] for column in columns)
    return _Points(number, runs, time, advance, exact.astype(np.bool_), status)


def _inside(anchors: Readings, series: Series, found: Segments, total: Ints, run: Ints) -> _Points:
    """The boundaries strictly inside segments, their registers along a line."""
    left = found.left[~found.broken]
    length = series.length_us[anchors.series[left]]
    begin, end = anchors.time_us[left], anchors.time_us[left + 1]
    first = (begin // length + 1) * length
    count = np.maximum((end - 1) // length - begin // length, 0)
    which = np.repeat(np.arange(len(left)), count)
    step = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    time = first[which] + step * length[which]
    begin, end, left = begin[which], end[which], left[which]
    # In seconds: an advance times a span must stay within 63 bits.
    part_s, span_s = (time - begin) // SECOND_US, np.maximum((end - begin) // SECOND_US, 1)
    rise = total[left + 1] - total[left]
    return _Points(
        anchors.series[left],
        run[left],
        time,
        total[left] + rise // span_s * part_s + rise % span_s * part_s // span_s,
        np.zeros(len(left), dtype=np.bool_),
        anchors.status[left + 1],
    )


def _differences(points: _Points, series: Series) -> Intervals:
    left = np.flatnonzero(
        (points.series[1:] == points.series[:-1])
        & (points.run[1:] == points.run[:-1])
        & (points.time_us[1:] - points.time_us[:-1] == series.length_us[points.series[1:]])
    )
    right = left + 1
    exact = points.exact[left] & points.exact[right]
    return Intervals(
        points.series[right],
        points.time_us[right],
        points.advance[right] - points.advance[left],
        np.where(exact, points.status[right], points.status[right] | _ESTIMATED),
        np.zeros(len(right), dtype=np.int64),
        np.where(exact, int(Method.DIFFERENCE), int(Method.LINEAR_SCALED)),
    )


def _gaps(anchors: Readings, series: Series, found: Segments) -> list[Gap]:
    """Whole slots inside segments longer than an interval and a half, with what they sum up to.

    The ends of a gap that lie off the grid belong to slots that are half known: those stay as the
    line has them, and the gap is what lies between.
    """
    left = found.left
    length = series.length_us[anchors.series[left]]
    begin, end = anchors.time_us[left], anchors.time_us[left + 1]
    gaps = []
    for i in np.flatnonzero(end - begin > length + length // 2):
        size = int(length[i])
        low, high = -(-int(begin[i]) // size) * size, int(end[i]) // size * size
        if high <= low:
            continue
        whole = low == begin[i] and high == end[i]
        total = int(found.advance[i]) if whole and not found.broken[i] else None
        gaps.append(Gap(int(anchors.series[left[i]]), low, high, total))
    return gaps


def _backwards(anchors: Readings, found: Segments) -> list[Finding]:
    return [
        Finding(
            Check.NEGATIVE,
            int(anchors.series[left]),
            int(anchors.time_us[left]),
            int(anchors.time_us[left + 1]),
            found=int(advance),
            allowed=0,
        )
        for left, advance in zip(found.left[found.broken], found.advance[found.broken], strict=True)
    ]
