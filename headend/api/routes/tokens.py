"""Tokens for keypads: vend, show again, read, and say what became of them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import accepted, answer, documented
from headend.api.fields import INTEGER_MAX, Body, IdempotencyKey, PathId, Positive, is_id
from headend.api.problems import not_found
from headend.api.services import Caller, Parts, Services
from headend.prepayment.tokens.vending import COUNT_MAX, KINDS, PAYGO, STS, UTRN, StsVending
from headend.service import tokens
from headend.service.tokens import NewToken, TokenRecord
from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens.tid import time_of

router = APIRouter(prefix="/v1", tags=["tokens"])
_KINDS = ", ".join(KINDS)


class Vend(Body):
    """A token: `units` are tenths of a kWh for electricity, 1e-5 of the currency unit for money.

    They are days of an OpenPAYGO device (`add_time`, `set_time`), pence or pounds of a UTRN.

    `amount_mu` is taken from the contract's wallet; without it nothing is paid. Without `units` it
    buys electricity by the contract's tariff on purchases (`block_basis`), block by block.
    """

    kind: Annotated[str, Field(description=f"one of {_KINDS}")] = "electricity"
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


class PaygoSecret(Body):
    """An OpenPAYGO device: its secret, how it writes, and how many tokens it has had.

    `restricted`: digits 1 to 4. `starting_code` null: it follows from the secret.
    """

    secret_hex: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    starting_code: Annotated[int, Field(strict=True, ge=1, le=999_999_999)] | None = None
    restricted: bool = False
    extended: bool = False
    count: Annotated[int, Field(strict=True, ge=1, le=COUNT_MAX)] = 1


class UtrnDevice(Body):
    """A GB meter: its EUI-64."""

    device: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


@router.put(
    "/meters/{meter}/token-identity",
    responses=documented("TokenIdentity"),
    name="set_token_identity",
)
async def identify(parts: Parts, who: Caller, meter: PathId, body: Identity) -> Response:
    """Say how a meter takes tokens; the test module refuses real supply groups."""
    content = body.model_dump()
    await _set_device(parts, who, meter, STS, content)
    return answer(views.TokenIdentity(meter, **content))


async def _set_device(
    parts: Services, who: Caller, meter: str, vendor: str, content: dict[str, Any]
) -> None:
    if not is_id(meter):
        raise not_found("meter", meter)
    plan = tokens.set_device(who.tenant_id, meter, vendor, content, parts.vendings)
    await parts.store.run(who.tenant_id, plan)


@router.put(
    "/meters/{meter}/paygo-device", responses=documented("TokenDevice"), name="set_paygo_device"
)
async def paygo_device(parts: Parts, who: Caller, meter: PathId, body: PaygoSecret) -> Response:
    """Say that a meter takes OpenPAYGO tokens. Its secret is sealed and never shown again."""
    await _set_device(parts, who, meter, PAYGO, body.model_dump())
    return answer(views.TokenDevice(meter, PAYGO))


@router.put(
    "/meters/{meter}/utrn-device", responses=documented("TokenDevice"), name="set_utrn_device"
)
async def utrn_device(parts: Parts, who: Caller, meter: PathId, body: UtrnDevice) -> Response:
    """Say that a meter takes GB top-up numbers; the test module refuses real devices."""
    await _set_device(parts, who, meter, UTRN, body.model_dump())
    return answer(views.TokenDevice(meter, UTRN))


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
    prepare = partial(tokens.prepare, who.tenant_id, wish, parts.vendings, parts.now())
    prepared = await parts.store.together(who.tenant_id, meter, prepare)
    digits = await _digits(parts, prepared)
    sealed = parts.seal_key(f"token/{prepared.id}", digits.encode())
    finish = partial(tokens.finish, who.tenant_id, prepared, parts.vendings, sealed, parts.now())
    record = await parts.store.together(who.tenant_id, meter, finish)
    return accepted(_view(record, digits), replayed=prepared.replayed)


async def _digits(parts: Services, record: TokenRecord) -> str:
    issue = partial(parts.vendings[record.vendor].issue, record.content)
    # The walk along a device's chain takes up to a third of a second: not in the loop.
    return await asyncio.to_thread(issue) if record.vendor == PAYGO else issue()


def _view(record: TokenRecord, digits: str) -> views.Token:
    return views.Token(
        record.id,
        record.meter,
        record.kind,
        record.carries,
        record.amount_mu,
        record.state,
        digits,
        record.made_at,
    )


async def _issued(parts: Services, who: Caller, token: UUID) -> TokenRecord:
    record = await parts.store.run(
        who.tenant_id, tokens.find(who.tenant_id, parts.vendings, token_id=token)
    )
    if record is None or record.state in {"prepared", "voided"}:
        raise not_found("token", str(token))
    return record


@router.get("/tokens/{token}", responses=documented("Token"), name="get_token")
async def show(parts: Parts, who: Caller, token: UUID) -> Response:
    """Show an issued token again."""
    record = await _issued(parts, who, token)
    return answer(_view(record, await _digits(parts, record)))


@router.post("/tokens/{token}/confirm", responses=documented("Token"), name="confirm_token")
async def confirm(parts: Parts, who: Caller, token: UUID, body: Confirm) -> Response:
    """Say whether the meter took a token."""
    plan = tokens.confirm(who.tenant_id, token, parts.vendings, accepted=body.accepted)
    await parts.store.run(who.tenant_id, plan)
    return await show(parts, who, token)


@router.post(
    "/meters/{meter}/tokens/verify", responses=documented("TokenMeaning"), name="verify_token"
)
async def verify(parts: Parts, who: Caller, meter: PathId, body: Verify) -> Response:
    """Read an STS token with a meter's key: what it would do, not whether it was used."""
    if not is_id(meter):
        raise not_found("meter", meter)
    vendor, device = await parts.store.run(who.tenant_id, tokens.device_of(who.tenant_id, meter))
    reader = parts.vendings[vendor]
    if not isinstance(reader, StsVending):
        raise PrepaymentError("token_reader", f"only the meter itself can read its {vendor} tokens")
    token, base_year = reader.read(device, body.digits.replace(" ", "").replace("-", ""))
    named_at = time_of(token.tid, base_year)
    return answer(
        views.TokenMeaning(meter, token.kind.name.lower(), token.units, token.tid, named_at)
    )
