"""What the API answers about read success; see `views` for the manner."""

from __future__ import annotations

from datetime import date

from headend.api.views import Instant, View


class ReadLine(View, frozen=True):
    """A line that every day should stay above, and the days that did not."""

    limit_ppm: int
    met: bool
    below: list[date]


class FailingComponent(View, frozen=True):
    """A gateway, relay or meter that caused misses on so many days running."""

    kind: str
    component: str
    days: int


class ReadDay(View, frozen=True):
    """One day: what was expected, read on time, and stored by now; what was missed, by cause."""

    day: date
    meters: int
    expected: int
    on_time: int
    stored: int
    on_time_ppm: int | None
    causes: dict[str, int]


class GatewayReads(View, frozen=True):
    """The same of the meters that were at home at a gateway; null: meters with their own modem."""

    gateway: str | None
    meters: int
    expected: int
    on_time: int
    stored: int
    on_time_ppm: int | None


class HopReads(View, frozen=True):
    """What was missed of meters so many hops away; null: not known."""

    hops: int | None
    meters: int
    missed: int


class WorstReads(View, frozen=True):
    """A meter that missed intervals."""

    meter: str
    expected: int
    on_time: int
    stored: int


class ReadDays(View, frozen=True):
    """Read success of closed days (`docs/read-success.md`), both days included.

    `on_time_ppm` is on_time / expected in millionths, null when nothing was expected. `lines` are
    98.0 % (Ontario) and 99.8 %, to be met on every day.
    """

    period_from: date
    period_to: date
    deadline_h: int
    meters: int
    expected: int
    on_time: int
    stored: int
    on_time_ppm: int | None
    stored_ppm: int | None
    lines: list[ReadLine]
    failing: list[FailingComponent]
    causes: dict[str, int]
    days: list[ReadDay]
    gateways: list[GatewayReads]
    hops: list[HopReads]
    worst: list[WorstReads]


class ReadMiss(View, frozen=True):
    """Neighbouring intervals that were not read on time, with ENDs in (`period_from`, `period_to`].

    `cause` is whose fault it is; `gateway` where the meter was at home and `node` the relay, when
    that is the cause. `late` of the `intervals` have come since.
    """

    meter: str
    day: date
    period_from: Instant
    period_to: Instant
    intervals: int
    late: int
    cause: str
    gateway: str | None
    node: int | None


class ReadGap(View, frozen=True):
    """Neighbouring intervals that are missing now, with ENDs in (`period_from`, `period_to`].

    `cause` is whose fault it is as far as known, with `gateway` and `node` as in `ReadMiss`.
    It was listed at `listed_at`, grows while it goes on, and is gone when its readings have come.
    """

    meter: str
    period_from: Instant
    period_to: Instant
    intervals: int
    cause: str
    gateway: str | None
    node: int | None
    listed_at: Instant


class OverdueMeter(View, frozen=True):
    """A meter whose next interval is due for a quarter of an hour and longer, at `clock`.

    `clock` is the newest interval of the utility; `missing` counts the intervals since `last`.
    """

    meter: str
    last: Instant
    interval_s: int
    gateway: str | None
    clock: Instant
    missing: int


PAGED = (ReadMiss, ReadGap, OverdueMeter)
KINDS = (*PAGED, ReadDays)
