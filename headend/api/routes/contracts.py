"""Prepaid contracts: payments, balance, statement, supply, and what two people decide.

A contract is an account of `/v1/accounts`, by the same name.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import Pager, accepted, answer, documented
from headend.api.fields import (
    INTEGER_MAX,
    YEAR_MAX,
    YEAR_MIN,
    Body,
    Id,
    IdempotencyKey,
    Instant,
    PageQuery,
    PathId,
    Positive,
    Text,
    Word,
    is_id,
)
from headend.api.money import minor_digits, mu_per_minor
from headend.api.problems import invalid, not_found
from headend.api.routes.accounts import code_name
from headend.api.routes.meters import relay_name
from headend.api.services import Caller, Parts, Services
from headend.gate.judging import breaker_subject, release_subject
from headend.prepayment import ledger
from headend.prepayment.ledger import Step
from headend.prepayment.supplying import supply_of
from headend.prepayment.topup import PaymentState
from headend.security.roles import Principal
from headend.service import accounts, payments
from headend.service.accounts import SQL as ACCOUNT_SQL
from headend.service.payments import Payment, TopUp
from headend.store.plan import Queries, single
from ohmesh.model.command import RelayState

if TYPE_CHECKING:
    from headend.store.plan import Row

router = APIRouter(prefix="/v1", tags=["prepayment"])
SQL = Queries("headend.api", "contracts.sql")
_FIRST = datetime(YEAR_MIN, 1, 1, tzinfo=UTC)
_LAST = datetime(YEAR_MAX, 12, 31, tzinfo=UTC)
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]


class Pay(Body):
    """A payment: `amount_mu` in 1e-5 of the unit, or `amount_minor` in the minor unit; integers.

    `currency` may be left out for a contract that exists.
    """

    amount_mu: Positive | None = None
    amount_minor: Positive | None = None
    currency: Currency | None = None
    channel: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")] = "api"


class Reason(Body):
    """Why, in a line."""

    reason: Text


class Protect(Body):
    """A customer's protection, whole: flags such as `medical_dependency`, or never to be cut."""

    flags: Annotated[list[Word], Field(max_length=20, default_factory=list)]
    exempt: bool = False


class AgreeTerms(Body):
    """A contract's terms, whole; what is not named takes its default. Without `pack`: never cut."""

    terms: dict[str, Any]


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


class Approve(Body):
    """An approval as `ohmesh headend approve` prints it."""

    name: Id
    subject: Annotated[str, Field(pattern=r"^[a-z-]{1,20}:[0-9a-f:-]{1,60}$")]
    not_after: Instant
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class PeriodQuery(PageQuery):
    """A period, half-open: from `from`, before `to`."""

    since: Annotated[Instant, Field(alias="from")] = _FIRST
    until: Annotated[Instant, Field(alias="to")] = _LAST


async def _contract(parts: Parts, who: Caller, name: str) -> Row:
    """The contract's row. Raises Problem(not-found)."""
    if not is_id(name):
        raise not_found("contract", name)
    return await parts.store.run(who.tenant_id, accounts.find_contract(who.tenant_id, name))


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
        currency = (await _contract(parts, who, contract))["currency"]
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
    await _contract(parts, who, contract)
    plan = payments.reverse_payment(
        who.tenant_id, payment, contract=contract, reason=body.reason, now=parts.now()
    )
    return answer(payment_view(await parts.store.run(who.tenant_id, plan)))


@router.get(
    "/contracts/{contract}/balance", responses=documented("Balance"), name="contract_balance"
)
async def balance(parts: Parts, who: Caller, contract: PathId) -> Response:
    """Show a contract's balance, and for how many days it lasts."""
    await _contract(parts, who, contract)
    found = await parts.store.run(
        who.tenant_id, accounts.balance(who.tenant_id, contract, parts.now())
    )
    return answer(
        views.Balance(
            found.contract,
            found.currency,
            found.posted_mu,
            found.estimated_mu,
            found.pending_mu,
            found.floor_mu,
            found.emergency_limit_mu,
            found.emergency_active,
            found.days_left,
            found.rated_to,
            found.decision_seq,
            found.as_of,
        )
    )


@router.get(
    "/contracts/{contract}/statement",
    responses=documented("StatementLinePage"),
    name="contract_statement",
)
async def statement(
    request: Request,
    parts: Parts,
    who: Caller,
    contract: PathId,
    query: Annotated[PeriodQuery, Query()],
) -> Response:
    """List a contract's transfers posted in a period, newest first."""
    found = await _contract(parts, who, contract)
    scope = query.scope("statement", tenant=who.tenant_id, contract=contract)
    pager = Pager(request, parts.cursors, scope, query)
    before = pager.behind(tuple[datetime, UUID], (None, None))
    statement_of = ACCOUNT_SQL(
        "statement",
        account_id=found["id"],
        since=query.since,
        until=query.until,
        before_at=before[0],
        before_id=before[1],
        limit=pager.limit,
    )
    rows = await parts.store.run(who.tenant_id, single(statement_of))
    return pager.page(rows, _line, lambda row: (row["posted_at"], row["id"]))


