"""A meter's validated intervals, their versions and totals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import vee_views
from headend.api.answers import Pager, documented
from headend.api.etags import closed_periods
from headend.api.export.lists import also_as_files
from headend.api.fields import FIRST_INSTANT, LAST_INSTANT, Channel, Instant, PathId, is_id
from headend.api.problems import not_found
from headend.api.services import BILLED_CHANNEL, Caller, Parts
from headend.api.services import SQL as API_SQL
from headend.store.plan import Plan, Queries
from headend.vee.model import Check, Method
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Row

router = APIRouter(tags=["vee"])
SQL = Queries("headend.api", "vee.sql")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLAGS = {flags: [f.name.lower() for f in Quality(flags) if f.name] for flags in range(64)}


class IntervalQuery(BaseModel):
    """Which intervals: those with an END in (`period_from`, `period_to`], RFC 3339 with a zone.

    That is the same as a START in [`period_from`, `period_to`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    period_from: Instant | None = None
    period_to: Instant | None = None
    channel: Annotated[list[Channel], Field(max_length=50)] = [BILLED_CHANNEL]
    page_size: Annotated[int, Field(ge=1, le=10_000)] = 1000
    cursor: Annotated[str, Field(max_length=512)] | None = None
    format: Literal["json", "csv", "xlsx"] | None = None
    """`Accept` says it too."""


class TotalQuery(IntervalQuery):
    """Which totals: those that begin in [`period_from`, `period_to`)."""

    by: Literal["hour", "day", "month"] = "day"


def check_names(failed: int) -> list[str]:
    """The rules whose bits are set, as the API writes them."""
    return [check.name.lower() for check in Check if failed >> check & 1]


def _interval(row: Row) -> vee_views.Interval:
    shown = {name: row[name] for name in vee_views.Interval.__struct_fields__}
    shown["quality"] = _FLAGS[row["quality"]]
    shown["failed"] = check_names(row["failed"])
    shown["method"] = Method(row["method"]).name.lower()
    return vee_views.Interval(**shown)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _pages(
    name: str, request: Request, parts: Parts, *, who: Principal, meter: str, query: IntervalQuery
) -> tuple[Pager, tuple[int, int, int]]:
    """The pager of a list, and what it goes on behind: END, channel, version."""
    scope = {
        "list": name,
        "tenant": who.tenant_id,
        "meter": meter,
        **query.model_dump(mode="json", exclude={"page_size", "cursor", "format"}),
    }
    pager = Pager(request, parts.cursors, scope, query)
    first = (_micros(query.period_from or FIRST_INSTANT), -1, -1)
    return pager, pager.behind(tuple[int, int, int], first)


def _key(row: Row) -> tuple[int, int, int]:
    return _micros(row.get("time") or row["begin"]), row["number"], row.get("version", 0)


def _list(
    who: Principal,
    meter: str,
    query: IntervalQuery,
    *,
    name: str,
    after: tuple[int, int, int],
    limit: int,
) -> Plan[list[Row]]:
    found = yield API_SQL(
        "find_meter_id", tenant_id=who.tenant_id, name=meter if is_id(meter) else ""
    )
    if not found:
        raise not_found("meter", meter)
    known = yield API_SQL("channels")
    wanted = set(query.channel)
    more = {"zone": found[0]["zone"]} if name.startswith("totals") else {}
    if name == "versions":
        more = {"after_version": after[2]}
    return (
        yield SQL(
            name,
            tenant_id=who.tenant_id,
            meter_id=found[0]["id"],
            channels=[row["id"] for row in known if row["name"] in wanted],
            from_ts=query.period_from or FIRST_INSTANT,
            to_ts=query.period_to or LAST_INSTANT,
            after_ts=_EPOCH + timedelta(microseconds=after[0]),
            after_channel=after[1],
            limit=limit,
            **more,
        )
    )


@router.get(
    "/v1/meters/{meter}/intervals",
    responses=documented("IntervalPage", files=True, kept=True),
)
@closed_periods
@also_as_files(vee_views.Interval)
async def list_intervals(
    request: Request,
    parts: Parts,
    who: Caller,
    meter: PathId,
    query: Annotated[IntervalQuery, Query()],
) -> Response:
    """List a meter's validated intervals, by END and then channel.

    The raw readings that they were made from stay at `/v1/meters/{meter}/readings`.
    """
    pager, after = _pages("intervals", request, parts, who=who, meter=meter, query=query)
    plan = _list(who, meter, query, name="intervals", after=after, limit=pager.limit)
    return pager.page(await parts.store.run(who.tenant_id, plan), _interval, _key)


@router.get(
    "/v1/meters/{meter}/interval-versions",
    responses=documented("IntervalPage", files=True, kept=True),
)
@closed_periods
@also_as_files(vee_views.Interval)
async def list_interval_versions(
    request: Request,
    parts: Parts,
    who: Caller,
    meter: PathId,
    query: Annotated[IntervalQuery, Query()],
) -> Response:
    """List every version of a meter's intervals, the oldest of each first.

    `replaced_at` is null for the version that counts now.
    """
    pager, after = _pages("versions", request, parts, who=who, meter=meter, query=query)
    plan = _list(who, meter, query, name="versions", after=after, limit=pager.limit)
    return pager.page(await parts.store.run(who.tenant_id, plan), _interval, _key)


@router.get(
    "/v1/meters/{meter}/interval-totals",
    responses=documented("IntervalTotalPage", files=True, kept=True),
)
@closed_periods
@also_as_files(vee_views.IntervalTotal)
async def list_interval_totals(
    request: Request,
    parts: Parts,
    who: Caller,
    meter: PathId,
    query: Annotated[TotalQuery, Query()],
) -> Response:
    """List a meter's intervals added up by local hour, day or month of its service point."""
    pager, after = _pages("totals", request, parts, who=who, meter=meter, query=query)
    name = f"totals_{query.by}"
    plan = _list(who, meter, query, name=name, after=after, limit=pager.limit)
    return pager.page(await parts.store.run(who.tenant_id, plan), _total, _key)


def _total(row: Row) -> vee_views.IntervalTotal:
    return vee_views.IntervalTotal(
        **{name: row[name] for name in vee_views.IntervalTotal.__struct_fields__}
    )
