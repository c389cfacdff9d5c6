"""One meter: what happened here, and what a person may order it to do."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api import views
from headend.api.problems import Problem, invalid
from headend.api.routes import commands as command_routes
from headend.api.routes.events import NO_FILTER
from headend.api.routes.meters import find_meter, meter_view
from headend.api.services import SQL, Caller, Parts, Services
from headend.security.roles import Permission
from headend.store.plan import Queries
from headend.web.deeds import note
from headend.web.hours import Month, month_of
from headend.web.load import LoadCurve, load_curve, zone_of
from headend.web.render import render
from headend.web.sign_in import form_of
from ohmesh.model.errors import CommandError, PrepaymentError

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Plan, Row

router = APIRouter(include_in_schema=False)
PAGES: Final = Queries("headend.web", "pages.sql")
EVENTS: Final = 12
COMMANDS: Final = 20
TELEGRAMS_BACK: Final = timedelta(days=2)
"""Bounds the search for a meter's newest telegrams: they are kept by time, not by meter."""
YEAR_MIN: Final = 1970
ASKED: Final = frozenset({"read_now", "relay_read", "clock_set", "relay_on", "relay_off"})
"""What the page can order; the API knows more."""
SWITCHES: Final = frozenset({"relay_on", "relay_off"})


@router.get("/meters/{meter}")
async def one_meter(
    request: Request, parts: Parts, who: Caller, meter: str, day: date | None = None
) -> Response:
    """What happened at this meter?"""
    if day is not None and not YEAR_MIN <= day.year <= date.max.year - 1:
        raise invalid("/query/day", f"the year must be {YEAR_MIN} or later")
    return await _page(request, parts, who, meter, day=day)


async def _page(
    request: Request,
    parts: Services,
    who: Principal,
    meter: str,
    *,
    day: date | None = None,
    error: str = "",
) -> Response:
    view = meter_view(await find_meter(parts, who, meter))
    newest, channels = await _newest(parts, who, meter)
    commands = await command_routes.find_commands(parts, who, meter=meter, limit=COMMANDS)
    events = await parts.rows(who.tenant_id, "events", **NO_FILTER, meter=meter, limit=EVENTS)
    curve, month, telegrams = await parts.store.run(
        who.tenant_id, _drawn(who.tenant_id, meter, day, view.last_seen)
    )
    return render(
        request,
        "meter.html",
        status=422 if error else 200,
        meter=view,
        zone=zone_of(view.zone),
        curve=curve,
        month=month,
        telegrams=telegrams,
        newest=newest,
        channels=channels,
        commands=[command_routes.command_view(row) for row in commands],
        events=[views.Event(**row) for row in events],
        sends=who.may(Permission.COMMAND_SEND),
        switches=who.may(Permission.SUPPLY_SWITCH),
        key=uuid.uuid4().hex,
        error=error,
    )


@router.post("/meters/{meter}/commands")
async def order_on_page(request: Request, parts: Parts, who: Caller, meter: str) -> Response:
    """Order what a button says; a switch needs the meter's id written once more."""
    form = await form_of(request)
    kind = form.get("kind", "")
    try:
        if kind not in ASKED:
            raise invalid("/body/kind", f"one of {', '.join(sorted(ASKED))}")
        if kind in SWITCHES and form.get("confirm", "").strip() != meter:
            raise invalid("/body/confirm", f"write {meter} to confirm")
        note(kind)
        body = command_routes.AskCommand.model_validate({"meter": meter, "kind": kind})
        key = f"page-{form.get('key', '')[:64]}-{kind}"
        await command_routes.ask(request, parts, who, body, key)
    except ValidationError:
        raise invalid("/path/meter", "not the id of a meter") from None
    except (Problem, CommandError, PrepaymentError) as refusal:
        why = refusal.detail if isinstance(refusal, Problem) else str(refusal)
        return await _page(request, parts, who, meter, error=why)
    return RedirectResponse(f"/meters/{meter}#h-com", 303)


def _drawn(
    tenant_id: int, meter: str, day: date | None, last_seen: datetime | None
) -> Plan[tuple[LoadCurve | None, Month | None, list[Row]]]:
    """A meter's day, its month, and its newest telegrams."""
    curve = yield from load_curve(tenant_id, meter, day)
    number = (yield SQL("find_meter_id", tenant_id=tenant_id, name=meter))[0]["id"]
    month = (yield from month_of(tenant_id, number, curve)) if curve else None
    if last_seen is None:
        return curve, month, []
    since = last_seen - TELEGRAMS_BACK
    query = PAGES("newest_telegrams", tenant_id=tenant_id, meter_id=number, since=since)
    return curve, month, (yield query)


async def _newest(parts: Services, who: Principal, meter: str) -> tuple[list[Row], dict[int, Row]]:
    channels = {row["id"]: row for row in await parts.rows(who.tenant_id, "channels")}
    number = (await parts.rows(who.tenant_id, "find_meter_id", name=meter))[0]["id"]
    return await parts.rows(who.tenant_id, "newest_values", meter_id=number), channels
