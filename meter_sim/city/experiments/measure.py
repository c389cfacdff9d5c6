"""What an experiment hands back: figures of one seed, and their summary over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from scipy.stats import t as student

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONFIDENCE = 0.975


class Better(Enum):
    """Which way a figure should go."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of one run.

    Attributes:
        metric: its name, unit last.
        value: as measured; infinite when what was waited for did not happen, not a number when
            there was nothing to measure.
        limit: what the graph or the channel allows.
        target: what the protocol must reach; often a distance to the limit.
        better: which way the figure should go.
    """

    metric: str
    value: float
    limit: float
    target: float
    better: Better


@dataclass(frozen=True, slots=True)
class Summary:
    """A figure over seeds: means, 95 % interval (Student), the verdict, and each seed's value.

    Seeds with nothing to measure count neither way; with no other there is no verdict.
    """

    metric: str
    value: float
    low: float
    high: float
    limit: float
    target: float
    passed: bool | None
    values: tuple[float, ...]


def summarise(measures: Sequence[Measure]) -> Summary:
    """One metric over its seeds; it passes when the mean meets the mean target."""
    values = [measure.value for measure in measures]
    samples = [measure for measure in measures if not math.isnan(measure.value)]
    seen = samples or measures
    value, target = fmean(m.value for m in seen), fmean(m.target for m in seen)
    half = _half_interval([measure.value for measure in seen])
    higher = measures[0].better is Better.HIGHER
    return Summary(
        metric=measures[0].metric,
        value=value,
        low=value - half,
        high=value + half,
        limit=fmean(measure.limit for measure in seen),
        target=target,
        passed=(value >= target if higher else value <= target) if samples else None,
        values=tuple(values),
    )


def _half_interval(values: Sequence[float]) -> float:
    """Half the 95 % interval; 0 for one seed, which has none to tell."""
    if len(values) == 1 or not all(map(math.isfinite, values)):
        return 0.0
    return float(student.ppf(_CONFIDENCE, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def share(part: int, whole: int) -> float:
    """What part of the whole; not a number of nothing."""
    return part / whole if whole else math.nan


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed; not a number of none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]
