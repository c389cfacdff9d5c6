"""Webhooks: where events of prepayment are sent, signed."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import Pager, answer, documented
from headend.api.fields import Body, PageQuery
from headend.api.problems import not_found
from headend.api.services import Caller, Parts
from headend.service.webhooks import add_webhook
from headend.store.plan import Queries, Row, single

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
SQL = Queries("headend.webhooks", "webhooks.sql")
KindName = Literal[
    "balance.low",
    "balance.zero",
    "exception.opened",
    "supply.late",
    "supply.off",
    "supply.on",
    "token.issued",
    "topup.booked",
]


class AddWebhook(Body):
    """A public HTTPS address and the kinds of events that it wants."""

    url: Annotated[str, Field(min_length=9, max_length=2000)]
    kinds: Annotated[list[KindName], Field(min_length=1, max_length=20)]


@router.get("", responses=documented("WebhookPage"), name="list_webhooks")
async def list_all(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List webhooks."""
    scope = query.scope("webhooks", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[UUID], (None,))
    found = SQL("webhooks", tenant_id=who.tenant_id, after=after, limit=pager.limit)
    rows = await parts.store.run(who.tenant_id, single(found))
    return pager.page(rows, _view, lambda row: (row["id"],))


def _view(row: Row) -> views.Webhook:
    return views.Webhook(row["id"], row["url"], row["kinds"], row["created_at"])


@router.post(
    "",
    status_code=201,
    responses=documented("NewWebhook", created=201, repeats=False),
    name="add_webhook",
)
async def add(parts: Parts, who: Caller, body: AddWebhook) -> Response:
    """Add a webhook. Its secret is shown once; deliveries are signed with it."""
    made = await parts.store.run(
        who.tenant_id,
        add_webhook(who.tenant_id, body.url, sorted(set(body.kinds)), parts.seal_key, parts.now()),
    )
    return answer(
        views.NewWebhook(made.id, made.url, made.kinds, made.created_at, made.secret), 201
    )


@router.delete("/{webhook}", responses=documented("Webhook"), name="remove_webhook")
async def remove(parts: Parts, who: Caller, webhook: UUID) -> Response:
    """Take a webhook away; what waits for it is given up."""
    plan = single(SQL("stop_webhook", tenant_id=who.tenant_id, id=webhook))
    rows = await parts.store.run(who.tenant_id, plan)
    if not rows:
        raise not_found("webhook", str(webhook))
    return answer(_view(rows[0]))


@router.get("/{webhook}/deliveries", responses=documented("DeliveryPage"), name="list_deliveries")
async def deliveries(
    request: Request,
    parts: Parts,
    who: Caller,
    webhook: UUID,
    query: Annotated[PageQuery, Query()],
) -> Response:
    """List a webhook's deliveries, newest first."""
    scope = query.scope("deliveries", tenant=who.tenant_id, webhook=str(webhook))
    pager = Pager(request, parts.cursors, scope, query)
    (before,) = pager.behind(tuple[int], (None,))
    found = SQL(
        "deliveries",
        tenant_id=who.tenant_id,
        webhook_id=webhook,
        before=before,
        limit=pager.limit,
    )
    known = single(SQL("find_webhook", tenant_id=who.tenant_id, id=webhook))
    if not await parts.store.run(who.tenant_id, known):
        raise not_found("webhook", str(webhook))
    rows = await parts.store.run(who.tenant_id, single(found))
    return pager.page(rows, _delivery, lambda row: (row["id"],))


def _delivery(row: Row) -> views.Delivery:
    return views.Delivery(
        row["id"],
        row["event_id"],
        row["kind"],
        row["attempts"],
        row["delivered_at"],
        row["next_try_at"],
        row["outcome"],
    )
