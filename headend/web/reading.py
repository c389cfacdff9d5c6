"""Read success: which readings are missing and whose fault is each."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headend.api.reads_views import ReadDays
from headend.api.routes.reads import period
from headend.api.services import Caller, Parts
from headend.readsuccess import report
from headend.web.render import render
from headend.web.speech import mark

if TYPE_CHECKING:
    from headend.store.plan import Plan

router = APIRouter(include_in_schema=False)
WORST: Final = 20
DAYS: Final = 28
SHADES: Final = 6
CAUSES: Final = {
    "meter": mark("meter silent"),
    "hop": mark("relay on the way"),
    "gateway": mark("gateway"),
    "broker": mark("broker"),
    "ingest": mark("ingest"),
    "quarantine": mark("not understood"),
    "rejected": mark("rejected by validation"),
}


@router.get("/reads")
async def reads_page(
    request: Request, parts: Parts, who: Caller, last: date | None = None
) -> Response:
    """Which readings are missing, and whose fault is each?"""

    def plan() -> Plan[dict[str, Any]]:
        first = None if last is None else last - timedelta(days=DAYS - 1)
        days = yield from period(who.tenant_id, first, last, parts.now().date())
        wide = report.Period(days.last - timedelta(days=DAYS - 1), days.last)
        return (yield from report.report(who.tenant_id, wide, WORST))

    found = msgspec.convert(await parts.store.run(who.tenant_id, plan()), ReadDays)
    return render(
        request,
        "reads.html",
        reads=found,
        causes=CAUSES,
        most=max((n for day in found.days for n in day.causes.values()), default=0),
        shades=SHADES,
        before=found.period_from - timedelta(days=1),
    )
