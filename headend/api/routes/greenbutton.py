"""A meter's validated intervals as a Green Button feed (ESPI 4.0)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from headend.api.answers import documented
from headend.api.fields import Channel, Instant, PathId
from headend.api.problems import invalid
from headend.api.routes.meters import find_meter
from headend.api.services import BILLED_CHANNEL, Caller, Parts
from headend.greenbutton.codes import quality_of
from headend.greenbutton.feed import MEDIA_TYPE, Curve, Interval, Usage, feed
from headend.store.plan import Plan, Queries
from ohmesh.model.command import RelayState

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Row

router = APIRouter(prefix="/v1/greenbutton", tags=["readings"])
SQL: Final = Queries("headend.api", "data.sql")
PERIOD_MAX: Final = timedelta(days=400)


class FeedQuery(BaseModel):
    """Which intervals: those with a START in [`period_from`, `period_to`), by default a month."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    period_from: Instant | None = None
    period_to: Instant | None = None
    channel: Annotated[list[Channel], Field(max_length=20)] = [
        BILLED_CHANNEL,
        "el.energy.export",
    ]


@router.get(
    "/meters/{meter}",
    responses={200: {"description": "the feed", "content": {MEDIA_TYPE: {}}}, **documented("")},
    response_class=Response,
)
async def green_button(
    parts: Parts, who: Caller, meter: PathId, query: Annotated[FeedQuery, Query()]
) -> Response:
    """Give a meter's validated intervals as a Green Button (ESPI 4.0) Atom feed."""
    end = query.period_to or parts.now()
    start = query.period_from or end - timedelta(days=31)
    if not timedelta() < end - start <= PERIOD_MAX:
        raise invalid("/query/period_to", "must be later than period_from, by 400 days at most")
    row = await find_meter(parts, who, meter)
    statement_rows = await parts.store.run(
        who.tenant_id, _intervals(who, meter, query.channel, (start, end))
    )
    usage = Usage(
        meter=meter,
        zone=row["zone"],
        connected=None if row["relay"] is None else row["relay"] == RelayState.CONNECTED,
        period=(start, end),
        curves=_curves(statement_rows),
    )
    return Response(await asyncio.to_thread(feed, usage, parts.now()), media_type=MEDIA_TYPE)


def _intervals(
    who: Principal, meter: str, channels: list[str], period: tuple[Instant, Instant]
) -> Plan[list[Row]]:
    return (
        yield SQL(
            "intervals_of",
            tenant_id=who.tenant_id,
            meter=meter,
            channels=channels,
            from_ts=period[0],
            to_ts=period[1],
        )
    )


def _curves(rows: list[Row]) -> list[Curve]:
    """Rows by channel and END."""
    found = []
    for (channel, unit, scaler), part in groupby(
        rows, key=lambda row: (row["channel"], row["unit"], row["scaler"])
    ):
        intervals = [
            Interval(
                row["time"],
                row["length_s"],
                row["value"],
                quality_of(row["quality"], row["failed"]),
            )
            for row in part
        ]
        found.append(Curve(channel, unit, scaler, intervals))
    return found
