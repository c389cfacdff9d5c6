"""Gateways, the mesh as they report it, and what could not be understood."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import views
from headend.api.answers import Pager, accepted, answer, documented
from headend.api.export.lists import also_as_files
from headend.api.fields import Body, Id, Instant, Metres, PageQuery, PathId, Word, is_id
from headend.api.problems import not_found
from headend.api.routes.meters import span
from headend.api.routes.outages import read_topology_at
from headend.api.services import BILLED_CHANNEL, SQL, Caller, Parts
from headend.service.fleet import NewGateway, register_gateway
from ohmesh.model.ids import gateway_id

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.api.services import Services
    from headend.store.plan import Plan, Row

router = APIRouter(prefix="/v1", tags=["gateways"])
NODES_MAX = 20_000


class TopologyQuery(BaseModel):
    """When; without it now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: Instant | None = None


class RegisterGateway(Body):
    """A gateway to make known; from then on its batches are taken. `node`: its mesh number."""

    gateway: Id
    node: Annotated[int, Field(strict=True, ge=0, lt=2**32)] | None = None
    x_m: Metres | None = None
    y_m: Metres | None = None


class QuarantineQuery(PageQuery):
    """Filters of the quarantine; by default what is not resolved."""

    reason: Word | None = None
    resolved: bool | None = False


async def find_gateway(parts: Services, who: Principal, name: str) -> Row:
    """A gateway's row of the query `gateways`. Raises Problem(not-found)."""
    if not is_id(name):
        raise not_found("gateway", name)
    rows = await parts.rows(who.tenant_id, "gateways", **span(name), limit=1)
    if not rows:
        raise not_found("gateway", name)
    return rows[0]


@router.get("/gateways", responses=documented("GatewayPage", files=True))
@also_as_files(views.Gateway)
async def list_gateways(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List gateways in the order of their ids."""
    scope = query.scope("gateways", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], (None,))
    rows = await parts.rows(who.tenant_id, "gateways", **span(after=after), limit=pager.limit)
    return pager.page(rows, lambda row: views.Gateway(**row), lambda row: (row["gateway"],))


@router.post(
    "/gateways",
    status_code=201,
    responses=documented("Gateway", created=201),
    name="register_gateway",
)
async def register(parts: Parts, who: Caller, body: RegisterGateway) -> Response:
    """Register a gateway. The same content again changes nothing and answers 200."""
    known = await parts.rows(who.tenant_id, "gateways", **span(body.gateway), limit=1)
    gateway = NewGateway(gateway_id(body.gateway), body.node, body.x_m, body.y_m)
    await parts.store.run(who.tenant_id, register_gateway(who.tenant_id, gateway))
    row = await find_gateway(parts, who, body.gateway)
    return accepted(views.Gateway(**row), replayed=bool(known))


@router.get("/gateways/{gateway}", responses=documented("Gateway"))
async def get_gateway(parts: Parts, who: Caller, gateway: PathId) -> Response:
    """One gateway."""
    return answer(views.Gateway(**await find_gateway(parts, who, gateway)))


async def read_topology(parts: Services, who: Principal) -> views.Topology:
    """The mesh as last reported, at most NODES_MAX nodes."""
    rows = await parts.store.run(who.tenant_id, _topology(who.tenant_id))
    newest = max((row["newest"] for row in rows if row["newest"]), default=None)
    reported = [row["reported_at"] for row in rows if row["reported_at"]]
    return views.Topology([_node(row, newest) for row in rows], max(reported, default=None))


def _topology(tenant_id: int) -> Plan[list[Row]]:
    channels = yield SQL("channels")
    billed = [row["id"] for row in channels if row["name"] == BILLED_CHANNEL]
    return (yield SQL("topology", tenant_id=tenant_id, channels=billed, limit=NODES_MAX))


def _node(row: Row, newest: datetime | None) -> views.Node:
    own, interval_s = row.pop("newest"), row.pop("interval_s")
    behind = None
    if own is not None and newest is not None:
        behind = (newest - own) // timedelta(seconds=interval_s)
    return views.Node(**row, behind=behind)


@router.get("/topology", responses=documented("Topology"))
async def get_topology(
    parts: Parts, who: Caller, query: Annotated[TopologyQuery, Query()]
) -> Response:
    """The mesh: every node with its position, first parent, hop count and link quality.

    With `at` as it was reported then, from the routes that the store keeps through time.
    """
    if query.at is not None:
        return answer(await read_topology_at(parts, who, query.at, NODES_MAX))
    return answer(await read_topology(parts, who))


@router.get("/quarantine", tags=["quarantine"], responses=documented("QuarantinedPage", files=True))
@also_as_files(views.Quarantined)
async def list_quarantine(
    request: Request, parts: Parts, who: Caller, query: Annotated[QuarantineQuery, Query()]
) -> Response:
    """List telegrams that gave no readings, newest first, with the reason.

    They are decoded again when the meter is registered or its profile mended.
    """
    scope = query.scope("quarantine", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (before,) = pager.behind(tuple[int], (None,))
    rows = await parts.rows(
        who.tenant_id,
        "quarantine",
        before=before,
        reason=query.reason,
        resolved=query.resolved,
        limit=pager.limit,
    )
    return pager.page(rows, lambda row: views.Quarantined(**row), lambda row: (row["id"],))
