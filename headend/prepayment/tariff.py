"""Tariffs: effective-dated data, checked when it is loaded. Money is in mu, 1e-5 currency units.

A tariff in JSON (all fields but the first six have defaults):

    {"id": "home", "version": 1, "valid_from": "2026-01-01T00:00:00Z", "tz": "Europe/London",
     "block_upto_wh": [50000, null],
     "price_mu_per_kwh": {"day": [28000, 30000], "night": [9000, 9000]},
     "tou": [{"name": "night", "from": "00:30", "to": "05:30", "days": ["mon"], "holidays": "any"}],
     "tou_default": "day", "holidays": {"country": "GB", "subdivision": "ENG"},
     "fixed_mu_per_day": 53000, "tax": [{"code": "vat", "bp": 500, "on": ["energy", "fixed"]}],
     "block_basis": "consumption", "lifeline": {"free_wh": 50000, "exclusive": true},
     "subsidy": {"code": "state", "bp": 2500}, "interval_minutes": 30, "prorate": false}

Blocks count all periods together, from local midnight of day 1 to the next. The first window that
fits says the period; a window may wrap midnight and then belongs to the day on which it begins.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from headend.prepayment.calendars import WEEKDAYS, DayName, HolidayCalendar
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_BasisPoints: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
_Code: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_]{1,20}$")]
_Clock: TypeAlias = Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]


class Window(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}
):
    """A time-of-use window, half-open; `days` None: every day."""

    name: str
    start: _Clock
    end: _Clock
    days: frozenset[DayName] | None = None
    holidays: Literal["any", "only", "never"] = "any"

    @property
    def edges(self) -> tuple[int, int]:
        """Minutes after local midnight, 0..1440."""
        return _minutes(self.start), _minutes(self.end)

    def covers(self, local: datetime, calendar: HolidayCalendar) -> bool:
        """Whether a local wall-clock time lies in it."""
        start, end = self.edges
        minute = local.hour * 60 + local.minute
        if start < end:
            return start <= minute < end and self._on(local, calendar)
        if minute >= start:
            return self._on(local, calendar)
        return minute < end and self._on(local - timedelta(days=1), calendar)

    def _on(self, local: datetime, calendar: HolidayCalendar) -> bool:
        if self.days is not None and WEEKDAYS[local.weekday()] not in self.days:
            return False
        if self.holidays == "any":
            return True
        return calendar.is_holiday(local.date()) == (self.holidays == "only")


class Tax(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tax on the exact charges named in `on`; 100 bp are 1 %."""

    code: _Code
    bp: _BasisPoints
    on: tuple[Literal["energy", "fixed"], ...] = ("energy", "fixed")

    @property
    def component(self) -> str:
        """Name of its charge."""
        return f"tax:{self.code}"


class Subsidy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of the exact energy charge that somebody else pays."""

    code: _Code
    bp: Annotated[int, msgspec.Meta(ge=0, le=10_000)]

    @property
    def component(self) -> str:
        """Name of its credit."""
        return f"subsidy:{self.code}"


class Lifeline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Free energy of each month; `exclusive`: nothing is free once the limit is passed."""

    free_wh: Annotated[int, msgspec.Meta(gt=0)]
    exclusive: bool = False


class Block(msgspec.Struct, frozen=True):
    """A step of the price: up to `upto_wh` of the month (None: without end), prices by period."""

    upto_wh: int | None
    price_mu_per_kwh: dict[str, int]


