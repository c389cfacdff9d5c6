"""A run as one HTML page that needs nothing else: no script, no font, no address.

It leads with the verdict and the first difference; charts are SVG drawn here, each with its
sentence and its table.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import timedelta
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from meter_sim.scenario.model import Driver
from meter_sim.scenario.outcome import FACTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from decimal import Decimal

    from meter_sim.scenario.outcome import Difference, Happening, Key, Outcome
    from meter_sim.scenario.runner import Result

_W, _H, _LEFT, _BOTTOM, _TOP = 860, 220, 60, 28, 12
_BINS = 96
_STYLE = (files("meter_sim.scenario") / "report.css").read_text(encoding="utf-8")


def as_html(result: Result, made_from: str) -> str:
    """The page. Args: made_from: commit or version."""
    scenario, outcome = result.scenario, result.outcome
    held = sum(verdict.passed for verdict in result.verdicts)
    # A mesh's faults are told in the mesh's own seconds, which are no calendar's.
    shades = outcome.timeline if scenario.driver is Driver.FEED else []
    word, colour = ("passed", "good") if result.passed else ("FAILED", "bad")
    parts = [
        (
            f"<p class='soft'>ohmesh scenario, driver {scenario.driver.value},"
            f" seed {scenario.seed}, {escape(made_from[:12])}</p>"
        ),
        f"<h1>{escape(scenario.name)}: <span class='{colour}'>{word}</span></h1>",
        f"<p>{escape(scenario.proves)}</p>",
        f"<p class='verdict {colour}'>{held} of {len(result.verdicts)} expectations held.</p>",
        _first(outcome.differences, result),
        _verdicts(result),
        _coverage(outcome, shades),
        _curve(outcome, shades),
        _timeline(outcome.timeline),
        _facts(outcome.facts),
        _differences(outcome.differences[1:]),
        "".join(f"<p class='soft'>{escape(note)}</p>" for note in outcome.notes),
        (
            f"<h2>Again</h2><p><code>ohmesh sim run {escape(scenario.name)} --seed {scenario.seed}"
            "</code></p>"
        ),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(scenario.name)}: {word}</title><style>{_STYLE}</style></head><body>"
        f"<main>{''.join(parts)}</main></body></html>\n"
    )


def _first(differences: list[Difference], result: Result) -> str:
    if not differences:
        same = "No record differs from what the meters produced."
        broken = next((v for v in result.verdicts if not v.passed), None)
        if broken is None:
            return f"<div class='first none'>{same}</div>"
        told = f"expected {escape(broken.text)}, got {_number(broken.got)}. {same}"
        return f"<div class='first'><strong>First broken expectation</strong><br>{told}</div>"
    one = differences[0]
    meter, channel, time = one.record
    way = "".join(f"<li>{escape(place)}</li>" for place in one.way)
    return (
        "<div class='first'><strong>First difference</strong><dl>"
        f"<dt>record</dt><dd>{escape(meter)}, {escape(channel)}, {_time(time)}</dd>"
        f"<dt>expected</dt><dd>{escape(one.expected)}</dd><dt>got</dt><dd>{escape(one.got)}</dd>"
        f"<dt>its way</dt><dd><ol class='way'>{way}</ol></dd></dl></div>"
    )


def _time(time: datetime) -> str:
    return escape(time.strftime("%Y-%m-%d %H:%M:%S UTC"))


def _verdicts(result: Result) -> str:
    rows = "".join(
        f"<tr><td class='{'good' if v.passed else 'bad'}'>{'held' if v.passed else 'broken'}</td>"
        f"<td>{escape(v.text)}</td><td class='n'>{_number(v.got)}</td></tr>"
        for v in result.verdicts
    )
    return (
        f"<h2>Expectations</h2><table><tr><th></th><th>expected</th><th>got</th></tr>{rows}</table>"
    )


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def _facts(facts: Mapping[str, float]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td>"
        f"<td>{escape(FACTS.get(name, 'events of this kind'))}</td>"
        f"<td class='n'>{_number(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f"<h2>Facts</h2><table>{rows}</table>"


def _differences(differences: list[Difference]) -> str:
    if not differences:
        return ""
    rows = "".join(
        f"<tr><td>{escape(d.record.meter)}</td><td>{escape(d.record.channel)}</td>"
        f"<td>{_time(d.record.time)}</td><td class='n'>{escape(d.expected)}</td>"
        f"<td class='n'>{escape(d.got)}</td><td>{escape(' > '.join(d.way))}</td></tr>"
        for d in differences
    )
    names = ("meter", "channel", "instant", "expected", "got", "way")
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
    return f"<h2>Further differences</h2><table>{head}{rows}</table>"


# ---------------------------------------------------------------- charts


def _span(outcome: Outcome) -> tuple[datetime, datetime] | None:
    times = [key.time for key in outcome.expected]
    return (min(times), max(times)) if times and min(times) < max(times) else None


def _coverage(outcome: Outcome, shades: list[Happening]) -> str:
    """Readings by time: stored as they should be, and not."""
    span = _span(outcome)
    if span is None:
        return ""
    begin, end = span
    bins = _bins(outcome)
    top = max(map(sum, bins)) or 1
    width = (_W - _LEFT) / len(bins)
    base, scale = _H - _BOTTOM, (_H - _BOTTOM - _TOP) / top
    bars = []
    for number, (good, bad) in enumerate(bins):
        x, height, missing = _LEFT + number * width, good * scale, bad * scale
        bars.append(_rect("ok", x, base - height, width - 1, height))
        if bad:
            bars.append(_rect("miss", x, base - height - missing, width - 1, missing))
    lost = sum(bad for _, bad in bins)
    sentence = (
        f"{lost:,} of {len(outcome.expected):,} readings are missing or wrong (orange)."
        if lost
        else f"All {len(outcome.expected):,} readings are stored as the meters produced them."
    )
    drawing = _faults(shades, begin, end) + "".join(bars) + _axes(begin, end, str(top))
    return f"<h2>Readings by time</h2><p>{sentence}</p>{_svg(sentence, drawing)}"


def _bins(outcome: Outcome) -> list[list[int]]:
    """[good, bad] for equally many consecutive instants each, at most _BINS of them."""
    times = sorted({key.time for key in outcome.expected})
    each = -(-len(times) // _BINS)
    rank = {time: number // each for number, time in enumerate(times)}
    bins = [[0, 0] for _ in range(-(-len(times) // each))]
    for key, values in outcome.expected.items():
        column = 0 if outcome.got.get(key) in values else 1
        bins[rank[key.time]][column] += 1
    return bins


def _curve(outcome: Outcome, shades: list[Happening]) -> str:
    """What all meters together advanced by, interval by interval: produced and stored."""
    span = _span(outcome)
    produced = _advances((k, min(v)) for k, v in outcome.expected.items())
    if span is None or len(produced) < 2:
        return ""
    stored = _advances(outcome.got.items())
    begin, end = span
    top = max([*produced.values(), *stored.values(), 1])
    lines = _line("expected", produced, begin, end, top) + _line("got", stored, begin, end, top)
    sentence = (
        "Energy of all meters by interval: produced (grey, wide) and stored (blue); "
        f"the highest is {top:,.0f} Wh."
    )
    drawing = _faults(shades, begin, end) + lines + _axes(begin, end, f"{top:,.0f}")
    rows = "".join(
        f"<tr><td>{_time(time)}</td><td class='n'>{value:,.0f}</td>"
        f"<td class='n'>{stored.get(time, 0):,.0f}</td></tr>"
        for time, value in sorted(produced.items())[: 4 * _BINS]
    )
    table = (
        "<details><summary>As a table</summary><table><tr><th>interval end</th>"
        f"<th class='n'>produced Wh</th><th class='n'>stored Wh</th></tr>{rows}</table></details>"
    )
    return f"<h2>Load curve</h2><p>{sentence}</p>{_svg(sentence, drawing)}{table}"


def _advances(readings: Iterable[tuple[Key, Decimal]]) -> dict[datetime, float]:
    series: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
    for key, value in readings:
        if key.channel == "el.energy.import" and not key.meter.startswith("F"):
            series[key.meter].append((key.time, value))
    total: dict[datetime, float] = defaultdict(float)
    for values in series.values():
        ordered = sorted(values)
        for (_, before), (time, after) in itertools.pairwise(ordered):
            total[time] += float(after - before)
    return dict(total)


def _line(
    name: str, values: Mapping[datetime, float], begin: datetime, end: datetime, top: float
) -> str:
    base, scale = _H - _BOTTOM, (_H - _BOTTOM - _TOP) / top
    points = " ".join(
        f"{_x(time, begin, end):.1f},{base - max(value, 0.0) * scale:.1f}"
        for time, value in sorted(values.items())
    )
    return f"<polyline class='{name}' points='{points}'/>"


def _x(time: datetime, begin: datetime, end: datetime) -> float:
    return _LEFT + (_W - _LEFT) * min(1.0, max(0.0, (time - begin) / (end - begin)))


def _axes(begin: datetime, end: datetime, top: str) -> str:
    base = _H - _BOTTOM
    ticks = []
    for number in range(5):
        time = begin + (end - begin) * number / 4
        anchor = "start" if number == 0 else "end" if number == 4 else "middle"
        x = _x(time, begin, end)
        ticks.append(
            f"<text x='{x:.0f}' y='{_H - 8}' text-anchor='{anchor}'>{time:%d %b %H:%M}</text>"
        )
    return (
        f"<line class='axis' x1='{_LEFT}' y1='{base}' x2='{_W}' y2='{base}'/>"
        f"<line class='axis' x1='{_LEFT}' y1='{_TOP}' x2='{_LEFT}' y2='{base}'/>"
        f"<text x='{_LEFT - 6}' y='{_TOP + 10}' text-anchor='end'>{escape(top)}</text>"
        f"<text x='{_LEFT - 6}' y='{base}' text-anchor='end'>0</text>{''.join(ticks)}"
    )


def _faults(timeline: list[Happening], begin: datetime, end: datetime) -> str:
    """Shaded stretches of faults, behind the curve (calendar times: `feed` alone has them)."""
    found = []
    for one in timeline:
        left = _x(begin + timedelta(seconds=one.from_s), begin, end)
        right = _x(begin + timedelta(seconds=one.to_s), begin, end)
        found.append(_rect("fault", left, _TOP, max(2, right - left), _H - _BOTTOM - _TOP))
    return "".join(found)


def _rect(name: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f"<rect class='{name}' x='{x:.1f}' y='{y:.1f}' width='{max(width, 0):.1f}'"
        f" height='{max(height, 0):.1f}'/>"
    )


def _svg(label: str, drawing: str) -> str:
    return f"<svg viewBox='0 0 {_W} {_H}' role='img' aria-label='{escape(label)}'>{drawing}</svg>"


def _timeline(timeline: list[Happening]) -> str:
    if not timeline:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one.what)}</td><td class='n'>{_since(one.from_s)}</td>"
        f"<td class='n'>{_since(one.to_s)}</td></tr>"
        for one in timeline
    )
    return (
        "<h2>What went wrong, and when</h2><table><tr><th>fault</th><th class='n'>from</th>"
        "<th class='n'>to</th></tr>"
        f"{rows}</table>"
    )


def _since(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
