"""What the whole fleet used, by day."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from headend.api import vee_views
from headend.api.answers import answer, documented
from headend.api.fields import Channel
from headend.api.problems import invalid
from headend.api.routes.vee import SQL
from headend.api.services import BILLED_CHANNEL, Caller, Parts

router = APIRouter(prefix="/v1/usage", tags=["readings"])
DAYS_MAX: Final = 31


class UsageQuery(BaseModel):
    """Local days `first` to `last`, both inclusive, and a channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: date
    last: date
    channel: Channel = BILLED_CHANNEL


@router.get("/daily", responses=documented("UsageDayPage"), name="list_daily_usage")
async def list_daily_usage(
    parts: Parts, who: Caller, query: Annotated[UsageQuery, Query()]
) -> Response:
    """List what the fleet used by local day, from validated intervals: at most 31 days.

    A day that no meter has an interval of is left away. Of a large fleet ask for a day at a time.
    """
    if not 0 <= (query.last - query.first).days < DAYS_MAX:
        raise invalid("/query/last", f"give first to last, at most {DAYS_MAX} days")
    asked = {"first": query.first, "last": query.last, "channel": query.channel}
    statement = SQL("usage_daily", tenant_id=who.tenant_id, **asked)
    rows = await parts.store.rows(who.tenant_id, statement)
    return answer({"items": [vee_views.UsageDay(**row) for row in rows], "next": None})
