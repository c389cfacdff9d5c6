"""What to put where nothing was measured. Pure; integers all the way, so that sums stay exact.

| gap | spread by | then |
|---|---|---|
| up to `linear_s` | a line between the neighbours | scaled to the register's advance, if known |
| longer, and the weeks before are known | the same slots of the same weekday | scaled, if known |
| longer | the load shape | scaled, if known; else to the usual day |
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from headend.vee.model import DAY_US, SCALED, SECOND_US, Method

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

    from headend.vee.model import Gap, Limits
    from headend.vee.shape import Shape

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
WEEKS: Final = 4
LOOK_BACK_US: Final = (WEEKS * 7 + 1) * DAY_US
"""How far back like days are looked for."""


class Known(NamedTuple):
    """What is known around a gap.

    Attributes:
        length_us: of an interval.
        zone: of the service point.
        before, after: the neighbours' values; None when there is none.
        past: END -> value of measured intervals of the weeks before.
        usual_day: mean of a day, 0 when there is no history.
    """

    length_us: int
    zone: ZoneInfo
    before: int | None
    after: int | None
    past: Mapping[int, int]
    usual_day: int


class Filled(NamedTuple):
    """Values for the slots of a gap, in order, and how they were made."""

    values: list[int]
    method: Method


def fill(
    gap: Gap, known: Known, shape: Shape, limits: Limits, method: Method | None = None
) -> Filled:
    """Values for a gap; `method`: a person's choice, else by the table above."""
    ends = range(gap.from_us + known.length_us, gap.to_us + 1, known.length_us)
    wanted = method or _choose(gap, known, limits)
    weights = None
    if wanted is Method.LIKE_DAY:
        weights = like_day(ends, known)
        wanted = wanted if weights else Method.LOAD_SHAPE
    if wanted is Method.LOAD_SHAPE:
        weights = by_shape(ends, known, shape)
    if weights is None:
        weights, wanted = line(len(ends), known.before, known.after), Method.LINEAR
    if gap.total is not None:
        return Filled(apportion(gap.total, weights), SCALED[wanted])
    if wanted is Method.LOAD_SHAPE:
        day = sum(by_shape(_day_of(ends, known), known, shape))
        return Filled([known.usual_day * weight // max(day, 1) for weight in weights], wanted)
    return Filled(weights, wanted)


def _choose(gap: Gap, known: Known, limits: Limits) -> Method:
    short = gap.to_us - gap.from_us <= limits.linear_s * SECOND_US
    neighbours = known.before is not None or known.after is not None
    return Method.LINEAR if short and neighbours else Method.LIKE_DAY


def _day_of(ends: range, known: Known) -> range:
    return range(ends[0], ends[0] + DAY_US, known.length_us)


def line(count: int, before: int | None, after: int | None) -> list[int]:
    """Values along the line between two neighbours; one neighbour stands for both."""
    left = before if before is not None else after
    right = after if after is not None else before
    if left is None or right is None:
        return [0] * count
    return [(left * (count - i) + right * (i + 1)) // (count + 1) for i in range(count)]


def like_day(ends: Sequence[int], known: Known) -> list[int] | None:
    """The mean of the same slots, by the local clock, in the last weeks; None if one has none."""
    found = []
    for end in ends:
        local = local_start(end, known)
        values = [
            value
            for week in range(1, WEEKS + 1)
            if (value := known.past.get(_end_of(local - timedelta(weeks=week), known))) is not None
        ]
        if not values:
            return None
        found.append(sum(values) // len(values))
    return found


def local_start(end_us: int, known: Known) -> datetime:
    """The local time at which an interval begins."""
    start = EPOCH + timedelta(microseconds=end_us - known.length_us)
    return start.astimezone(known.zone)


def _end_of(local_begin: datetime, known: Known) -> int:
    return (local_begin.astimezone(UTC) - EPOCH) // timedelta(microseconds=1) + known.length_us


def by_shape(ends: Sequence[int], known: Known, shape: Shape) -> list[int]:
    """The weights of the load shape; an interval of an hour has the weight of its first quarter."""
    return [shape.weight(local_start(end, known)) for end in ends]


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Integers that add up to `total` and are in proportion to the weights; all equal if all zero.

    Example: `apportion(10, [1, 1, 1]) == [3, 3, 4]`.
    """
    whole = sum(weights)
    if whole <= 0:
        weights, whole = [1] * len(weights), len(weights)
    parts, given, seen = [], 0, 0
    for weight in weights:
        seen += weight
        upto = total * seen // whole
        parts.append(upto - given)
        given = upto
    return parts
