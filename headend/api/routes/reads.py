"""Read success of closed days: whose fault is each missing interval."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import reads_views
from headend.api.answers import Pager, answer, documented
from headend.api.fields import YEAR_MIN, Id, PageQuery
from headend.api.problems import invalid
from headend.api.services import Caller, Parts
from headend.readsuccess import report
from headend.readsuccess.definition import CHANNEL
from headend.readsuccess.report import SQL, Period

if TYPE_CHECKING:
    from headend.store.plan import Plan, Row

router = APIRouter(prefix="/v1/reports", tags=["reports"])
DAYS_MAX = 400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Day = Annotated[date, Field(ge=date(YEAR_MIN, 1, 1), le=date(2999, 12, 31))]


class DaysQuery(BaseModel):
    """The days, both included; without them the last closed week."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: Day | None = None
    last: Day | None = None
    worst: Annotated[int, Field(ge=0, le=1000)] = 20


class GapQuery(BaseModel):
    """Filters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cause: (
        Literal["meter", "hop", "gateway", "broker", "ingest", "quarantine", "rejected"] | None
    ) = None
    meter: Id | None = None
    gateway: Id | None = None
    page_size: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(max_length=512)] | None = None


class MissQuery(GapQuery):
    """The days as above, and filters."""

    first: Day | None = None
    last: Day | None = None


def period(tenant: int, first: date | None, last: date | None, today: date) -> Plan[Period]:
    """The days that are asked for. Raises Problem(invalid)."""
    end = last or (yield from report.newest_day(tenant)) or today
    begin = first or end - timedelta(days=6)
    if not 0 <= (end - begin).days < DAYS_MAX:
        raise invalid("/query/first", f"from 1 to {DAYS_MAX} days, the first before the last")
    return Period(begin, end)


@router.get("/read-success/days", responses=documented("ReadDays"))
async def read_success_days(
    parts: Parts, who: Caller, query: Annotated[DaysQuery, Query()]
) -> Response:
    """Read success by day, with causes, gateways, hops, the worst meters, and two lines to meet.

    A day is closed five hours after it has ended; what was read by then is on time.
    """
    found = await parts.store.run(who.tenant_id, _days(who.tenant_id, query, parts.now()))
    return answer(msgspec.convert(found, reads_views.ReadDays))


def _days(tenant: int, query: DaysQuery, now: datetime) -> Plan[dict[str, Any]]:
    days = yield from period(tenant, query.first, query.last, now.date())
    return (yield from report.report(tenant, days, query.worst))


@router.get("/read-success/misses", responses=documented("ReadMissPage"))
async def list_read_misses(
    request: Request, parts: Parts, who: Caller, query: Annotated[MissQuery, Query()]
) -> Response:
    """List what was not read on time, with the cause of each, by time."""
    scope = {
        "list": "misses",
        "tenant": who.tenant_id,
        **query.model_dump(mode="json", exclude={"page_size", "cursor"}),
    }
    pager = Pager(request, parts.cursors, scope, query)
    after = pager.behind(tuple[int, int], (0, -1))
    rows = await parts.store.run(
        who.tenant_id, _misses(who.tenant_id, query, after, pager.limit, parts.now())
    )
    return pager.page(rows, _miss, _key)


@router.get("/read-success/gaps", responses=documented("ReadGapPage"))
async def list_read_gaps(
    request: Request, parts: Parts, who: Caller, query: Annotated[GapQuery, Query()]
) -> Response:
    """List what is missing now, with the cause as far as known, by time.

    An interval is listed within 15 minutes of its END and taken off when it has come.
    """
    filters = query.model_dump(mode="json", exclude={"page_size", "cursor"})
    scope = {"list": "gaps", "tenant": who.tenant_id, **filters}
    pager = Pager(request, parts.cursors, scope, query)
    after = pager.behind(tuple[int, int], (0, -1))
    place = (_EPOCH + timedelta(microseconds=after[0]), after[1])
    rows = await parts.store.run(
        who.tenant_id, report.gaps(who.tenant_id, place, pager.limit, **filters)
    )
    return pager.page(rows, _gap, _key)


def _gap(row: Row) -> reads_views.ReadGap:
    return reads_views.ReadGap(
        **{name: row[name] for name in reads_views.ReadGap.__struct_fields__}
    )


@router.get("/read-success/overdue", responses=documented("OverdueMeterPage"))
async def list_overdue(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List meters whose next interval should have come by now, by name.

    What is missing inside a series too, and why: `/v1/reports/read-success/gaps`.
    """
    scope = query.scope("overdue", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], ("",))
    rows = await parts.store.run(
        who.tenant_id, _overdue(who.tenant_id, after, pager.limit, parts.now())
    )
    return pager.page(rows, _late, lambda row: (row["meter"],))


def _overdue(tenant: int, after: str, limit: int, now: datetime) -> Plan[list[Row]]:
    which = {"tenant_id": tenant, "name": CHANNEL, "now": now}
    return (yield SQL("overdue", **which, after=after, limit=limit))


def _late(row: Row) -> reads_views.OverdueMeter:
    return reads_views.OverdueMeter(
        **{name: row[name] for name in reads_views.OverdueMeter.__struct_fields__}
    )


def _misses(
    tenant: int, query: MissQuery, after: tuple[int, int], limit: int, now: datetime
) -> Plan[list[Row]]:
    days = yield from period(tenant, query.first, query.last, now.date())
    return (
        yield SQL(
            "misses",
            tenant_id=tenant,
            first=days.first,
            last=days.last,
            cause=query.cause,
            meter=query.meter,
            gateway=query.gateway,
            after_ts=_EPOCH + timedelta(microseconds=after[0]),
            after_meter=after[1],
            limit=limit,
        )
    )


def _miss(row: Row) -> reads_views.ReadMiss:
    return reads_views.ReadMiss(
        **{name: row[name] for name in reads_views.ReadMiss.__struct_fields__}
    )


def _key(row: Row) -> tuple[int, int]:
    return (row["period_from"] - _EPOCH) // timedelta(microseconds=1), row["number"]
