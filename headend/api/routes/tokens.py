"""Tokens for keypads: vend, show again, read, and say what became of them."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import accepted, answer, documented
from headend.api.fields import INTEGER_MAX, Body, IdempotencyKey, PathId, Positive, is_id
from headend.api.problems import not_found
from headend.api.services import Caller, Parts, Services
from headend.service import tokens
from headend.service.tokens import NewToken, TokenRecord
from ohmesh.tokens.sts import TokenKind
from ohmesh.tokens.tid import time_of

router = APIRouter(prefix="/v1", tags=["tokens"])
_KINDS = "|".join(kind.name.lower() for kind in TokenKind)


class Vend(Body):
    """A token: `units` are tenths of a kWh for electricity, 1e-5 of the currency unit for money.

    `amount_mu` is taken from the contract's wallet; without it nothing is paid. Without `units` it
    buys electricity by the contract's tariff on purchases (`block_basis`), block by block.
    """

    kind: Annotated[str, Field(pattern=f"^({_KINDS})$")] = "electricity"
    units: Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX)] | None = None
    amount_mu: Positive | None = None


class Verify(Body):
    """The digits of a token, blanks and hyphens allowed."""

    digits: Annotated[str, Field(pattern=r"^[0-9 -]{20,40}$")]


class Confirm(Body):
    """Whether the meter took the token."""

    accepted: bool


class Identity(Body):
    """How a meter takes tokens: its 18-digit number and what its key is derived from."""

    pan: Annotated[str, Field(pattern=r"^[0-9]{18}$")]
    supply_group: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    tariff_index: Annotated[int, Field(strict=True, ge=0, le=99)] = 1
    key_revision: Annotated[int, Field(strict=True, ge=1, le=9)] = 1
    base_year: Annotated[int, Field(strict=True)] = 2014


@router.put(
    "/meters/{meter}/token-identity",
    responses=documented("TokenIdentity"),
    name="set_token_identity",
)
async def identify(parts: Parts, who: Caller, meter: PathId, body: Identity) -> Response:
    """Say how a meter takes tokens; the test module refuses real supply groups."""
    if not is_id(meter):
        raise not_found("meter", meter)
    content = body.model_dump()
    plan = tokens.set_identity(who.tenant_id, meter, content, parts.vendor)
    await parts.store.run(who.tenant_id, plan)
    return answer(views.TokenIdentity(meter, **content))


@router.post(
    "/meters/{meter}/tokens",
    status_code=201,
    responses=documented("Token", created=201),
    name="vend_token",
)
async def vend(
    parts: Parts, who: Caller, meter: PathId, body: Vend, idempotency_key: IdempotencyKey
) -> Response:
    """Vend a token. A repeat with the same key shows the same digits again."""
    if not is_id(meter):
        raise not_found("meter", meter)
    wish = NewToken(meter, body.kind, body.units, idempotency_key, body.amount_mu)
    prepare = partial(tokens.prepare, who.tenant_id, wish, parts.vendor, parts.now())
    prepared = await parts.store.together(who.tenant_id, meter, prepare)
    digits = parts.vendor.issue(prepared.prepared)
    sealed = parts.seal_key(f"token/{prepared.id}", digits.encode())
    finish = partial(tokens.finish, who.tenant_id, prepared, sealed, parts.now())
    record = await parts.store.together(who.tenant_id, meter, finish)
    return accepted(_view(record, digits), replayed=prepared.replayed)


def _view(record: TokenRecord, digits: str) -> views.Token:
    return views.Token(
        record.id,
        record.meter,
        record.kind,
        record.prepared.units,
        record.amount_mu,
        record.state,
        digits,
        record.made_at,
    )


async def _issued(parts: Services, who: Caller, token: UUID) -> TokenRecord:
    record = await parts.store.run(who.tenant_id, tokens.find(who.tenant_id, token_id=token))
    if record is None or record.state in {"prepared", "voided"}:
        raise not_found("token", str(token))
    return record


@router.get("/tokens/{token}", responses=documented("Token"), name="get_token")
async def show(parts: Parts, who: Caller, token: UUID) -> Response:
    """Show an issued token again."""
    record = await _issued(parts, who, token)
    return answer(_view(record, parts.vendor.issue(record.prepared)))


@router.post("/tokens/{token}/confirm", responses=documented("Token"), name="confirm_token")
async def confirm(parts: Parts, who: Caller, token: UUID, body: Confirm) -> Response:
    """Say whether the meter took a token."""
    plan = tokens.confirm(who.tenant_id, token, accepted=body.accepted)
    await parts.store.run(who.tenant_id, plan)
    return await show(parts, who, token)


@router.post(
    "/meters/{meter}/tokens/verify", responses=documented("TokenMeaning"), name="verify_token"
)
async def verify(parts: Parts, who: Caller, meter: PathId, body: Verify) -> Response:
    """Read a token with a meter's key: what it would do, not whether it was used."""
    if not is_id(meter):
        raise not_found("meter", meter)
    params = await parts.store.run(who.tenant_id, tokens.identity_of(who.tenant_id, meter))
    digits = body.digits.replace(" ", "").replace("-", "")
    token = parts.vendor.verify(params, digits)
    named_at = time_of(token.tid, params.base_year)
    return answer(
        views.TokenMeaning(meter, token.kind.name.lower(), token.units, token.tid, named_at)
    )
