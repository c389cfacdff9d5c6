"""Tariffs as data, what they would cost, and when a rule pack permits cutting."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from headend.api import contract_views as views
from headend.api.answers import answer, documented
from headend.api.fields import Body, Id, Instant, PathId
from headend.api.problems import invalid, not_found
from headend.api.services import Caller, Parts
from headend.prepayment.charges import tariff_versions
from headend.prepayment.charging import simulate
from headend.prepayment.intervals import Interval
from headend.prepayment.permission import PermissionContext, may_disconnect
from headend.prepayment.rules import load_pack, pack_names
from headend.prepayment.tariff import Tariff, load_tariff
from headend.service import accounts
from headend.store.plan import Plan
from ohmesh.model.errors import ConfigError, PrepaymentError

router = APIRouter(prefix="/v1", tags=["prepayment"])
YEAR = timedelta(days=366)


class AddVersion(Body):
    """A version of a tariff, as data: `headend/prepayment/tariff.py` describes `content`."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    content: dict[str, Any]


class Usage(BaseModel):
    """Energy of one interval, by its START."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Instant
    minutes: Annotated[int, Field(strict=True, ge=1, le=1440)]
    wh: Annotated[int, Field(strict=True, ge=0, le=10**9)]


class Simulate(Body):
    """What to price: a stored `tariff` or the `content` of one, and intervals of at most a year."""

    tariff: Id | None = None
    content: dict[str, Any] | None = None
    intervals: Annotated[list[Usage], Field(max_length=50_000)]
    opening_wh: Annotated[int, Field(strict=True, ge=0, le=10**12)] = 0


class AtQuery(BaseModel):
    """An instant, and the service point's time zone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: Instant | None = None
    zone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+/-]{1,60}$")] = "UTC"


@router.post(
    "/tariffs/versions",
    status_code=201,
    responses=documented("TariffVersion", created=201, repeats=False),
    name="add_tariff_version",
)
async def add_version(parts: Parts, who: Caller, body: AddVersion) -> Response:
    """Add a version of a tariff with blocks, periods, taxes, lifeline or subsidy."""
    name = body.content.get("id")
    plan = _added(who.tenant_id, body)
    version, tariff = await parts.store.run(who.tenant_id, plan)
    content = msgspec.to_builtins(tariff)
    return answer(views.TariffVersion(str(name), body.currency, version, content), 201)


def _added(tenant_id: int, body: AddVersion) -> Plan[tuple[int, Tariff]]:
    number = yield from accounts.add_version(tenant_id, body.content, currency=body.currency)
    versions = yield from tariff_versions(tenant_id, str(body.content["id"]))
    return number, next(t for t in versions if t.version == number)


@router.post("/tariffs/simulate", responses=documented("Simulation"), name="simulate_tariff")
async def simulate_one(parts: Parts, who: Caller, body: Simulate) -> Response:
    """Price intervals; nothing is kept."""
    versions = await _versions(parts, who, body)
    intervals = [Interval(one.start, one.minutes, one.wh) for one in body.intervals]
    if intervals:
        starts = [one.start for one in intervals]
        if max(starts) - min(starts) > YEAR:
            raise invalid("/body/intervals", "the intervals span more than a year")
    charges = simulate(versions, intervals, body.opening_wh)
    lines = [
        views.Charge(day, component, amount) for (day, component), amount in sorted(charges.items())
    ]
    signs = {True: -1, False: 1}
    total = sum(signs[c.component.startswith("subsidy:")] * c.amount_mu for c in lines)
    return answer(views.Simulation(total, lines))


async def _versions(parts: Parts, who: Caller, body: Simulate) -> tuple[Tariff, ...]:
    if (body.tariff is None) == (body.content is None):
        raise invalid("/body", "give exactly one of tariff and content")
    if body.content is not None:
        try:
            return (load_tariff({"version": 1, **body.content}),)
        except ConfigError as error:
            raise PrepaymentError("tariff", str(error)) from error
    assert body.tariff is not None
    versions = await parts.store.run(who.tenant_id, tariff_versions(who.tenant_id, body.tariff))
    if not versions:
        raise not_found("tariff", body.tariff)
    return versions


@router.get(
    "/policies/{pack}/may-disconnect", responses=documented("MayDisconnect"), name="may_disconnect"
)
async def ask(
    parts: Parts, _who: Caller, pack: PathId, query: Annotated[AtQuery, Query()]
) -> Response:
    """Tell whether the hours of a rule pack permit cutting an ordinary customer."""
    if pack not in pack_names():
        raise not_found("rule pack", pack)
    at = query.at or parts.now()
    try:
        context = PermissionContext(ZoneInfo(query.zone), debt_mu=2**53)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid("/query/zone", "no IANA time zone") from None
    found = may_disconnect(at, load_pack(pack), context)
    return answer(views.MayDisconnect(pack, at, found.ok, found.reason, found.next_permitted))
