"""Payments that their provider signs; those that nobody could book, booked by two people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import Pager, answer, documented
from headend.api.fields import Body, Id, IdempotencyKey, PageQuery, Positive, Text
from headend.api.routes.contracts import SQL
from headend.api.routes.topups import Currency, amount_of, book_payment, payment_view
from headend.api.services import Caller, Parts
from headend.service import channels, payments
from headend.service.payments import Payment
from headend.store.plan import single
from headend.webhooks import signing

if TYPE_CHECKING:
    from headend.store.plan import Row

router = APIRouter(prefix="/v1", tags=["prepayment"])
ChannelName = Annotated[str, Path(pattern=r"^[a-z0-9_-]{1,40}$")]
SignedId = Annotated[str, Header(pattern=r"^[!-~]{1,120}$", description="the provider's own name")]
Signed = Annotated[str, Header(max_length=2000, description="as Standard Webhooks says")]


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
    pager = Pager(request, parts.cursors, scope, query)
    after = pager.behind(tuple[datetime, UUID], (None, None))
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


class Called(Body):
    """A payment as its provider tells of it: `amount_mu` or `amount_minor`, integers."""

    contract: Id
    amount_mu: Positive | None = None
    amount_minor: Positive | None = None
    currency: Currency


@router.put(
    "/payment-channels/{channel}",
    responses=documented("NewPaymentChannel"),
    name="set_payment_channel",
)
async def set_channel(parts: Parts, who: Caller, channel: ChannelName) -> Response:
    """Give a channel a new secret, which is shown once; one before it ends at once."""
    plan = channels.set_channel(who.tenant_id, channel, parts.seal_key, parts.now())
    secret = await parts.store.run(who.tenant_id, plan)
    return answer(views.NewPaymentChannel(channel, secret))


@router.post(
    "/payment-channels/{channel}/payments",
    status_code=201,
    responses=documented("Payment", created=201) | documented("Payment", created=202),
    name="take_payment",
)
async def take(
    request: Request,
    parts: Parts,
    who: Caller,
    channel: ChannelName,
    body: Called,
    *,
    webhook_id: SignedId,
    webhook_timestamp: Signed,
    webhook_signature: Signed,
) -> Response:
    """Book a payment that its provider has signed (Standard Webhooks), as `pay_contract` does.

    `webhook-id` is its name for ever: 200 for a repeat. What is forged, altered or older than five
    minutes is refused.
    """
    kept = await parts.store.run(who.tenant_id, channels.secret_of(who.tenant_id, channel))
    secret = parts.open_key(channels.sealed_under(who.tenant_id, channel), kept)
    now = parts.now()
    signing.check(
        secret,
        webhook_id,
        webhook_timestamp,
        webhook_signature,
        await request.body(),
        now_s=int(now.timestamp()),
    )
    amount_mu = amount_of(body.amount_mu, body.amount_minor, body.currency)
    key = f"{channel}/{webhook_id}"
    payment = Payment(body.contract, amount_mu, key, body.currency, channel)
    return await book_payment(parts, who, payment)
