"""The pages about people: who may do what, who waits for a second person, who did what to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api import people_views as views
from headend.api.services import Caller, Parts
from headend.security import approvals, audit, people
from headend.security.roles import Permission
from headend.store.plan import single
from headend.web.deeds import note
from headend.web.render import render
from headend.web.sign_in import form_of

if TYPE_CHECKING:
    from headend.store.plan import Plan, Row

router = APIRouter(include_in_schema=False)
ROWS: Final = 100


@router.get("/people")
async def people_page(request: Request, parts: Parts, who: Caller) -> Response:
    """Who may do what here?"""

    def plan() -> Plan[tuple[list[Row], list[Row]]]:
        asked = {"tenant_id": who.tenant_id, "after": "", "name": None, "limit": ROWS}
        return (yield people.SQL("users", **asked)), (yield people.SQL("keys", **asked))

    users, keys = await parts.store.run(who.tenant_id, plan())
    return render(
        request,
        "people.html",
        users=[views.User(**row) for row in users],
        keys=[views.Key(**row) for row in keys],
    )


@router.get("/approvals")
async def approvals_page(request: Request, parts: Parts, who: Caller) -> Response:
    """What waits for a second person?"""
    ask = approvals.SQL("list", tenant_id=who.tenant_id, before=None, before_id=None, limit=ROWS)
    rows = await parts.store.run(who.tenant_id, single(ask))
    return render(
        request,
        "approvals.html",
        approvals=[views.Approval(**row) for row in rows],
        decides=who.may(Permission.APPROVE),
    )


@router.post("/approvals/{approval}")
async def decide_on_page(request: Request, parts: Parts, who: Caller, approval: UUID) -> Response:
    """Say yes or no to what another person has asked for."""
    form = await form_of(request)
    note(form.get("decision", "")[:20])
    plan = approvals.decide(
        who.tenant_id, approval, who, parts.now(), approved=form.get("decision") == "approve"
    )
    await parts.store.run(who.tenant_id, plan)
    return RedirectResponse("/approvals", 303)


@router.get("/audit")
async def audit_page(
    request: Request, parts: Parts, who: Caller, before: int | None = None
) -> Response:
    """Who did what to whom?"""
    ask = audit.SQL("entries", tenant_id=who.tenant_id, before=before, who=None, limit=ROWS)
    rows = await parts.store.run(who.tenant_id, single(ask))
    return render(request, "audit.html", entries=[views.AuditEntry(**row) for row in rows])
