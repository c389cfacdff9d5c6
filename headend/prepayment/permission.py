"""May supply be cut now? Pure: facts and `now` in, an answer with its reason out.

The clock is the head-end's in the zone of the service point, never the meter's. Reasons stand in
a fixed order, and any doubt keeps supply on: an empty pack, a missing temperature, a year without
holiday data, a notice that nobody accepted.

`next_permitted` is when time alone will open the way: found by stepping from edge to edge of the
pack's hours, not by minutes. It is None where time is no remedy (an exemption, stale data, the
breaker, the temperature).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from headend.prepayment.rules import RulePack

HORIZON_DAYS = 400
"""How far ahead an open hour is looked for; no pack is closed longer."""


@dataclass(frozen=True, slots=True)
class PermissionContext:
    """What is known of one contract.

    Attributes:
        zone: of the service point.
        flags: reasons for protection, such as `medical_dependency`.
        exempt: an operator's written exemption.
        grace_until: end of the grace after a migration.
        notice_minutes: between the accepted notice and a cut; None: no notice is needed.
        notice_at: when the gateway accepted the notice; None: not yet.
        data_at: END of the newest actual reading; None with `stale_after`: never.
        stale_after: how old it may be; None: age does not matter.
        temperature_dc: forecast in tenths of a degree Celsius; None: no feed.
        debt_mu: how far the wallet is below its floor.
        breaker_open: whether all cuts are stopped.
        cut_limit_until: the day's cuts are used up until then.
    """

    zone: ZoneInfo
    flags: frozenset[str] = frozenset()
    exempt: bool = False
    grace_until: datetime | None = None
    notice_minutes: int | None = None
    notice_at: datetime | None = None
    data_at: datetime | None = None
    stale_after: timedelta | None = None
    temperature_dc: int | None = None
    debt_mu: int = 0
    breaker_open: bool = False
    cut_limit_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Permission:
    """The answer; `reason` and `next_permitted` (UTC) only where it is no."""

    ok: bool
    reason: str | None = None
    next_permitted: datetime | None = None


def may_disconnect(now: datetime, pack: RulePack, context: PermissionContext) -> Permission:
    """Whether an automatic disconnection is allowed at `now`, UTC."""
    local = now.astimezone(context.zone)
    for reason, forbids, time_heals in _reasons(now, local, pack, context):
        if forbids:
            after = _next(now, pack, context) if time_heals else None
            return Permission(ok=False, reason=reason, next_permitted=after)
    return Permission(ok=True)


def _reasons(
    now: datetime, local: datetime, pack: RulePack, context: PermissionContext
) -> Iterable[tuple[str, bool, bool]]:
    """(reason, whether it forbids, whether time heals it), in the order in which they are told."""
    c = context
    closed = pack.closed(local)
    heat = pack.temperature
    yield "exempt", c.exempt, False
    yield "vulnerable", pack.protects(c.flags, local.date()), False
    yield "grace", c.grace_until is not None and now < c.grace_until, True
    yield "moratorium", closed == "moratorium", True
    yield "temperature", heat is not None and heat.forbids(c.temperature_dc), False
    yield closed or "open", closed is not None, True
    yield "minimum_debt", c.debt_mu < pack.minimum_debt_mu, False
    yield "notice", not _noticed(now, c), c.notice_at is not None
    yield "stale_data", _stale(now, c), False
    yield "breaker", c.breaker_open, False
    yield "cut_limit", c.cut_limit_until is not None and now < c.cut_limit_until, True


def _noticed(now: datetime, context: PermissionContext) -> bool:
    if context.notice_minutes is None:
        return True
    ready = _notice_ready(context)
    return ready is not None and now >= ready


def _notice_ready(context: PermissionContext) -> datetime | None:
    if context.notice_at is None or context.notice_minutes is None:
        return None
    return context.notice_at + timedelta(minutes=context.notice_minutes)


def _stale(now: datetime, context: PermissionContext) -> bool:
    if context.stale_after is None:
        return False
    return context.data_at is None or now - context.data_at > context.stale_after


def _next(now: datetime, pack: RulePack, context: PermissionContext) -> datetime | None:
    """When hours, grace, notice and the day's limit all let it be."""
    waits = (context.grace_until, _notice_ready(context), context.cut_limit_until)
    return next_open(pack, context.zone, max([now, *(t for t in waits if t is not None)]))


@lru_cache(maxsize=4096)
def next_open(pack: RulePack, zone: ZoneInfo, at: datetime) -> datetime | None:
    """The first instant from `at` on, UTC, at which the hours are open; None: not in sight."""
    for instant in _instants(pack, zone, at):
        if pack.closed(instant.astimezone(zone)) is None:
            return instant
    return None


@lru_cache(maxsize=4096)
def next_closed(pack: RulePack, zone: ZoneInfo, at: datetime) -> datetime | None:
    """The first instant after `at` at which they are closed: a disconnection's last moment."""
    for instant in _instants(pack, zone, at):
        if pack.closed(instant.astimezone(zone)) is not None:
            return instant
    return None


def _instants(pack: RulePack, zone: ZoneInfo, at: datetime) -> Iterable[datetime]:
    """`at`, then every instant at which the answer may change, rising."""
    yield at
    first_day = at.astimezone(zone).date()
    for offset in range(HORIZON_DAYS):
        day = first_day + timedelta(days=offset)
        yield from (i for i in _edges_of_day(pack, zone, day) if i > at)


def _edges_of_day(pack: RulePack, zone: ZoneInfo, day: date) -> list[datetime]:
    """The edges of a local day in UTC; on a day of a clock change every quarter of an hour too."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    tomorrow = day + timedelta(days=1)
    end = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone).astimezone(UTC)
    if end - midnight != timedelta(days=1):
        quarters = (end - midnight) // timedelta(minutes=15)
        return [midnight + timedelta(minutes=15 * n) for n in range(quarters)]
    return [midnight + timedelta(minutes=m) for m in pack.edges if m < 1440]
