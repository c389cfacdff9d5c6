"""Outages: which element failed, since when, how many homes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api.outage_views import Alarm
from headend.api.problems import invalid
from headend.api.routes import outages as routes
from headend.api.services import Caller, Parts
from headend.security.roles import Permission
from headend.web.deeds import note
from headend.web.render import render
from headend.web.sign_in import form_of
from headend.web.speech import mark

if TYPE_CHECKING:
    from headend.api.services import Services
    from headend.security.roles import Principal

router = APIRouter(include_in_schema=False)
ROWS: Final = 50
ELEMENTS: Final = {
    "feeder": mark("feeder"),
    "transformer": mark("transformer"),
    "gateway": mark("gateway"),
    "relay": mark("relay meter"),
    "meter": mark("meter"),
}


class _Page(msgspec.Struct):
    items: list[Alarm]


async def _alarms(request: Request, parts: Services, who: Principal, state: str) -> list[Alarm]:
    query = routes.AlarmQuery.model_validate({"state": state, "page_size": ROWS})
    response = await routes.list_alarms(request, parts, who, query)
    return msgspec.json.decode(response.body, type=_Page).items


@router.get("/outages")
async def outages_page(request: Request, parts: Parts, who: Caller) -> Response:
    """Which transformer failed, since when, how many homes?"""
    states = ("open", "acknowledged", "closed")
    alarms = {state: await _alarms(request, parts, who, state) for state in states}
    going = alarms["open"] + alarms["acknowledged"]
    return render(
        request,
        "outages.html",
        going=sorted(going, key=lambda alarm: -alarm.dark),
        over=alarms["closed"],
        dark=sum(alarm.dark for alarm in going),
        elements=ELEMENTS,
        acts=who.may(Permission.FLEET_WRITE),
    )


@router.post("/outages/{alarm}")
async def act_on_alarm(request: Request, parts: Parts, who: Caller, alarm: int) -> Response:
    """Say that somebody is at it, or that it is over."""
    form = await form_of(request)
    deeds = {"acknowledge": routes.acknowledge, "close": routes.close}
    deed = deeds.get(form.get("deed", ""))
    if deed is None:
        raise invalid("/body/deed", "acknowledge or close")
    note(form["deed"])
    await deed(parts, who, alarm, routes.Deed())
    return RedirectResponse("/outages", 303)
