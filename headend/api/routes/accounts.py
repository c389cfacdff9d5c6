"""Prepaid accounts: tariffs, opening, top-ups, the ledger's lines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import views
from headend.api.answers import Pager, accepted, answer, documented
from headend.api.export.lists import also_as_files
from headend.api.fields import (
    INTEGER_MAX,
    Body,
    Id,
    IdempotencyKey,
    Instant,
    PageQuery,
    PathId,
    Positive,
    is_id,
)
from headend.api.money import mu_per_minor
from headend.api.problems import invalid, not_found
from headend.api.routes.meters import relay_name, span
from headend.api.services import Caller, Parts
from headend.prepayment.ledger import Code
from headend.prepayment.topup import PaymentState
from headend.service.accounts import add_tariff, open_account, top_up

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.api.services import Services
    from headend.store.plan import Plan, Row

router = APIRouter(prefix="/v1", tags=["prepayment"])
_CODES = {code.name.lower(): code for code in Code}
_CODE_NAMES = {code.value: name for name, code in _CODES.items()}
CodeName = Literal[
    "topup",
    "debt_share",
    "acc_debt",
    "energy",
    "fixed",
    "tax",
    "subsidy",
    "time_debt",
    "rerate",
    "reversal",
    "adjust",
    "token_reserve",
    "token",
    "token_void",
    "migration",
    "swap",
    "writeoff",
]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
Price = Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX)]


class TransferQuery(PageQuery):
    """Filters of an account's statement."""

    code: CodeName | None = None


class AddTariff(Body):
    """A flat price of energy in mu (1e-5 of the currency unit) per kWh."""

    tariff: Id
    currency: Currency
    price_mu_per_kwh: Price
    valid_from: Instant | None = None


class OpenAccount(Body):
    """A prepaid account on a meter that has a key.

    Name a `tariff`, or give `currency` and `price_mu_per_kwh` and one is made under the account's
    id. Energy behind `rated_from` is charged; without it, energy from now on. `terms` say when its
    supply may be cut: without a `pack` in them, never.
    """

    account: Id
    meter: Id
    tariff: Id | None = None
    currency: Currency | None = None
    price_mu_per_kwh: Price | None = None
    rated_from: Instant | None = None
    terms: dict[str, Any] = Field(default_factory=dict)
    register_modulus_wh: Positive | None = None


class TopUp(Body):
    """A payment, in exactly one of two integers.

    `amount_mu` is in 1e-5 of the currency unit; `amount_minor` in the currency's minor unit (cent).
    """

    amount_mu: Positive | None = None
    amount_minor: Positive | None = None


def account_view(row: Row) -> views.Account:
    """A row of the query `accounts`."""
    wanted, actual = row["supply_wanted"], row["supply_actual"]
    return views.Account(
        **{
            **row,
            "supply_wanted": None if wanted is None else relay_name(wanted),
            "supply_actual": None if actual is None else relay_name(actual),
        }
    )


def transfer_view(row: Row) -> views.Transfer:
    """A row of the query `transfers`."""
    return views.Transfer(**{**row, "code": code_name(row["code"])})


def code_name(number: int) -> str:
    """A transfer's code as the API writes it; a number that is not known stays a number."""
    return _CODE_NAMES.get(number, str(number))


async def find_account(parts: Services, who: Principal, name: str) -> Row:
    """An account's row of the query `accounts`. Raises Problem(not-found)."""
    if not is_id(name):
        raise not_found("account", name)
    rows = await parts.rows(who.tenant_id, "accounts", **span(name), limit=1)
    if not rows:
        raise not_found("account", name)
    return rows[0]


async def find_transfers(
    parts: Services,
    who: Principal,
    account: str,
    *,
    limit: int,
    code: int | None = None,
    before: tuple[datetime | None, UUID | None] = (None, None),
) -> list[Row]:
    """Rows of the query `transfers`, newest first."""
    return await parts.rows(
        who.tenant_id,
        "transfers",
        account=account,
        code=code,
        before_at=before[0],
        before_id=before[1],
        limit=limit,
    )


@router.get("/tariffs", responses=documented("TariffPage"))
async def list_tariffs(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List tariffs in the order they were made."""
    scope = query.scope("tariffs", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[int], (None,))
    rows = await parts.rows(who.tenant_id, "tariffs", after=after, limit=pager.limit)
    return pager.page(rows, _tariff_view, lambda row: (row["id"],))


def _tariff_view(row: Row) -> views.Tariff:
    return views.Tariff(row["tariff"], row["currency"], row["price_mu_per_kwh"], row["valid_from"])


@router.post(
    "/tariffs", status_code=201, responses=documented("Tariff", created=201), name="add_tariff"
)
async def add(parts: Parts, who: Caller, body: AddTariff) -> Response:
    """Add a tariff. The same content again changes nothing; another price is refused."""
    plan = add_tariff(
        who.tenant_id,
        body.tariff,
        currency=body.currency,
        price_mu_per_kwh=body.price_mu_per_kwh,
        valid_from=body.valid_from,
    )
    await parts.store.run(who.tenant_id, plan)
    return answer(
        views.Tariff(body.tariff, body.currency, body.price_mu_per_kwh, body.valid_from), 201
    )


@router.get("/accounts", responses=documented("AccountPage", files=True))
@also_as_files(views.Account)
async def list_accounts(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List prepaid accounts with balance, supply wanted and relay read back."""
    scope = query.scope("accounts", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], (None,))
    rows = await parts.rows(who.tenant_id, "accounts", **span(after=after), limit=pager.limit)
    return pager.page(rows, account_view, lambda row: (row["account"],))


