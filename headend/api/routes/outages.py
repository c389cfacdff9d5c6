"""Alarms of outages, what service points hang on, and routes through time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from headend.api import outage_views, views
from headend.api.answers import Pager, answer, documented
from headend.api.fields import Body, Id, PageQuery, PathId, Text, is_id
from headend.api.problems import not_found
from headend.api.services import SQL as API_SQL
from headend.api.services import Caller, Parts
from headend.store.plan import Plan, Queries, single
from ohmesh.model.errors import Conflict

if TYPE_CHECKING:
    from headend.api.services import Services
    from headend.security.roles import Principal
    from headend.store.plan import Row

router = APIRouter(prefix="/v1", tags=["outages"])
SQL = Queries("headend.api", "outages.sql")
AlarmNumber = Annotated[int, Path(ge=1, lt=2**63)]


class AlarmQuery(PageQuery):
    """Filters of the list of alarms."""

    id: Annotated[int, Query(ge=1, lt=2**63)] | None = None
    state: Literal["open", "acknowledged", "closed"] | None = None


class ServicePointQuery(PageQuery):
    """Filters of the list of service points."""

    transformer: Id | None = None
    feeder: Id | None = None


class Deed(Body):
    """A word about it."""

    note: Text = "-"


class Connection(Body):
    """What a service point hangs on; null: not known."""

    transformer: Id | None = None
    feeder: Id | None = None


@router.get("/alarms", responses=documented("AlarmPage"))
async def list_alarms(
    request: Request, parts: Parts, who: Caller, query: Annotated[AlarmQuery, Query()]
) -> Response:
    """List alarms, newest first."""
    scope = query.scope("alarms", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (before,) = pager.behind(tuple[int], (None,))
    plan = _alarms(who, pager.limit, one=query.id, state=query.state, before=before)
    rows = await parts.store.run(who.tenant_id, plan)
    return pager.page(rows, lambda row: outage_views.Alarm(**row), lambda row: (row["alarm"],))


def _alarms(
    who: Principal,
    limit: int,
    *,
    one: int | None = None,
    state: str | None = None,
    before: int | None = None,
) -> Plan[list[Row]]:
    return (
        yield SQL(
            "alarms", tenant_id=who.tenant_id, id=one, state=state, before=before, limit=limit
        )
    )


@router.post("/alarms/{alarm}/acknowledge", responses=documented("Alarm"), name="acknowledge_alarm")
async def acknowledge(parts: Parts, who: Caller, alarm: AlarmNumber, body: Deed) -> Response:
    """Say that somebody is at it. Once more changes nothing; a closed alarm is a conflict."""
    return await _do(parts, who, alarm, ("acknowledge", {"acknowledged"}, body.note))


@router.post("/alarms/{alarm}/close", responses=documented("Alarm"), name="close_alarm")
async def close(parts: Parts, who: Caller, alarm: AlarmNumber, body: Deed) -> Response:
    """End an alarm by hand; it ends by itself when its last meter is lit again."""
    return await _do(parts, who, alarm, ("close", {"closed"}, body.note))


async def _do(
    parts: Services, who: Principal, alarm: int, deed: tuple[str, set[str], str]
) -> Response:
    rows = await parts.store.run(who.tenant_id, _change(who, alarm, deed, parts.now()))
    return answer(outage_views.Alarm(**rows[0]))


def _change(
    who: Principal, alarm: int, deed: tuple[str, set[str], str], now: datetime
) -> Plan[list[Row]]:
    query, done, note = deed
    found = yield SQL("lock_alarm", tenant_id=who.tenant_id, id=alarm)
    if not found:
        raise not_found("alarm", str(alarm))
    state = found[0]["state"]
    if state == "closed" and state not in done:
        raise Conflict(f"the alarm {alarm} is closed")
    if state not in done:
        yield SQL(query, id=alarm, now=now, who=who.name, note=note)
    return (yield from _alarms(who, 1, one=alarm))


@router.get("/service-points", responses=documented("ServicePointPage"))
async def list_service_points(
    request: Request, parts: Parts, who: Caller, query: Annotated[ServicePointQuery, Query()]
) -> Response:
    """List service points in the order of their names."""
    scope = query.scope("service points", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], ("",))
    statement = SQL(
        "service_points",
        tenant_id=who.tenant_id,
        after=after,
        name=None,
        transformer=query.transformer,
        feeder=query.feeder,
        limit=pager.limit,
    )
    rows = await parts.store.run(who.tenant_id, single(statement))
    return pager.page(
        rows, lambda row: outage_views.ServicePoint(**row), lambda row: (row["service_point"],)
    )


@router.put(
    "/service-points/{service_point}",
    responses=documented("ServicePoint"),
    name="connect_service_point",
)
async def connect(parts: Parts, who: Caller, service_point: PathId, body: Connection) -> Response:
    """Say which transformer and feeder a service point hangs on: outages are located by them."""
    name = service_point if is_id(service_point) else ""
    rows = await parts.store.run(who.tenant_id, _connect(who, name, body))
    if not rows:
        raise not_found("service point", service_point)
    return answer(outage_views.ServicePoint(**rows[0]))


def _connect(who: Principal, name: str, body: Connection) -> Plan[list[Row]]:
    more = {"transformer": body.transformer, "feeder": body.feeder}
    if not (yield SQL("connect", tenant_id=who.tenant_id, name=name, **more)):
        return []
    none = {"transformer": None, "feeder": None}
    return (
        yield SQL("service_points", tenant_id=who.tenant_id, after="", name=name, limit=1, **none)
    )


@router.get("/meters/{meter}/routes", responses=documented("RouteChangePage"))
async def list_routes(
    request: Request, parts: Parts, who: Caller, meter: PathId, query: Annotated[PageQuery, Query()]
) -> Response:
    """List the ways that a meter's telegrams took to its gateway, newest first."""
    scope = query.scope("routes", tenant=who.tenant_id, meter=meter)
    pager = Pager(request, parts.cursors, scope, query)
    (before,) = pager.behind(tuple[datetime], (None,))
    rows = await parts.store.run(who.tenant_id, _routes(who, meter, before, pager.limit))
    return pager.page(
        rows, lambda row: outage_views.RouteChange(**row), lambda row: (row["since"],)
    )


def _routes(who: Principal, meter: str, before: datetime | None, limit: int) -> Plan[list[Row]]:
    name = meter if is_id(meter) else ""
    if not (yield API_SQL("find_meter_id", tenant_id=who.tenant_id, name=name)):
        raise not_found("meter", meter)
    return (yield SQL("routes", tenant_id=who.tenant_id, meter=name, before=before, limit=limit))


async def read_topology_at(
    parts: Services, who: Principal, at: datetime, limit: int
) -> views.Topology:
    """The mesh as it was reported at a time; what is known of a node only now is null."""
    statement = SQL("topology_at", tenant_id=who.tenant_id, at=at, limit=limit)
    rows = await parts.store.run(who.tenant_id, single(statement))
    reported = [row["reported_at"] for row in rows if row["reported_at"]]
    return views.Topology([views.Node(**row) for row in rows], max(reported, default=None))
