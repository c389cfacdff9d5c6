"""The cut-off board: who will be cut next, who must not be, and what is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headend.api.contract_views import Breaker, HeldRelease
from headend.api.fields import PageQuery
from headend.api.routes import releases as routes
from headend.api.services import Caller, Parts
from headend.prepayment.states import State
from headend.prepayment.supplying import supply_of
from headend.store.plan import Queries
from headend.web.render import render
from headend.web.speech import mark

if TYPE_CHECKING:
    from headend.store.plan import Plan, Row

_T = TypeVar("_T")
router = APIRouter(include_in_schema=False)
SQL: Final = Queries("headend.web", "pages.sql")
ROWS: Final = 200
WORDS: Final = {
    State.ACTIVE: (mark("on"), "good"),
    State.LOW: (mark("on, credit is low"), "warn"),
    State.EMERGENCY: (mark("on emergency credit"), "warn"),
    State.PROTECTED: (mark("on: must not be cut now"), "warn"),
    State.CUT_PENDING: (mark("being cut"), "bad"),
    State.OFF: (mark("cut off"), "bad"),
    State.RECONNECT_PENDING: (mark("coming back"), "warn"),
    State.ARMED: (mark("ready: the customer switches it on"), "warn"),
    State.HOLD: (mark("held off by a person"), "bad"),
}


class _Held(msgspec.Struct):
    items: list[HeldRelease]


@router.get("/cutoff")
async def cutoff_page(request: Request, parts: Parts, who: Caller) -> Response:
    """Who will be cut next, and who must not be?"""
    breaker = _read(await routes.show_breaker(parts, who), Breaker)
    held = _read(await routes.held_releases(request, parts, who, PageQuery()), _Held)
    rows = await parts.store.run(who.tenant_id, _supplies(who.tenant_id))
    supplies = [{**row, "kept": supply_of(row["kept"])} for row in rows]
    return render(
        request,
        "cutoff.html",
        breaker=breaker,
        held=held.items,
        supplies=supplies,
        off=sum(row["kept"].state in {State.OFF, State.HOLD} for row in supplies),
        words=WORDS,
        rows_max=ROWS,
    )


def _supplies(tenant_id: int) -> Plan[list[Row]]:
    return (yield SQL("supplies", tenant_id=tenant_id, limit=ROWS))


def _read(response: Response, kind: type[_T]) -> _T:
    return msgspec.json.decode(response.body, type=kind)
