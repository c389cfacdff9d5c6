"""What stands between an order to cut and the meter: breaker, held releases, approvals."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import Pager, answer, documented
from headend.api.fields import Body, Id, Instant, PageQuery
from headend.api.services import Caller, Parts
from headend.gate.judging import breaker_subject, release_subject
from headend.store.plan import Queries, single

if TYPE_CHECKING:
    from headend.store.plan import Row

router = APIRouter(prefix="/v1", tags=["prepayment"])
SQL = Queries("headend.api", "contracts.sql")


class Approve(Body):
    """An approval as `ohmesh headend approve` prints it."""

    name: Id
    subject: Annotated[str, Field(pattern=r"^[a-z-]{1,20}:[0-9a-f:-]{1,60}$")]
    not_after: Instant
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


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
