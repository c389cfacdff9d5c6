"""What happened, as a list and as a live stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from headend.api import views
from headend.api.answers import Pager, documented
from headend.api.export.lists import also_as_files
from headend.api.fields import Id, Instant, PageQuery, Word
from headend.api.pulse import Pulse
from headend.api.services import Caller, Parts

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.api.services import Services

router = APIRouter(prefix="/v1", tags=["events"])
RETRY_MS = 2000
EVENTS_A_BEAT = 200
TOPICS = ("meters", "gateways", "mesh", "quarantine", "commands", "accounts")


NO_FILTER: Final = dict.fromkeys(("before", "kind", "gateway", "period_from", "period_to"))
"""Of the query `events`, but for the meter."""


class EventQuery(PageQuery):
    """Filters of the list of events."""

    kind: Word | None = None
    meter: Id | None = None
    gateway: Id | None = None
    period_from: Instant | None = None
    period_to: Instant | None = None


@router.get("/events", responses=documented("EventPage", files=True))
@also_as_files(views.Event)
async def list_events(
    request: Request, parts: Parts, who: Caller, query: Annotated[EventQuery, Query()]
) -> Response:
    """List events, newest first."""
    scope = query.scope("events", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (before,) = pager.behind(tuple[int], (None,))
    rows = await parts.rows(
        who.tenant_id,
        "events",
        before=before,
        kind=query.kind,
        meter=query.meter,
        gateway=query.gateway,
        period_from=query.period_from,
        period_to=query.period_to,
        limit=pager.limit,
    )
    return pager.page(rows, lambda row: views.Event(**row), lambda row: (row["id"],))


async def take_pulse(parts: Services, who: Principal) -> Pulse:
    """The newest pulse of the caller's tenant."""

    async def look() -> Pulse:
        row = (await parts.rows(who.tenant_id, "pulse"))[0]
        return Pulse(row["event_id"], {topic: row[topic] for topic in TOPICS})

    return await parts.pulses.take(who.tenant_id, look)


@router.get(
    "/stream",
    response_class=EventSourceResponse,
    responses=documented("", only=(401, 403, 422, 503)),
)
async def stream(
    parts: Parts,
    who: Caller,
    last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,18}$")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Follow what happens, as server-sent events.

    `event: event` carries one Event with its number as `id`; a client that comes back with
    `Last-Event-ID` gets what it missed. `event: changed` names the topics whose lists or pages
    should be read again: meters, gateways, mesh, quarantine, commands, accounts.
    """
    pulse = await take_pulse(parts, who)
    sent = pulse.event_id if last_event_id is None else int(last_event_id)
    yield ServerSentEvent(comment="hello", retry=RETRY_MS)
    while True:
        newer = await take_pulse(parts, who)
        topics = newer.changed_since(pulse)
        pulse = newer
        if topics:
            yield ServerSentEvent(event="changed", data=topics)
        if newer.event_id > sent:
            news = parts.rows(who.tenant_id, "events_after", after=sent, limit=EVENTS_A_BEAT)
            for row in await parts.pulses.undisturbed(news):
                sent = row["id"]
                yield ServerSentEvent(event="event", id=str(sent), data=row)
        await asyncio.sleep(parts.pulses.beat_s)
