"""The mesh: which way the readings travel now, and which way they travelled at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api import views
from headend.api.fields import Instant
from headend.api.routes.gateways import NODES_MAX, read_topology
from headend.api.routes.meters import span
from headend.api.routes.outages import read_topology_at
from headend.api.services import Caller, Parts
from headend.web.mesh import as_of, draw, moved
from headend.web.render import render

router = APIRouter(include_in_schema=False)
GATEWAYS: Final = 50
BACK_MIN: Final = 24 * 60
"""How far the slider reaches, minutes; an address with `at` reaches as far as routes are kept."""


@router.get("/mesh")
async def mesh(
    request: Request,
    parts: Parts,
    who: Caller,
    at: Instant | None = None,
    back: Annotated[int | None, Query(ge=0, le=BACK_MIN)] = None,
) -> Response:
    """Which way do the readings travel, then and now?

    `back`, minutes ago, is what the slider sends; it leads to `at`, an address that can be shared.
    """
    now = parts.now()
    if back is not None:
        return RedirectResponse(_address(now - timedelta(minutes=back)) if back else "/mesh", 303)
    topology = shown = await read_topology(parts, who)
    if at is not None:
        shown = as_of(topology, await read_topology_at(parts, who, at, NODES_MAX), at)
    gateways = await parts.rows(who.tenant_id, "gateways", **span(), limit=GATEWAYS)
    return render(
        request,
        "mesh.html",
        topology=shown,
        picture=draw(shown),
        gateways=[views.Gateway(**row) for row in gateways],
        at=at,
        others=moved(topology, shown),
        back=min((now - at) // timedelta(minutes=1), BACK_MIN) if at else 0,
        back_max=BACK_MIN,
    )


def _address(at: datetime) -> str:
    return f"/mesh?at={at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
