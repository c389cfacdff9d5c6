"""The page's drawings as SVG text: maps, a histogram, bars over time, bars by kind. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from meter_sim.city.report.story import BIN_US, Fate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meter_sim.city.layout import Layout
    from meter_sim.city.report.story import Snapshot

MAP_WIDTH = 600
CHART_WIDTH, CHART_HEIGHT = 560, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 12, 30
_DEPTHS = 6
"""Shades of a route: one hop, two, ... five, and more."""
_MINUTE_US = 60_000_000


def map_height(layout: Layout) -> float:
    """Height of a map whose width is MAP_WIDTH."""
    wide, high = float(layout.x_dm.max()), float(layout.y_dm.max())
    return MAP_WIDTH * max(high, 1.0) / max(wide, 1.0)


def places(layout: Layout) -> list[tuple[float, float]]:
    """Where each node is on the map."""
    scale = MAP_WIDTH / max(1.0, float(layout.x_dm.max()))
    return [
        (round(x * scale, 1), round(y * scale, 1))
        for x, y in zip(layout.x_dm.tolist(), layout.y_dm.tolist(), strict=True)
    ]


def street_map(layout: Layout, snapshot: Snapshot) -> str:
    """Routes shaded by hops, meters as dots, gateways as rings, the dead as crosses."""
    spots = places(layout)
    parts = [
        f'<path class="route d{depth}" d="{path}"/>'
        for depth in range(_DEPTHS, 0, -1)
        if (path := _routes(snapshot, spots, depth))
    ]
    meters = range(layout.gateways, len(layout))
    alive = [i for i in meters if snapshot.alive[i]]
    parts += [
        f'<path class="dot" d="{_dots(spots[i] for i in alive if snapshot.hops[i] >= 0)}"/>',
        f'<path class="dot lost" d="{_dots(spots[i] for i in alive if snapshot.hops[i] < 0)}"/>',
        f'<path class="dead" d="{_crosses(spots[i] for i in meters if not snapshot.alive[i])}"/>',
    ]
    for i in range(layout.gateways):
        kind = "gateway" if snapshot.alive[i] else "gateway off"
        x, y = spots[i]
        parts.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="9"/>')
    return "".join(parts)


def _routes(snapshot: Snapshot, spots: Sequence[tuple[float, float]], depth: int) -> str:
    lines = []
    for i, parent in enumerate(snapshot.parent):
        if parent and snapshot.alive[i] and min(snapshot.hops[i], _DEPTHS) == depth:
            (x, y), (to_x, to_y) = spots[i], spots[parent - 1]
            lines.append(f"M{x:g} {y:g}L{to_x:g} {to_y:g}")
    return "".join(lines)


def _dots(spots: Iterable[tuple[float, float]]) -> str:
    return "".join(f"M{x:g} {y:g}h0" for x, y in spots)


def _crosses(spots: Iterable[tuple[float, float]]) -> str:
    return "".join(f"M{x - 4:g} {y - 4:g}l8 8m0-8l-8 8" for x, y in spots)


def histogram(values: Sequence[float], unit: str) -> str:
    """How many values fall into each of some twenty equal steps."""
    if not values:
        return _note("nobody was affected")
    step = _nice(max(values) / 20)
    counts = [0] * (math.floor(max(values) / step) + 1)
    for value in values:
        counts[math.floor(value / step)] += 1
    top = _nice_top(max(counts))
    slot = (CHART_WIDTH - _LEFT - _RIGHT) / len(counts)
    bars = [
        _bar(
            _LEFT + n * slot,
            count / top,
            slot,
            f"{n * step:g} to {(n + 1) * step:g} {unit}: {count}",
        )
        for n, count in enumerate(counts)
        if count
    ]
    every = max(1, round(len(counts) / 6))
    ticks = [_tick(_LEFT + n * slot, f"{n * step:g}") for n in range(0, len(counts) + 1, every)]
    return _grid(top, "") + "".join(bars) + "".join(ticks)


def success(fates: dict[int, dict[Fate, int]]) -> str:
    """A bar for each five minutes: the share in time, and above it the misses by cause."""
    bins = sorted(fates)
    floor = _floor(fates)
    slot = (CHART_WIDTH - _LEFT - _RIGHT) / max(1, len(bins))
    parts = [_grid(100, "%", floor)]
    for place, number in enumerate(bins):
        counts = fates[number]
        total = sum(counts.values())
        base = 0.0
        for fate in Fate:
            share = 100 * counts[fate] / total
            low, high = max(floor, base), base + share
            base = high
            if high > low:
                label = f"{_when(number)}: {counts[fate]} of {total} {fate.value}"
                kind = f"fate {fate.name.lower()}"
                span = (low - floor) / (100 - floor), (high - floor) / (100 - floor)
                parts.append(_block(_LEFT + place * slot, span, slot, kind, label))
    parts += [
        _tick(_LEFT + place * slot, _when(number))
        for place, number in enumerate(bins)
        if number * BIN_US // _MINUTE_US % 15 == 0
    ]
    if 0 in bins:
        x = _LEFT + bins.index(0) * slot
        parts.append(f'<path class="moment" d="M{x:.1f} {_TOP}V{CHART_HEIGHT - _BOTTOM}"/>')
    return "".join(parts)


def _floor(fates: dict[int, dict[Fate, int]]) -> float:
    """Where the axis begins: at 0, or closer below the worst bar when all are good."""
    worst = min((c[Fate.IN_TIME] / sum(c.values()) for c in fates.values()), default=1.0)
    return next(floor for floor in (99, 95, 90, 80, 50, 0) if worst * 100 >= floor or not floor)


def _when(number: int) -> str:
    minutes = number * BIN_US // _MINUTE_US
    return f"{minutes:+d} min" if minutes else "fault"


def _bar(x: float, share: float, slot: float, label: str) -> str:
    return _block(x, (0.0, share), slot, "bar", label)


def _block(x: float, span: tuple[float, float], slot: float, kind: str, label: str) -> str:
    room = CHART_HEIGHT - _TOP - _BOTTOM
    y, high = _TOP + room * (1 - span[1]), room * (span[1] - span[0])
    wide = max(1.0, slot - 2)
    return (
        f'<rect class="{kind}" x="{x + 1:.1f}" y="{y:.1f}" width="{wide:.1f}" '
        f'height="{max(high, 0.5):.1f}" rx="2"><title>{label}</title></rect>'
    )


def _grid(top: float, unit: str, floor: float = 0) -> str:
    room = CHART_HEIGHT - _TOP - _BOTTOM
    lines = []
    for n in range(5):
        y = _TOP + room * (1 - n / 4)
        value = floor + (top - floor) * n / 4
        lines.append(
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{CHART_WIDTH - _RIGHT}"/>'
            f'<text class="axis" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{value:g}{unit}</text>"
        )
    return "".join(lines)


def _tick(x: float, label: str) -> str:
    return _text(x, CHART_HEIGHT - 10, label)


def _note(text: str) -> str:
    return _text(CHART_WIDTH / 2, CHART_HEIGHT / 2, text)


def _text(x: float, y: float, label: str) -> str:
    return f'<text class="axis" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{label}</text>'


def _nice(step: float) -> float:
    """The next of 1, 2, 5, 10, ... (and their tenths) that is not smaller."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= step)


def _nice_top(count: int) -> float:
    return max(4.0, 4 * _nice(count / 4))
