"""Groups that people make of meters, and feeders as service points name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api.answers import Pager, answer, documented
from headend.api.data_views import Feeder, Group
from headend.api.export.lists import also_as_files
from headend.api.fields import Body, Id, PageQuery, PathId, is_id
from headend.api.problems import invalid, not_found
from headend.api.routes.registers import SQL
from headend.api.services import Caller, Parts

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Plan, Row

router = APIRouter(prefix="/v1", tags=["groups"])
METERS_MAX = 20_000


class PutGroup(Body):
    """The meters of a group, all of them: who is not named leaves it."""

    meters: Annotated[list[Id], Field(max_length=METERS_MAX)]


@router.get("/groups", responses=documented("GroupPage", files=True))
@also_as_files(Group)
async def list_groups(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List groups by name; `GET /v1/meters?group=` lists the meters of one."""
    scope = query.scope("groups", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], ("",))
    plan = _groups(who, pager.limit, after=after)
    rows = await parts.store.run(who.tenant_id, plan)
    return pager.page(rows, lambda row: Group(**row), lambda row: (row["group"],))


def _groups(
    who: Principal, limit: int, *, after: str = "", name: str | None = None
) -> Plan[list[Row]]:
    return (yield SQL("groups", tenant_id=who.tenant_id, after=after, name=name, limit=limit))


@router.put("/groups/{group}", responses=documented("Group"))
async def put_group(parts: Parts, who: Caller, group: PathId, body: PutGroup) -> Response:
    """Say which meters are in a group; it is made when it is new. Once more changes nothing."""
    if not is_id(group):
        raise invalid("/path/group", "1 to 64 of A-Z a-z 0-9 _ -")
    rows = await parts.store.run(who.tenant_id, _put(who, group, body.meters))
    return answer(Group(**rows[0]))


def _put(who: Principal, name: str, meters: list[str]) -> Plan[list[Row]]:
    tenant = {"tenant_id": who.tenant_id}
    known = yield SQL("meters_named", **tenant, names=meters)
    if missing := set(meters) - {row["name"] for row in known}:
        raise invalid("/body/meters", f"no meter {min(missing)}")
    numbers = [row["id"] for row in known]
    made = yield SQL("add_group", **tenant, name=name)
    found = made or (yield SQL("find_group", **tenant, name=name))
    yield SQL("leave_group", group=found[0]["id"], meters=numbers)
    yield SQL("join_group", group=found[0]["id"], meters=numbers)
    return (yield from _groups(who, 1, name=name))


@router.delete(
    "/groups/{group}", status_code=204, responses=documented("", only=(401, 403, 404, 422, 503))
)
async def drop_group(parts: Parts, who: Caller, group: PathId) -> Response:
    """Forget a group; its meters stay."""
    name = group if is_id(group) else ""
    statement = SQL("drop_group", tenant_id=who.tenant_id, name=name)
    if not await parts.store.rows(who.tenant_id, statement):
        raise not_found("group", group)
    return Response(status_code=204)


@router.get("/feeders", responses=documented("FeederPage", files=True))
@also_as_files(Feeder)
async def list_feeders(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List feeders by name, with what hangs on them, as service points name them."""
    scope = query.scope("feeders", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], ("",))
    statement = SQL("feeders", tenant_id=who.tenant_id, after=after, limit=pager.limit)
    rows = await parts.store.rows(who.tenant_id, statement)
    return pager.page(rows, lambda row: Feeder(**row), lambda row: (row["feeder"],))
