"""Payments that nobody could book: listed, and booked to a contract by two people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import Pager, answer, documented
from headend.api.fields import Body, Id, IdempotencyKey, PageQuery, Text
from headend.api.routes.contracts import SQL, payment_view
from headend.api.services import Caller, Parts
from headend.service import payments
from headend.store.plan import single

if TYPE_CHECKING:
    from headend.store.plan import Row

router = APIRouter(prefix="/v1", tags=["prepayment"])


class BookTo(Body):
    """The contract that the money is for, and how one knows."""

    contract: Id
    reason: Text


@router.get(
    "/payments/waiting",
    responses=documented("WaitingPaymentPage"),
    name="list_waiting_payments",
)
async def waiting(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List payments that wait for a person, oldest first."""
    scope = query.scope("waiting-payments", tenant=who.tenant_id)
    after: tuple[datetime | None, UUID | None] = (None, None)
    if query.cursor:
        after = parts.cursors.open(scope, query.cursor, tuple[datetime, UUID])
    pager = Pager(request, parts.cursors, scope, query.page_size)
    found = SQL(
        "waiting_payments",
        tenant_id=who.tenant_id,
        after_at=after[0],
        after_id=after[1],
        limit=pager.limit,
    )
    rows = await parts.store.run(who.tenant_id, single(found))
    return pager.page(rows, _waiting_view, lambda row: (row["received_at"], row["id"]))


def _waiting_view(row: Row) -> views.WaitingPayment:
    return views.WaitingPayment(**row)


@router.post(
    "/payments/{payment}/booking", responses=documented("Payment"), name="book_waiting_payment"
)
async def book(
    parts: Parts,
    who: Caller,
    payment: UUID,
    body: BookTo,
    idempotency_key: IdempotencyKey,  # noqa: ARG001 - of the second person's approval
) -> Response:
    """Book a payment that waits to a contract, once; a second person approves it first."""
    plan = payments.book_waiting(
        who.tenant_id,
        payment,
        contract=body.contract,
        reason=f"{who.name}: {body.reason}",
        now=parts.now(),
    )
    return answer(payment_view(await parts.store.run(who.tenant_id, plan)))
