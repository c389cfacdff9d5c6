"""What the API answers about validated intervals; see `views` for the manner."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from headend.api.views import Instant, View


class Interval(View, frozen=True):
    """One interval: `value` x 10^`scaler` in `unit` over the `length_s` seconds before `time`.

    `time` is its END. `quality` lists flags, none for a measured value; `failed` the rules that it
    failed; `method` how the value was made; `version` rises with every change of it; `author` is
    the person who changed it, null for validation itself.
    """

    channel: str
    time: Instant
    length_s: int
    value: int
    scaler: int
    unit: str
    quality: list[str]
    failed: list[str]
    method: str
    version: int
    made_at: Instant
    author: str | None
    replaced_at: Instant | None = None


class IntervalTotal(View, frozen=True):
    """The intervals of one local hour, day or month, added up.

    `begin` is its first instant, `day` its local date (of a month the first). `measured` counts the
    intervals that are neither estimated nor edited, `most` is the highest of them all.
    """

    channel: str
    begin: Instant
    day: date
    total: int
    scaler: int
    unit: str
    intervals: int
    measured: int
    most: int


class UsageDay(View, frozen=True):
    """The validated intervals of all meters on one local day, added up.

    `meters` counts those that have an interval of the day, `measured` the intervals that are
    neither estimated nor edited.
    """

    channel: str
    day: date
    meters: int
    total: int
    scaler: int
    unit: str
    intervals: int
    measured: int


class VeeException(View, frozen=True):
    """What validation found wrong with the intervals with ENDs in (`period_from`, `period_to`].

    `found` is the value that failed and `allowed` what would have passed, where there is one.
    `state`: open, accepted or edited by `settled_by`, or gone: later data settled it.
    """

    id: int
    meter: str
    channel: str
    rule: str
    period_from: Instant
    period_to: Instant
    found: int | None
    allowed: int | None
    state: str
    found_at: Instant
    settled_at: Instant | None
    settled_by: str | None


class IntervalEdit(View, frozen=True):
    """What somebody wants done with intervals; `state` is asked, done or refused (see `detail`).

    `intervals` counts what it changed: intervals, or exceptions for `accept`.
    """

    id: UUID
    meter: str
    channel: str
    kind: str
    period_from: Instant
    period_to: Instant
    values: list[int] | None
    reason: str
    author: str
    asked_at: Instant
    state: str
    intervals: int
    detail: str
    done_at: Instant | None


class MeterSwap(View, frozen=True):
    """The exchange of a meter: where the old register ended and the new one began."""

    meter: str
    channel: str
    at: Instant
    old_close: int
    new_open: int


PAGED = (Interval, IntervalTotal, UsageDay, VeeException, IntervalEdit, MeterSwap)
KINDS = PAGED