def _line(row: Row) -> views.StatementLine:
    step = Step(row["step"])
    moved = (row["credit"] == ledger.WALLET) - (row["debit"] == ledger.WALLET)
    posts = step in {Step.POSTED, Step.POST}
    return views.StatementLine(
        row["id"],
        row["txn"],
        code_name(row["code"]),
        row["debit"],
        row["credit"],
        row["amount_mu"],
        moved * row["amount_mu"] * posts,
        row["currency"],
        step.name.lower(),
        row["value_at"],
        row["posted_at"],
        row["ref"],
    )


@router.get(
    "/contracts/{contract}/supply", responses=documented("SupplyState"), name="contract_supply"
)
async def supply(parts: Parts, who: Caller, contract: PathId) -> Response:
    """Show a contract's supply: decided, read back, and the reason."""
    await _contract(parts, who, contract)
    query = SQL("supply", tenant_id=who.tenant_id, contract=contract)
    row = (await parts.store.run(who.tenant_id, single(query)))[0]
    kept = supply_of(row["kept"])
    desired = RelayState.CONNECTED if kept.desired_on else RelayState.DISCONNECTED
    return answer(
        views.SupplyState(
            contract=row["contract"],
            state=kept.state.value,
            desired=relay_name(desired),
            actual=None if kept.actual is None else relay_name(kept.actual),
            reason=row["reason"],
            why_not_cut=kept.reason,
            next_permitted=kept.next_eval_at,
            decision_seq=kept.decision_seq,
            hold=kept.hold,
            exempt=kept.exempt,
            flags=sorted(kept.flags),
            emergency_active=kept.ec_active,
            unreachable=kept.unreachable,
            alarms=list(kept.alarms),
        )
    )


@router.post(
    "/contracts/{contract}/emergency",
    responses=documented("SupplyState"),
    name="take_emergency_credit",
)
async def emergency(parts: Parts, who: Caller, contract: PathId) -> Response:
    """Take the agreed emergency credit; refused until the last one is paid back."""
    await _contract(parts, who, contract)
    plan = accounts.take_emergency(who.tenant_id, contract, parts.now())
    await parts.store.run(who.tenant_id, plan)
    return await supply(parts, who, contract)


@router.post(
    "/contracts/{contract}/supply/hold", responses=documented("SupplyState"), name="hold_supply"
)
async def hold(parts: Parts, who: Caller, contract: PathId, body: Reason) -> Response:
    """Hold the supply off, whatever the credit; the hours of the rule pack still stand."""
    await _contract(parts, who, contract)
    plan = accounts.hold(who.tenant_id, contract, f"{who.name}: {body.reason}", parts.now())
    await parts.store.run(who.tenant_id, plan)
    return await supply(parts, who, contract)


@router.post(
    "/contracts/{contract}/supply/release",
    responses=documented("SupplyState"),
    name="release_supply",
)
async def release(
    parts: Parts, who: Caller, contract: PathId, body: Reason, idempotency_key: IdempotencyKey
) -> Response:
    """End a hold: a second person approves it first."""
    await _contract(parts, who, contract)
    plan = accounts.release_hold(
        who.tenant_id, contract, who.name, f"approval {idempotency_key}: {body.reason}", parts.now()
    )
    await parts.store.run(who.tenant_id, plan)
    return await supply(parts, who, contract)


@router.post(
    "/contracts/{contract}/supply/exempt",
    responses=documented("SupplyState"),
    name="protect_supply",
)
async def exempt(parts: Parts, who: Caller, contract: PathId, body: Protect) -> Response:
    """Set a customer's protection from being cut."""
    await _contract(parts, who, contract)
    plan = accounts.protect(
        who.tenant_id,
        contract,
        flags=frozenset(body.flags),
        exempt=body.exempt,
        now=parts.now(),
    )
    await parts.store.run(who.tenant_id, plan)
    return await supply(parts, who, contract)


@router.put("/contracts/{contract}/terms", responses=documented("SupplyState"), name="agree_terms")
async def agree(parts: Parts, who: Caller, contract: PathId, body: AgreeTerms) -> Response:
    """Agree on other terms and look at the supply under them."""
    await _contract(parts, who, contract)
    plan = accounts.set_terms(who.tenant_id, contract, body.terms, parts.now())
    await parts.store.run(who.tenant_id, plan)
    return await supply(parts, who, contract)


