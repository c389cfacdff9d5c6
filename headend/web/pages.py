"""The first page, the prepayment desk and quarantine: each answers one question."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api import openapi, problems, views
from headend.api.fields import INTEGER_MAX
from headend.api.money import MU_DIGITS, format_mu, minor_digits
from headend.api.problems import Problem, invalid, not_found
from headend.api.routes import accounts as account_routes
from headend.api.routes import commands as command_routes
from headend.api.routes.events import NO_FILTER
from headend.api.routes.gateways import read_topology
from headend.api.routes.meters import LAST_NAME, meter_view, span
from headend.api.routes.reports import ReadSuccessQuery, read_success_plan
from headend.api.services import Caller, Parts, Services
from headend.security.roles import Permission
from headend.service.accounts import top_up
from headend.web.abreast import abreast
from headend.web.deeds import note
from headend.web.happenings import Happening, newest_first
from headend.web.load import LoadCurve, load_curve
from headend.web.mesh import draw
from headend.web.render import render
from headend.web.sign_in import form_of, local
from headend.web.speech import COOKIE, LANGUAGES

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Row

router = APIRouter(include_in_schema=False)
ROWS: Final = 50
STATEMENT_ROWS: Final = 50
HAPPENINGS: Final = 6
LANGUAGE_S: Final = 31_536_000
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:[.,][0-9]{1,5})?")
Prefix = Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")]
After = Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")]


async def _meters(parts: Services, who: Principal, prefix: str, after: str) -> list[Row]:
    return await parts.rows(
        who.tenant_id,
        "meters",
        first=max(prefix, after),
        last=LAST_NAME,
        after=after,
        prefix=prefix or None,
        profile=None,
        gateway=None,
        silent_since=None,
        group=None,
        feeder=None,
        limit=ROWS + 1,
    )


@router.get("/")
async def fleet(
    request: Request, parts: Parts, who: Caller, q: Prefix = "", after: After = ""
) -> Response:
    """Is the fleet all right, and if not, where first?"""
    report = read_success_plan(who.tenant_id, ReadSuccessQuery(worst=5), parts.now())
    counts, rows, success, topology, happened, curve = await abreast(
        parts.rows(who.tenant_id, "fleet_counts"),
        _meters(parts, who, q, after),
        parts.store.run(who.tenant_id, report),
        read_topology(parts, who),
        _happened(parts, who),
        _shown_curve(parts, who),
    )
    return render(
        request,
        "fleet.html",
        counts=counts[0],
        success=success,
        meters=[meter_view(row) for row in rows[:ROWS]],
        more=rows[ROWS - 1]["meter"] if len(rows) > ROWS else None,
        picture=draw(topology),
        happened=happened,
        curve=curve,
        q=q,
    )


async def _happened(parts: Services, who: Principal) -> list[Happening]:
    """The newest events and commands in one list."""
    events, commands = await abreast(
        parts.rows(who.tenant_id, "events", **NO_FILTER, meter=None, limit=HAPPENINGS),
        command_routes.find_commands(parts, who, limit=HAPPENINGS),
    )
    return newest_first(
        [views.Event(**row) for row in events],
        [command_routes.command_view(row) for row in commands],
    )[:HAPPENINGS]


async def _shown_curve(parts: Services, who: Principal) -> LoadCurve | None:
    """The newest day of one meter: of the first prepaid account, else the first heard meter."""
    row = await parts.rows(who.tenant_id, "meter_to_show")
    if not row:
        return None
    return await parts.store.run(who.tenant_id, load_curve(who.tenant_id, row[0]["meter"], None))


@router.get("/accounts")
async def accounts(request: Request, parts: Parts, who: Caller, after: After = "") -> Response:
    """Who pays in advance, and who is in the dark?"""
    rows = await parts.rows(who.tenant_id, "accounts", **span(after=after), limit=ROWS + 1)
    return render(
        request,
        "accounts.html",
        accounts=[account_routes.account_view(row) for row in rows[:ROWS]],
        more=rows[ROWS - 1]["account"] if len(rows) > ROWS else None,
    )


@router.get("/accounts/{account}")
async def one_account(request: Request, parts: Parts, who: Caller, account: str) -> Response:
    """Why is this customer in the dark, and how do I end it?"""
    return await _account_page(request, parts, who, account, error="")


async def _account_page(
    request: Request, parts: Services, who: Principal, account: str, *, error: str
) -> Response:
    view = account_routes.account_view(await account_routes.find_account(parts, who, account))
    lines = await account_routes.find_transfers(parts, who, account, limit=STATEMENT_ROWS)
    commands = await command_routes.find_commands(parts, who, meter=view.meter, limit=5)
    return render(
        request,
        "account.html",
        status=422 if error else 200,
        account=view,
        transfers=[account_routes.transfer_view(row) for row in lines],
        commands=[command_routes.command_view(row) for row in commands],
        digits=minor_digits(view.currency),
        sells=who.may(Permission.MONEY_VEND),
        key=uuid.uuid4().hex,
        error=error,
    )


@router.post("/accounts/{account}")
async def sell(request: Request, parts: Parts, who: Caller, account: str) -> Response:
    """Book a payment from the page's form; the form's own key makes a double click harmless."""
    row = await account_routes.find_account(parts, who, account)
    form = await form_of(request)
    try:
        amount = amount_mu(form.get("amount", ""), row["currency"])
        note(f"{format_mu(amount, row['currency'])}, meter {row['meter']}")
        plan = top_up(
            who.tenant_id,
            account,
            amount_mu=amount,
            idempotency_key=f"page-{form.get('key', '')[:64]}",
            now=parts.now(),
        )
        await parts.store.run(who.tenant_id, plan)
    except Problem as problem:
        return await _account_page(request, parts, who, account, error=problem.detail)
    return RedirectResponse(f"/accounts/{account}", 303)


def amount_mu(text: str, currency: str) -> int:
    """An amount as people write it, exact: `12.34` or `12,34`. Raises Problem(invalid)."""
    refusal = invalid(
        "/body/amount", f"{text[:40]!r} is not an amount of {currency}; write for example 20"
    )
    if not _AMOUNT.fullmatch(text.strip()):
        raise refusal
    amount = Decimal(text.strip().replace(",", "."))
    size, minor = amount.scaleb(MU_DIGITS), amount.scaleb(minor_digits(currency))
    if not 0 < size <= INTEGER_MAX or minor != minor.to_integral_value():
        raise refusal
    return int(size)


@router.get("/quarantine")
async def quarantine(request: Request, parts: Parts, who: Caller) -> Response:
    """What could we not understand?"""
    rows = await parts.rows(
        who.tenant_id, "quarantine", before=None, reason=None, resolved=False, limit=ROWS
    )
    return render(
        request,
        "quarantine.html",
        reasons=await parts.rows(who.tenant_id, "quarantine_reasons"),
        telegrams=[views.Quarantined(**row) for row in rows],
        rows_max=ROWS,
    )


@router.post("/language")
async def choose_language(request: Request) -> Response:
    """Remember the reader's language."""
    form = await form_of(request)
    response = RedirectResponse(local(form.get("next", "/")), 303)
    if form.get("language") in LANGUAGES:
        response.set_cookie(
            COOKIE, form["language"], max_age=LANGUAGE_S, httponly=True, samesite="lax"
        )
    return response


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Every operation of the API, from its OpenAPI document."""
    document = request.app.openapi_schema  # where FastAPI keeps one that was made
    if document is None:
        document = request.app.openapi_schema = openapi.document(request.app)
    return render(request, "docs.html", document=document, tags=_by_tag(document))


def _by_tag(document: dict[str, Any]) -> list[dict[str, object]]:
    """The table of contents: method, path and id of the operations of each tag."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for path, operations in document["paths"].items():
        for method, one in operations.items():
            tag = one.get("tags", ["other"])[0]
            found.setdefault(tag, []).append((method, path, one["operationId"]))
    return [{"name": tag, "operations": found[tag]} for tag in sorted(found)]


@router.get("/problems/{name}")
async def problem(request: Request, name: str) -> Response:
    """What a type of problem means and what to do."""
    kind = problems.KINDS.get(name)
    if kind is None:
        raise not_found("problem", name)
    return render(request, "problem.html", kind=kind)
