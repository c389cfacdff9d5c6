"""Money that comes to a contract: payments, corrections, and what another system brings over."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import accepted, answer, documented
from headend.api.fields import INTEGER_MAX, Body, Id, IdempotencyKey, PathId, Positive, Text, is_id
from headend.api.money import mu_per_minor
from headend.api.problems import invalid, not_found
from headend.api.routes.contracts import Reason, contract_row
from headend.api.services import Caller, Parts, Services
from headend.prepayment.topup import PaymentState
from headend.security.roles import Principal
from headend.service import corrections, payments
from headend.service.payments import Payment, TopUp

router = APIRouter(prefix="/v1", tags=["prepayment"])
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]


class Pay(Body):
    """A payment: `amount_mu` in 1e-5 of the unit, or `amount_minor` in the minor unit; integers.

    `currency` may be left out for a contract that exists.
    """

    amount_mu: Positive | None = None
    amount_minor: Positive | None = None
    currency: Currency | None = None
    channel: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")] = "api"


class Adjust(Body):
    """Money that a person gives (above 0) or takes (below 0), with the reason."""

    contract: Id
    amount_mu: Annotated[int, Field(strict=True, ge=-INTEGER_MAX, le=INTEGER_MAX)]
    reason: Text


class BringOver(Body):
    """A contract's credit (below 0: owed) and debts elsewhere, mu."""

    balance_mu: Annotated[int, Field(strict=True, ge=-INTEGER_MAX, le=INTEGER_MAX)] = 0
    debt_payment_mu: Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX)] = 0
    debt_acc_mu: Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX)] = 0


def amount_of(amount_mu: int | None, amount_minor: int | None, currency: str) -> int:
    """The amount in mu of exactly one of the two. Raises Problem(invalid)."""
    match amount_mu, amount_minor:
        case int() as mu, None:
            return mu
        case None, int() as minor:
            mu = minor * mu_per_minor(currency)
            if mu > INTEGER_MAX:
                raise invalid("/body/amount_minor", "the amount is above 2**53 mu")
            return mu
        case _:
            raise invalid("/body", "give exactly one of amount_mu and amount_minor")


@router.post(
    "/contracts/{contract}/topups",
    status_code=201,
    responses=documented("Payment", created=201) | documented("Payment", created=202),
    name="pay_contract",
)
async def pay(
    parts: Parts, who: Caller, contract: PathId, body: Pay, idempotency_key: IdempotencyKey
) -> Response:
    """Book a payment: 201; 200 for a repeat; 202 when it is kept in suspense for a person.

    An unknown contract or an amount over the agreed maximum never loses the money.
    """
    if not is_id(contract):
        raise not_found("contract", contract)
    currency = body.currency
    if currency is None and body.amount_mu is None:
        currency = (await contract_row(parts, who, contract))["currency"]
    amount_mu = amount_of(body.amount_mu, body.amount_minor, currency or "")
    payment = Payment(contract, amount_mu, idempotency_key, body.currency, body.channel)
    return await book_payment(parts, who, payment)


async def book_payment(parts: Services, who: Principal, payment: Payment) -> Response:
    """Book a payment: 201, 200 for a repeat, 202 when it waits for a person."""
    make = partial(payments.pay, who.tenant_id, payment, parts.now(), suspend=True)
    made = await parts.store.together(who.tenant_id, payment.account, make)
    booked = made.state in {PaymentState.BOOKED, PaymentState.REVERSED}
    status = 201 if booked else 202
    return accepted(payment_view(made), replayed=made.replayed and booked, status=status)


def payment_view(made: TopUp) -> views.Payment:
    """A payment as the API shows it."""
    return views.Payment(
        made.id,
        made.txn,
        made.account,
        made.amount_mu,
        made.currency,
        made.state.value,
        made.reason,
        made.wallet_mu,
        made.decision_seq,
        made.posted_at,
    )


@router.post(
    "/contracts/{contract}/topups/{payment}/reversal",
    responses=documented("Payment"),
    name="reverse_payment",
)
async def reverse(
    parts: Parts, who: Caller, contract: PathId, payment: UUID, body: Reason
) -> Response:
    """Take a booked payment back, once; the wallet may go below zero."""
    await contract_row(parts, who, contract)
    plan = payments.reverse_payment(
        who.tenant_id, payment, contract=contract, reason=body.reason, now=parts.now()
    )
    return answer(payment_view(await parts.store.run(who.tenant_id, plan)))


@router.post(
    "/adjustments", status_code=201, responses=documented("Payment", created=201), name="adjust"
)
async def adjust(
    parts: Parts, who: Caller, body: Adjust, idempotency_key: IdempotencyKey
) -> Response:
    """Correct a wallet by a further line; a second person approves it first."""
    if body.amount_mu == 0:
        raise invalid("/body/amount_mu", "an adjustment is not 0")
    plan = corrections.adjust(
        who.tenant_id,
        body.contract,
        amount_mu=body.amount_mu,
        reason=f"{who.name}: {body.reason}",
        idempotency_key=idempotency_key,
        now=parts.now(),
    )
    made = await parts.store.run(who.tenant_id, plan)
    return accepted(payment_view(made), replayed=made.replayed)


@router.post(
    "/contracts/{contract}/migration",
    status_code=201,
    responses=documented("Payment", created=201),
    name="migrate_contract",
)
async def migrate(
    parts: Parts, who: Caller, contract: PathId, body: BringOver, idempotency_key: IdempotencyKey
) -> Response:
    """Take over credit and debts from another system; a second person approves it first.

    The days of grace of its terms begin: nobody is cut within them.
    """
    if not is_id(contract):
        raise not_found("contract", contract)
    brought = corrections.BroughtOver(body.balance_mu, body.debt_payment_mu, body.debt_acc_mu)
    plan = corrections.bring_over(
        who.tenant_id, contract, brought, idempotency_key=idempotency_key, now=parts.now()
    )
    made = await parts.store.run(who.tenant_id, plan)
    return accepted(payment_view(made), replayed=made.replayed)
