"""Intervals of energy: single ones, and the columns that the rating engine computes with.

From the store to the month's charge energy goes as columns of int64; a Python object an interval
exists only where a person or an exception looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Ints: TypeAlias = "NDArray[np.int64]"
Flags: TypeAlias = "NDArray[np.bool_]"
US_PER_MINUTE: Final = 60_000_000
WH_MAX: Final = 2**40
"""The most of one interval, so that no month's sum leaves int64."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Quality(IntEnum):
    """An actual value outranks an estimate of any version."""

    ESTIMATED = 0
    ACTUAL = 1


@dataclass(frozen=True, slots=True)
class Interval:
    """Energy of one interval.

    Attributes:
        start: UTC.
        minutes: length.
        wh: 0 to WH_MAX.
        quality: estimates only ever pend.
        version: a correction has a higher one.
        meter: which meter counted it, so that an exchange inside an interval charges both parts.
    """

    start: datetime
    minutes: int
    wh: int
    quality: Quality = Quality.ACTUAL
    version: int = 0
    meter: int = 0

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise PrepaymentError("interval", "an interval starts at a UTC instant")
        if not 0 <= self.wh <= WH_MAX or self.minutes <= 0:
            raise PrepaymentError("interval", "an interval has a length, and 0 to 2**40 Wh")


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Intervals as columns of one length.

    Attributes:
        start_us: microseconds since 1970, UTC.
        minutes: lengths.
        wh: energies.
        actual: False: estimated.
        version: of corrections.
        meter: which meter counted.
    """

    start_us: Ints
    minutes: Ints
    wh: Ints
    actual: Flags
    version: Ints
    meter: Ints

    def __len__(self) -> int:
        """How many."""
        return len(self.start_us)

    @property
    def end_us(self) -> Ints:
        """Their ends, microseconds since 1970."""
        return self.start_us + self.minutes * US_PER_MINUTE

    @property
    def total_wh(self) -> int:
        """All their energy."""
        return int(self.wh.sum())

    def take(self, which: NDArray[Any]) -> Intervals:
        """Some of them, by a mask or by places."""
        return Intervals(*(column[which] for column in self._columns()))

    def followed_by(self, more: Intervals) -> Intervals:
        """These, then others."""
        if not len(self):
            return more
        pairs = zip(self._columns(), more._columns(), strict=True)
        return Intervals(*(np.concatenate(pair) for pair in pairs))

    def only_actual(self) -> Intervals:
        """Those that were measured."""
        return self if self.actual.all() else self.take(self.actual)

    def holding(self) -> Intervals:
        """By start; of each start, length and meter the one that holds.

        An actual one before an estimate, then the newest version; the energy decides between
        equals, so that the order of arrival never does.
        """
        if (self.start_us[1:] > self.start_us[:-1]).all():
            return self
        key = (self.meter, self.minutes, self.start_us)
        ordered = self.take(np.lexsort((self.wh, self.version, self.actual, *key)))
        key = (ordered.meter, ordered.minutes, ordered.start_us)
        changes = np.logical_or.reduce([column[1:] != column[:-1] for column in key])
        return ordered.take(np.append(changes, True))

    def one(self, place: int) -> Interval:
        """A single one."""
        return Interval(
            instant(int(self.start_us[place])),
            int(self.minutes[place]),
            int(self.wh[place]),
            Quality(int(self.actual[place])),
            int(self.version[place]),
            int(self.meter[place]),
        )

    def _columns(self) -> list[NDArray[Any]]:
        return [getattr(self, column.name) for column in fields(self)]


def intervals_of(singles: Iterable[Interval]) -> Intervals:
    """Single intervals as columns."""
    rows = [
        (microseconds(i.start), i.minutes, i.wh, i.quality, i.version, i.meter) for i in singles
    ]
    start_us, minutes, wh, quality, version, meter = np.array(rows, np.int64).reshape(-1, 6).T
    return Intervals(start_us, minutes, wh, quality > 0, version, meter)


def measured(start_us: Ints, minutes: Ints, wh: Ints, actual: Flags) -> Intervals:
    """Intervals of one meter as they were first seen."""
    none = np.zeros(len(start_us), np.int64)
    return Intervals(start_us, minutes, wh, actual, none, none)


NONE: Final = intervals_of(())


def microseconds(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def instant(us: int) -> datetime:
    """The inverse, in UTC."""
    return _EPOCH + timedelta(microseconds=us)
