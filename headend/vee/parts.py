"""Rules over several channels of one meter: phases, rates, own intervals, two units. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headend.vee import rules
from headend.vee.channels import part_of
from headend.vee.model import Check, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headend.vee.model import Intervals, Limits
    from headend.vee.store import Loaded


def judge(intervals: Intervals, loaded: Loaded, limits: Limits) -> tuple[Intervals, list[Finding]]:
    """The intervals with the bits of these rules, and the findings."""
    names: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, channel in enumerate(loaded.series.channel.tolist()):
        names[loaded.of_stretch[number]][loaded.channels[channel].name].append(number)
    failed = intervals.failed.copy()
    findings = []
    for of_name in names.values():
        findings += _units(of_name, loaded)
        for check, total, some in _sets(of_name, loaded):
            findings += _differing(intervals, failed, loaded, limits, (check, total, some))
    return replace(intervals, failed=failed), findings


def _sets(of_name: dict[str, list[int]], loaded: Loaded) -> Iterator[tuple[Check, int, list[int]]]:
    """(rule, total, parts) of one meter's channels that have one unit and resolution."""
    sets: dict[tuple[str, Check, str], list[int]] = defaultdict(list)
    for name, numbers in of_name.items():
        key = part_of(name)
        if key is not None:
            sets[key].append(numbers[0])
    for (total, check, _), some in sets.items():
        if total not in of_name:
            continue
        number = of_name[total][0]
        kinds = {_scale(n, loaded) for n in (number, *some)}
        if len(kinds) == 1:
            yield check, number, some


def _scale(number: int, loaded: Loaded) -> tuple[str, int]:
    channel = loaded.channels[int(loaded.series.channel[number])]
    return channel.unit, channel.scaler


def _differing(
    intervals: Intervals,
    failed: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    loaded: Loaded,
    limits: Limits,
    one: tuple[Check, int, list[int]],
) -> list[Finding]:
    check, total, some = one
    off = rules.sums(intervals, total, some, limits.sum_tolerance)
    if not off:
        return []
    begin, end = np.searchsorted(intervals.series, (total, total + 1))
    at = begin + np.searchsorted(intervals.end_us[begin:end], [e for e, _, _ in off])
    failed[at] |= 1 << int(check)
    length = int(loaded.series.length_us[total])
    return [Finding(check, total, e - length, e, summed, value) for e, summed, value in off]


def _units(of_name: dict[str, list[int]], loaded: Loaded) -> list[Finding]:
    """A channel that came in two units in one stretch."""
    findings = []
    for numbers in of_name.values():
        if len({_scale(n, loaded)[0] for n in numbers}) > 1:
            times = loaded.readings.time_us[loaded.readings.series == numbers[0]]
            findings.append(Finding(Check.UNIT, numbers[0], int(times.min()) - 1, int(times.max())))
    return findings
