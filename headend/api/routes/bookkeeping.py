"""For the utility's books: the ledger's daily reconciliation, payments as Odyssey wants them."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import Pager, documented
from headend.api.fields import PageQuery, PeriodQuery
from headend.api.money import minor_digits, mu_per_minor
from headend.api.services import Caller, Parts
from headend.store.plan import Queries, single

if TYPE_CHECKING:
    from headend.store.plan import Row

router = APIRouter(prefix="/v1", tags=["prepayment"])
SQL = Queries("headend.api", "contracts.sql")


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
