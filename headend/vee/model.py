"""What validation works on: columns of whole fleets, so that a rule costs a numpy call, not a loop.

All times are microseconds since 2000 (PostgreSQL's), all values integers in the channel's unit and
resolution. A *series* is one channel of one meter in one stretch of time; columns carry its number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US


class Check(IntEnum):
    """What can be wrong with an interval or a stretch of them; the number is a bit of `failed`."""

    GAP = 1
    """Readings are missing."""
    CLOCK = 2
    """The meter says that its clock is not to be trusted, or the stamp lies in the future."""
    NEGATIVE = 3
    """Less than nothing was used: a register ran backwards without roll-over or exchange."""
    SPIKE = 4
    """More than the supply can carry, or far above the other peaks of its day."""
    HIGH = 5
    """Above everything in the meter's history."""
    LOW = 6
    """A whole day far below the meter's usual day."""
    ZERO_RUN = 7
    """Nothing for a day and longer where usually something is used."""
    SUM = 8
    """The meter's own intervals do not add up to the advance of its register."""
    PHASE = 9
    """The phases, or the rates of a tariff, do not add up to the total."""
    UNIT = 10
    """One channel came in two units."""
    SIZE = 11
    """Readings come regularly, but not at the meter's interval."""


class Method(IntEnum):
    """How the value of an interval was made."""

    DIFFERENCE = 0
    """Of two registers at its ends."""
    REPORTED = 1
    """The meter's own interval."""
    LINEAR = 2
    """Along a line between the neighbours."""
    LIKE_DAY = 3
    """As in the same hour of the same weekday in the weeks before."""
    LOAD_SHAPE = 4
    """By the load shape."""
    EDIT = 5
    """A person wrote it."""
    LINEAR_SCALED = 12
    """As LINEAR, and the intervals add up to the advance of the register."""
    LIKE_DAY_SCALED = 13
    """As LIKE_DAY, and they add up."""
    LOAD_SHAPE_SCALED = 14
    """As LOAD_SHAPE, and they add up."""


SCALED: Final = {
    Method.LINEAR: Method.LINEAR_SCALED,
    Method.LIKE_DAY: Method.LIKE_DAY_SCALED,
    Method.LOAD_SHAPE: Method.LOAD_SHAPE_SCALED,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of the rules. Ours, not a law's: a utility sets its own (`docs/vee.md`).

    Attributes:
        power_w_max: what a supply can carry: 3 x 160 A x 230 V.
        snap_divisor: a stamp this part of an interval off the grid still stands on it.
        snap_received_divisor: the same for a stamp of the gateway's.
        spike_times: a peak above the day's third peak by this factor is a spike.
        high_times: an interval above the history's highest by this factor is high.
        low_divisor: a day below this part of the usual day is low.
        history_days: days of history that `high` and `low` need.
        zero_run_s: how long nothing may be used.
        linear_s: gaps up to this are filled along a line.
        sum_tolerance: what sums may be off, in units of the last digit, for each part.
    """

    power_w_max: int = 110_000
    snap_divisor: int = 15
    snap_received_divisor: int = 3
    spike_times: int = 5
    high_times: int = 2
    low_divisor: int = 10
    history_days: int = 3
    zero_run_s: int = 86_400
    linear_s: int = 7_200
    sum_tolerance: int = 2


@dataclass(frozen=True, slots=True)
class Series:
    """What is known of each series, one element a series.

    Attributes:
        meter, channel: whose it is.
        length_us: the meter's interval.
        reported: values are the meter's own intervals, not registers.
        signed: values below zero are in order (a net register).
        most: the highest value that the supply can carry in one interval.
        usual_max, days: of the history; days 0 when there is none.
        usual_day: mean of a day.
        zero_since_us: since when it has been at zero, or -1.
    """

    meter: Ints
    channel: Ints
    length_us: Ints
    reported: Bools
    signed: Bools
    most: Ints
    usual_max: Ints
    usual_day: Ints
    days: Ints
    zero_since_us: Ints


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings sorted by series and time; `status`: Quality."""

    series: Ints
    time_us: Ints
    value: Ints
    status: Ints


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals sorted by series and END.

    Attributes:
        end_us: the END.
        quality: flags of `ohmesh.model.reading.Quality`.
        failed: bits of `Check`.
        method: of `Method`.
    """

    series: Ints
    end_us: Ints
    value: Ints
    quality: Ints
    failed: Ints
    method: Ints

    def __len__(self) -> int:
        return len(self.series)


class Finding(NamedTuple):
    """A rule's finding for a person: intervals with ENDs in (from, to] of a series."""

    check: Check
    series: int
    from_us: int
    to_us: int
    found: int | None = None
    allowed: int | None = None


class Gap(NamedTuple):
    """Slots without readings at both ends: ENDs in (from, to] of a series.

    `total`: what the register advanced over them; None when it is not known yet.
    """

    series: int
    from_us: int
    to_us: int
    total: int | None


@dataclass(slots=True)
class Outcome:
    """What came of a number of series."""

    intervals: Intervals
    gaps: list[Gap] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
