"""Service points: where supply is delivered. Meters come and go, they stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response

from headend.api.answers import accepted, answer, documented
from headend.api.etags import IfMatch, demand_match, etag, tagged
from headend.api.fields import Body, Id, Metres, PathId, Zone, is_id
from headend.api.outage_views import ServicePoint
from headend.api.problems import not_found
from headend.api.routes.registers import SQL
from headend.api.services import Caller, Parts
from ohmesh.model.errors import Conflict

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Plan, Row

router = APIRouter(prefix="/v1/service-points", tags=["service points"])


class ChangeServicePoint(Body):
    """What is named changes, null forgets it; the rest stays. Another zone has other days.

    `area`: those who are cut and reconnected together, such as of one transformer; the release gate
    and the soft return of supply count by it.
    """

    zone: Zone = "UTC"
    x_m: Metres | None = None
    y_m: Metres | None = None
    transformer: Id | None = None
    feeder: Id | None = None
    area: Id | None = None


class AddServicePoint(ChangeServicePoint):
    """A new service point."""

    service_point: Id


def _tag(row: Row) -> str:
    return etag([row[name] for name in ChangeServicePoint.model_fields])


@router.post("", status_code=201, responses=documented("ServicePoint", created=201))
async def add_service_point(parts: Parts, who: Caller, body: AddServicePoint) -> Response:
    """Add a service point. The same content again changes nothing and answers 200."""
    row, made = await parts.store.run(who.tenant_id, _add(who, body))
    return tagged(accepted(ServicePoint(**row), replayed=not made), _tag(row))


def _add(who: Principal, body: AddServicePoint) -> Plan[tuple[Row, bool]]:
    fields = body.model_dump(exclude={"service_point"})
    name = {"tenant_id": who.tenant_id, "name": body.service_point}
    made = yield SQL("add_service_point", **name, **fields)
    row = (yield SQL("service_point", **name))[0]
    if not made and any(_differs(row[field], value) for field, value in fields.items()):
        raise Conflict(f"the service point {body.service_point} exists already")
    return row, bool(made)


def _differs(held: object, given: object) -> bool:
    if isinstance(held, float) and isinstance(given, float):
        return abs(held - given) > max(0.01, abs(held) * 1e-6)  # the store keeps single precision
    return held != given


@router.get("/{service_point}", responses=documented("ServicePoint"))
async def get_service_point(parts: Parts, who: Caller, service_point: PathId) -> Response:
    """One service point. Its ETag is for If-Match."""
    name = service_point if is_id(service_point) else ""
    statement = SQL("service_point", tenant_id=who.tenant_id, name=name)
    rows = await parts.store.rows(who.tenant_id, statement)
    if not rows:
        raise not_found("service point", service_point)
    return tagged(answer(ServicePoint(**rows[0])), _tag(rows[0]))


@router.patch("/{service_point}", responses=documented("ServicePoint", also=(412,)))
async def change_service_point(
    parts: Parts,
    who: Caller,
    service_point: PathId,
    body: ChangeServicePoint,
    if_match: IfMatch = None,
) -> Response:
    """Change zone, position, transformer, feeder or area of a service point."""
    name = service_point if is_id(service_point) else ""
    row = await parts.store.run(who.tenant_id, _change(who, name, body, if_match))
    if row is None:
        raise not_found("service point", service_point)
    return tagged(answer(ServicePoint(**row)), _tag(row))


def _change(
    who: Principal, name: str, body: ChangeServicePoint, if_match: str | None
) -> Plan[Row | None]:
    key = {"tenant_id": who.tenant_id, "name": name}
    if not (yield SQL("lock_service_point", **key)):
        return None
    row = (yield SQL("service_point", **key))[0]
    demand_match(if_match, _tag(row))
    said = body.model_dump(include=body.model_fields_set)
    if any(_differs(row[field], value) for field, value in said.items()):
        fields = {field: row[field] for field in ChangeServicePoint.model_fields} | said
        yield SQL("change_service_point", **key, **fields)
        row = (yield SQL("service_point", **key))[0]
    return row