@router.post(
    "/adjustments", status_code=201, responses=documented("Payment", created=201), name="adjust"
)
async def adjust(
    parts: Parts, who: Caller, body: Adjust, idempotency_key: IdempotencyKey
) -> Response:
    """Correct a wallet by a further line; a second person approves it first."""
    if body.amount_mu == 0:
        raise invalid("/body/amount_mu", "an adjustment is not 0")
    plan = payments.adjust(
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
    brought = payments.BroughtOver(body.balance_mu, body.debt_payment_mu, body.debt_acc_mu)
    plan = payments.bring_over(
        who.tenant_id, contract, brought, idempotency_key=idempotency_key, now=parts.now()
    )
    made = await parts.store.run(who.tenant_id, plan)
    return accepted(payment_view(made), replayed=made.replayed)


# -- what is looked after ------------------------------------------------------------------------


@router.get(
    "/reconciliation/daily",
    responses=documented("ReconciliationPage"),
    name="list_reconciliations",
)
async def reconciliations(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List the daily reconciliations of the ledger, newest first."""
    scope = query.scope("reconciliation", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (before,) = pager.behind(tuple[date], (None,))
    found = SQL("reconciliations", tenant_id=who.tenant_id, before=before, limit=pager.limit)
    rows = await parts.store.run(who.tenant_id, single(found))
    return pager.page(rows, lambda row: views.Reconciliation(**row), lambda row: (row["day"],))


@router.get("/breaker", responses=documented("Breaker"), name="show_breaker")
async def show_breaker(parts: Parts, who: Caller) -> Response:
    """Show whether all cuts are stopped, and what two people sign to close the breaker."""
    rows = await parts.store.run(who.tenant_id, single(SQL("breaker", tenant_id=who.tenant_id)))
    opened_at = rows[0]["opened_at"] if rows else None
    subject = None if opened_at is None else breaker_subject(who.tenant_id, opened_at)
    return answer(
        views.Breaker(opened_at is not None, opened_at, rows[0]["reason"] if rows else "", subject)
    )


@router.get("/releases/held", responses=documented("HeldReleasePage"), name="list_held_releases")
async def held_releases(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List disconnections in quarantine, oldest first."""
    scope = query.scope("held", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    after = pager.behind(tuple[datetime, UUID], (None, None))
    found = SQL(
        "held",
        tenant_id=who.tenant_id,
        now=parts.now(),
        after_at=after[0],
        after_id=after[1],
        limit=pager.limit,
    )
    rows = await parts.store.run(who.tenant_id, single(found))
    return pager.page(rows, _held_view, lambda row: (row["at"], row["command"]))


def _held_view(row: Row) -> views.HeldRelease:
    return views.HeldRelease(**row, subject=release_subject(row["command"]))


@router.post(
    "/releases/approvals",
    status_code=202,
    responses=documented("GateApproval", created=202, repeats=False),
    name="approve_release",
)
async def approve(parts: Parts, who: Caller, body: Approve) -> Response:
    """Hand a person's signed approval to the gate, which alone judges it."""
    plan = single(
        SQL(
            "add_approval",
            tenant_id=who.tenant_id,
            name=body.name,
            subject=body.subject,
            not_after=body.not_after,
            signature=bytes.fromhex(body.signature),
        )
    )
    await parts.store.run(who.tenant_id, plan)
    return answer(views.GateApproval(body.name, body.subject, body.not_after), 202)


@router.get("/exports/odyssey", responses=documented("OdysseyPaymentPage"), name="export_odyssey")
async def odyssey(
    request: Request, parts: Parts, who: Caller, query: Annotated[PeriodQuery, Query()]
) -> Response:
    """List booked payments as rows of the Odyssey data export, oldest first."""
    scope = query.scope("odyssey", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    after = pager.behind(tuple[datetime, UUID], (None, None))
    found = SQL(
        "odyssey",
        tenant_id=who.tenant_id,
        since=query.since,
        until=query.until,
        after_at=after[0],
        after_id=after[1],
        limit=pager.limit,
    )
    rows = await parts.store.run(who.tenant_id, single(found))
    return pager.page(rows, _odyssey_view, lambda row: (row["booked_at"], row["id"]))


_TYPE: Literal["FULL_PAYMENT"] = "FULL_PAYMENT"


def _odyssey_view(row: Row) -> views.OdysseyPayment:
    digits = minor_digits(row["currency"])
    whole, rest = divmod(row["amount_mu"] // mu_per_minor(row["currency"]), 10**digits)
    return views.OdysseyPayment(
        row["booked_at"],
        f"{whole}.{rest:0{digits}d}" if digits else str(whole),
        row["currency"],
        _TYPE,
        str(row["id"]),
        row["meter"],
        row["account"],
        row["meter"],
    )