@router.post(
    "/accounts",
    status_code=201,
    responses=documented("AccountReceipt", created=201),
    name="open_account",
)
async def open_one(parts: Parts, who: Caller, body: OpenAccount) -> Response:
    """Open a prepaid account. The same content again changes nothing and answers 200."""
    known = await parts.rows(who.tenant_id, "accounts", **span(body.account), limit=1)
    await parts.store.run(who.tenant_id, _open(who.tenant_id, body, parts.now()))
    row = await find_account(parts, who, body.account)
    receipt = views.AccountReceipt(
        row["account"],
        row["meter"],
        row["tariff"],
        row["currency"],
        row["price_mu_per_kwh"],
        row["opened_at"],
    )
    return accepted(receipt, replayed=bool(known))


def _open(tenant_id: int, body: OpenAccount, now: datetime) -> Plan[None]:
    tariff = body.tariff
    if body.price_mu_per_kwh is not None and body.currency is not None:
        tariff = tariff or body.account
        yield from add_tariff(
            tenant_id,
            tariff,
            currency=body.currency,
            price_mu_per_kwh=body.price_mu_per_kwh,
        )
    if tariff is None:
        raise invalid("/body/tariff", "name a tariff, or give currency and price_mu_per_kwh")
    yield from open_account(
        tenant_id,
        body.account,
        meter=body.meter,
        tariff=tariff,
        now=now,
        rated_from=body.rated_from,
        terms=body.terms,
        register_modulus_wh=body.register_modulus_wh,
    )


@router.get("/accounts/{account}", responses=documented("Account"))
async def get_account(parts: Parts, who: Caller, account: PathId) -> Response:
    """One account: balance, supply wanted with the reason, relay as read back."""
    return answer(account_view(await find_account(parts, who, account)))


@router.post(
    "/accounts/{account}/topups",
    status_code=201,
    responses=documented("TopUpReceipt", created=201),
    name="top_up",
)
async def pay(
    parts: Parts, who: Caller, account: PathId, body: TopUp, idempotency_key: IdempotencyKey
) -> Response:
    """Book a payment and decide on the supply in the same transaction.

    `balance_mu` is the wallet right after it. A repeat with the same key books nothing.
    """
    row = await find_account(parts, who, account)
    plan = top_up(
        who.tenant_id,
        account,
        amount_mu=_amount_mu(body, row["currency"]),
        idempotency_key=idempotency_key,
        now=parts.now(),
    )
    made = await parts.store.run(who.tenant_id, plan)
    assert made.wallet_mu is not None or made.state is not PaymentState.BOOKED
    receipt = views.TopUpReceipt(
        made.id,
        made.account,
        made.amount_mu,
        made.wallet_mu or 0,
        made.currency,
        made.posted_at,
    )
    return accepted(receipt, replayed=made.replayed)


def _amount_mu(body: TopUp, currency: str) -> int:
    match body.amount_mu, body.amount_minor:
        case int() as mu, None:
            return mu
        case None, int() as minor:
            mu = minor * mu_per_minor(currency)
            if mu > INTEGER_MAX:
                raise invalid("/body/amount_minor", "the amount is above 2**53 mu")
            return mu
        case _:
            raise invalid("/body", "give exactly one of amount_mu and amount_minor")


@router.get("/accounts/{account}/transfers", responses=documented("TransferPage", files=True))
@also_as_files(views.Transfer)
async def list_transfers(
    request: Request,
    parts: Parts,
    who: Caller,
    account: PathId,
    query: Annotated[TransferQuery, Query()],
) -> Response:
    """List the lines of an account's ledger, newest first."""
    await find_account(parts, who, account)
    scope = query.scope("transfers", tenant=who.tenant_id, account=account)
    pager = Pager(request, parts.cursors, scope, query)
    before = pager.behind(tuple[datetime, UUID], (None, None))
    code = None if query.code is None else _CODES[query.code].value
    rows = await find_transfers(parts, who, account, code=code, before=before, limit=pager.limit)
    return pager.page(rows, transfer_view, lambda row: (row["posted_at"], row["id"]))
