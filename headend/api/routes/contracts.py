"""Prepaid contracts: balance, statement, terms and supply.

A contract is an account of `/v1/accounts`, by the same name.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import Pager, answer, documented
from headend.api.fields import Body, IdempotencyKey, PathId, PeriodQuery, Text, Word, is_id
from headend.api.problems import not_found
from headend.api.routes.accounts import code_name
from headend.api.routes.meters import relay_name
from headend.api.services import Caller, Parts
from headend.prepayment import ledger
from headend.prepayment.ledger import Step
from headend.prepayment.supplying import supply_of
from headend.service import accounts
from headend.service.accounts import SQL as ACCOUNT_SQL
from headend.store.plan import Queries, single
from ohmesh.model.command import RelayState

if TYPE_CHECKING:
    from headend.store.plan import Row

router = APIRouter(prefix="/v1", tags=["prepayment"])
SQL = Queries("headend.api", "contracts.sql")


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


async def contract_row(parts: Parts, who: Caller, name: str) -> Row:
    """The contract's row. Raises Problem(not-found)."""
    if not is_id(name):
        raise not_found("contract", name)
    return await parts.store.run(who.tenant_id, accounts.find_contract(who.tenant_id, name))


@router.get(
    "/contracts/{contract}/balance", responses=documented("Balance"), name="contract_balance"
)
async def balance(parts: Parts, who: Caller, contract: PathId) -> Response:
    """Show a contract's balance, and for how many days it lasts."""
    await contract_row(parts, who, contract)
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
    found = await contract_row(parts, who, contract)
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
    await contract_row(parts, who, contract)
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
    await contract_row(parts, who, contract)
    plan = accounts.take_emergency(who.tenant_id, contract, parts.now())
    await parts.store.run(who.tenant_id, plan)
    return await supply(parts, who, contract)


@router.post(
    "/contracts/{contract}/supply/hold", responses=documented("SupplyState"), name="hold_supply"
)
async def hold(parts: Parts, who: Caller, contract: PathId, body: Reason) -> Response:
    """Hold the supply off, whatever the credit; the hours of the rule pack still stand."""
    await contract_row(parts, who, contract)
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
    await contract_row(parts, who, contract)
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
    await contract_row(parts, who, contract)
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
    await contract_row(parts, who, contract)
    plan = accounts.set_terms(who.tenant_id, contract, body.terms, parts.now())
    await parts.store.run(who.tenant_id, plan)
    return await supply(parts, who, contract)
