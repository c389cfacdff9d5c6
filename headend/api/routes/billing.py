"""Up to when a utility has billed: retention deletes nothing that lies behind it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response

from headend.api import outage_views
from headend.api.answers import answer, documented
from headend.api.fields import Body, Instant
from headend.api.problems import invalid
from headend.api.services import Caller, Parts
from headend.store.plan import Plan, Queries

if TYPE_CHECKING:
    from headend.security.roles import Principal
    from headend.store.plan import Row

router = APIRouter(prefix="/v1/billing", tags=["billing"])
SQL = Queries("headend.api", "outages.sql")


class Mark(Body):
    """Everything with an END up to here is billed."""

    billed_to: Instant


@router.get("/mark", responses=documented("BillingMark"))
async def get_billing_mark(parts: Parts, who: Caller) -> Response:
    """Up to when is billed; null: nobody said, and no reading is ever deleted."""
    rows = await parts.store.run(who.tenant_id, _read(who))
    return answer(outage_views.BillingMark(**rows[0]) if rows else outage_views.BillingMark())


def _read(who: Principal) -> Plan[list[Row]]:
    return (yield SQL("billing_mark", tenant_id=who.tenant_id))


@router.put("/mark", responses=documented("BillingMark"), name="set_billing_mark")
async def put(parts: Parts, who: Caller, body: Mark) -> Response:
    """Say up to when is billed. It never goes back, and never lies in the future."""
    now = parts.now()
    if body.billed_to > now:
        raise invalid("/body/billed_to", "what has not happened yet is not billed")
    rows = await parts.store.run(who.tenant_id, _write(who, body.billed_to, now))
    return answer(outage_views.BillingMark(**rows[0]))


def _write(who: Principal, until: datetime, now: datetime) -> Plan[list[Row]]:
    yield SQL("set_billing_mark", tenant_id=who.tenant_id, billed_to=until, who=who.name, now=now)
    return (yield from _read(who))