class Tariff(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One version of a tariff; see the module for its fields."""

    id: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    valid_from: Annotated[datetime, msgspec.Meta(tz=True)]
    tz: str
    block_upto_wh: tuple[_Natural | None, ...]
    price_mu_per_kwh: dict[str, tuple[_Natural, ...]]
    tou: tuple[Window, ...] = ()
    tou_default: str | None = None
    holidays: HolidayCalendar = HolidayCalendar()
    fixed_mu_per_day: _Natural = 0
    tax: tuple[Tax, ...] = ()
    block_basis: Literal["consumption", "purchase"] = "consumption"
    lifeline: Lifeline | None = None
    subsidy: Subsidy | None = None
    interval_minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)] = 15
    prorate: bool = False

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ConfigError(f"tariff {self.id} version {self.version}: {problem}")

    def __hash__(self) -> int:
        return hash((self.id, self.version, self.valid_from))

    @cached_property
    def zone(self) -> ZoneInfo:
        """Where its days and months begin."""
        return ZoneInfo(self.tz)

    @cached_property
    def default_period(self) -> str:
        """The period outside all windows."""
        return self.tou_default or next(iter(self.price_mu_per_kwh))

    def period_at(self, local: datetime) -> str:
        """The period of a local wall-clock time."""
        fitting = (w.name for w in self.tou if w.covers(local, self.holidays))
        return next(fitting, self.default_period)

    def blocks(self, month_wh: int) -> tuple[Block, ...]:
        """The steps that hold in a month of `month_wh` altogether."""
        if self.lifeline is None:
            return self._blocks
        if not self.lifeline.exclusive:
            return self._lifeline_blocks
        return self._blocks if month_wh > self.lifeline.free_wh else self._free_blocks

    @cached_property
    def _blocks(self) -> tuple[Block, ...]:
        by_period = self.price_mu_per_kwh.items()
        return tuple(
            Block(upto, {period: prices[i] for period, prices in by_period})
            for i, upto in enumerate(self.block_upto_wh)
        )

    @cached_property
    def _lifeline_blocks(self) -> tuple[Block, ...]:
        assert self.lifeline is not None
        free = self.lifeline.free_wh
        above = tuple(b for b in self._blocks if b.upto_wh is None or b.upto_wh > free)
        return (Block(free, self._no_price), *above)

    @cached_property
    def _free_blocks(self) -> tuple[Block, ...]:
        return (Block(None, self._no_price),)

    @property
    def _no_price(self) -> dict[str, int]:
        return dict.fromkeys(self.price_mu_per_kwh, 0)

    def _problems(self) -> Iterable[str]:
        *edges, last = self.block_upto_wh or (0,)
        if last is not None or None in edges or not _rises([0, *(e or 0 for e in edges)]):
            yield "the blocks must rise and end with null"
        if not self.price_mu_per_kwh:
            yield "there is no price"
        if any(len(p) != len(self.block_upto_wh) for p in self.price_mu_per_kwh.values()):
            yield "each period needs one price a block"
        named = {w.name for w in self.tou} | ({self.tou_default} if self.tou_default else set())
        if unpriced := sorted(named - set(self.price_mu_per_kwh)):
            yield f"no price for {', '.join(unpriced)}"
        if len(self.price_mu_per_kwh) > 1 and self.tou_default is None:
            yield "tou_default is missing"
        if len({t.code for t in self.tax}) != len(self.tax):
            yield "a tax stands there twice"
        yield from self._clock_problems()

    def _clock_problems(self) -> Iterable[str]:
        try:
            ZoneInfo(self.tz)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield f"{self.tz!r} is no time zone"
        if self.valid_from.second or self.valid_from.microsecond:
            yield "valid_from must be a whole minute"
        for window in self.tou:
            if window.start == window.end:
                yield f"the window {window.name} is empty"
            if not self.prorate and any(e % self.interval_minutes for e in window.edges):
                yield f"the window {window.name} cuts intervals and prorate is not set"


def load_tariff(content: Mapping[str, Any]) -> Tariff:
    """A tariff from JSON values. Raises ConfigError with what is wrong, and where."""
    try:
        return msgspec.convert(content, Tariff)
    except msgspec.ValidationError as error:
        raise ConfigError(f"tariff: {error}") from error


def valid_at(versions: Iterable[Tariff], at: datetime) -> Tariff | None:
    """The version in force at an instant: the newest begun; None before the first."""
    begun = [t for t in versions if t.valid_from <= at]
    return max(begun, key=lambda t: (t.valid_from, t.version), default=None)


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _rises(values: list[int]) -> bool:
    return all(a < b for a, b in pairwise(values))
