"""The pages of those who keep it running: which box needs a visit, did the order arrive."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from headend.api import views
from headend.api.fields import Id
from headend.api.routes import commands as command_routes
from headend.api.routes.meters import span
from headend.api.services import Caller, Parts
from headend.web.render import render
from ohmesh.model.command import CommandState

router = APIRouter(include_in_schema=False)
ROWS: Final = 100


@router.get("/gateways")
async def gateways_page(request: Request, parts: Parts, who: Caller, after: str = "") -> Response:
    """Which box needs a visit?"""
    rows = await parts.rows(who.tenant_id, "gateways", **span(after=after[:64]), limit=ROWS + 1)
    found = [views.Gateway(**row) for row in rows[:ROWS]]
    return render(
        request,
        "gateways.html",
        gateways=sorted(found, key=lambda one: (one.state == "online", one.gateway)),
        offline=sum(one.state != "online" for one in found),
        more=found[-1].gateway if len(rows) > ROWS else None,
    )


@router.get("/commands")
async def commands_page(
    request: Request,
    parts: Parts,
    who: Caller,
    state: CommandState | None = None,
    meter: Annotated[Id | None, Query()] = None,
) -> Response:
    """Did the order arrive, and how do we know?"""
    rows = await command_routes.find_commands(parts, who, limit=ROWS, meter=meter, state=state)
    return render(
        request,
        "commands.html",
        commands=[command_routes.command_view(row) for row in rows],
        states=list(CommandState),
        state=state,
        meter=meter,
        rows_max=ROWS,
    )
