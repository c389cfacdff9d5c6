"""Rating a contract anew from a day on; the worker does it, so the answer tells where to look."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import answer, documented
from headend.api.fields import Body, IdempotencyKey, PathId, Text, is_id
from headend.api.problems import not_found
from headend.api.services import Caller, Parts
from headend.prepayment.rerate import approve, ask, find

if TYPE_CHECKING:
    from headend.store.plan import Row

router = APIRouter(prefix="/v1", tags=["prepayment"])


class RateAnew(Body):
    """From which local day on: its whole month and all later ones. A dry run books nothing."""

    from_day: date
    reason: Text
    dry_run: bool = True


def _answer(rerate: UUID, row: Row | None, status: int = 200) -> Response:
    if row is None:
        raise not_found("rerate", str(rerate))
    view = views.Rerate(**{name: row[name] for name in views.Rerate.__struct_fields__})
    return answer(view, status)


@router.post(
    "/contracts/{contract}/rerate",
    status_code=202,
    responses=documented("Rerate", created=202, repeats=False),
    name="rerate_contract",
)
async def rate_anew(
    parts: Parts, who: Caller, contract: PathId, body: RateAnew, idempotency_key: IdempotencyKey
) -> Response:
    """Rate a contract anew, such as after a corrected tariff; charges that differ are corrected.

    At most 400 days back. A difference above 50 units of the currency is weighed and waits for
    `POST /v1/rerates/{rerate}/booking`.
    """
    if not is_id(contract):
        raise not_found("contract", contract)
    plan = ask(
        who.tenant_id,
        contract,
        body.from_day,
        dry_run=body.dry_run,
        reason=f"{who.name}: {body.reason}",
        idempotency_key=idempotency_key,
        now=parts.now(),
    )
    row = await parts.store.run(who.tenant_id, plan)
    return _answer(row["id"], row, 202)


@router.get("/rerates/{rerate}", responses=documented("Rerate"), name="get_rerate")
async def show(parts: Parts, who: Caller, rerate: UUID) -> Response:
    """Show a rating anew: what it changes, and whether it is booked."""
    return _answer(rerate, await parts.store.run(who.tenant_id, find(who.tenant_id, rerate)))


@router.post(
    "/rerates/{rerate}/booking",
    status_code=202,
    responses=documented("Rerate", created=202, repeats=False),
    name="book_rerate",
)
async def book(
    parts: Parts,
    who: Caller,
    rerate: UUID,
    idempotency_key: IdempotencyKey,  # noqa: ARG001 - of the second person's approval
) -> Response:
    """Book what was weighed; a second person approves it first. Weighed again if it has changed."""
    row = await parts.store.run(who.tenant_id, approve(who.tenant_id, rerate))
    return _answer(rerate, row, 202)
