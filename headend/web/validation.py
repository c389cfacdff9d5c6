"""The work list of validation: what needs a person's eye before billing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api.fields import INTEGER_MAX
from headend.api.problems import invalid, not_found
from headend.api.routes import vee as routes
from headend.api.services import Caller, Parts, Services
from headend.security.roles import Permission
from headend.store.plan import Queries, first
from headend.vee.model import Check
from headend.web.deeds import note
from headend.web.load import zone_of
from headend.web.render import render
from headend.web.sign_in import form_of
from headend.web.speech import mark

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Plan, Row

router = APIRouter(include_in_schema=False)
SQL: Final = Queries("headend.web", "pages.sql")
ROWS: Final = 100
DEEDS: Final = {
    "accept": mark("%(meter)s: the intervals were accepted as they are."),
    "estimate": mark("%(meter)s: an estimate was asked for; its version is there within seconds."),
}
MEANING: Final = {
    Check.GAP: mark("Readings are missing"),
    Check.CLOCK: mark("The meter's clock is not to be trusted"),
    Check.NEGATIVE: mark("The register ran backwards"),
    Check.SPIKE: mark("Far above its day, or more than the supply carries"),
    Check.HIGH: mark("Above everything in the meter's history"),
    Check.LOW: mark("A day far below the usual day"),
    Check.ZERO_RUN: mark("Nothing where usually something is used"),
    Check.SUM: mark("Intervals do not add up to the register"),
    Check.PHASE: mark("Phases or rates do not add up to the total"),
    Check.UNIT: mark("One channel came in two units"),
    Check.SIZE: mark("Readings at another interval than the meter's"),
}


@router.get("/vee")
async def vee_page(
    request: Request,
    parts: Parts,
    who: Caller,
    *,
    rule: str = "",
    settled: int | None = None,
    kind: Annotated[str, Query(alias="as")] = "",
) -> Response:
    """What needs a person's eye before billing?"""
    chosen = Check.__members__.get(rule.upper())
    asked = settled if settled and kind in DEEDS else None
    rules, rows = await parts.store.run(who.tenant_id, _work(who.tenant_id, chosen))
    return render(
        request,
        "vee.html",
        rules=[{**row, "rule": Check(row["rule"])} for row in rules],
        exceptions=[
            {**row, "rule": Check(row["rule"]), "zone": zone_of(row["zone"])} for row in rows
        ],
        rule=chosen,
        meaning=MEANING,
        rows_max=ROWS,
        settled=asked and await _settled(parts, who, asked),
        deed=DEEDS.get(kind, ""),
        edits=who.may(Permission.DATA_EDIT),
    )


async def _settled(parts: Services, who: Principal, exception: int) -> Row | None:
    return await parts.store.run(who.tenant_id, _find(who.tenant_id, min(exception, INTEGER_MAX)))


def _work(tenant_id: int, rule: Check | None) -> Plan[tuple[list[Row], list[Row]]]:
    rules = yield SQL("exception_rules", tenant_id=tenant_id)
    number = None if rule is None else rule.value
    return rules, (yield SQL("open_exceptions", tenant_id=tenant_id, rule=number, limit=ROWS))


@router.post("/vee/{exception}")
async def settle_exception(request: Request, parts: Parts, who: Caller, exception: str) -> Response:
    """Accept the intervals of an exception as they are, or have them estimated."""
    form = await form_of(request)
    kind = form.get("kind", "")
    if kind not in DEEDS:
        raise invalid("/body/kind", "accept or estimate")
    number = int(exception) if exception.isdecimal() and len(exception) < 16 else INTEGER_MAX
    row = await parts.store.run(who.tenant_id, _find(who.tenant_id, number))
    if row is None:
        raise not_found("exception", exception[:20])
    body = routes.AskEdit.model_validate(
        {
            "meter": row["meter"],
            "kind": kind,
            "period_from": row["from_ts"],
            "period_to": row["to_ts"],
            "channel": row["channel"],
            "reason": f"exception {number}, {Check(row['rule']).name.lower()}",
        }
    )
    note(f"{kind}, meter {row['meter']}, {row['from_ts']} to {row['to_ts']}")
    await routes.edit(parts, who, body, f"page-exception-{number}-{kind}")
    return RedirectResponse(f"/vee?settled={number}&as={kind}", 303)


def _find(tenant_id: int, number: int) -> Plan[Row | None]:
    return first((yield SQL("find_exception", tenant_id=tenant_id, id=number)))
