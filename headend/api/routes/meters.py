"""Meters and their readings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import views
from headend.api.answers import Pager, accepted, answer, documented
from headend.api.etags import IfMatch, closed_periods, demand_match, etag, tagged
from headend.api.export.lists import also_as_files
from headend.api.fields import (
    FIRST_INSTANT,
    LAST_INSTANT,
    Body,
    Channel,
    Id,
    Instant,
    Metres,
    PageQuery,
    PathId,
    Zone,
    is_id,
)
from headend.api.problems import invalid, not_found
from headend.api.services import SQL, Caller, Parts, Services
from headend.keystore import market_name
from headend.service.fleet import (
    NewMeter,
    add_service_point,
    change_meter,
    lock_meter,
    register_meter,
)
from ohmesh.model.command import RelayState
from ohmesh.model.ids import address, mesh_address, meter_id
from ohmesh.model.reading import Quality

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.store.plan import Plan, Row, Statement

router = APIRouter(prefix="/v1/meters", tags=["meters"])
KeyHex = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")]
LAST_NAME = "z" * 65
"""Above every name, in the C collation and in every language's."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUALITY = {flags: [f.name.lower() for f in Quality(flags) if f.name] for flags in range(64)}


def span(name: str | None = None, after: str | None = None) -> dict[str, str]:
    """Bounds of a scan along names: one name, or all behind a cursor."""
    return {"first": name or "", "last": name or LAST_NAME, "after": after or ""}


class MeterQuery(PageQuery):
    """Filters of the list of meters."""

    FILTERS: ClassVar = ("prefix", "profile", "gateway", "silent_since", "group", "feeder")

    prefix: Id | None = None
    profile: Id | None = None
    gateway: Id | None = None
    silent_since: Instant | None = None
    group: Id | None = None
    feeder: Id | None = None


class RegisterMeter(Body):
    """A meter to make known. Its telegrams that waited in quarantine are then decoded.

    `node` is its number in the mesh; without it and without `address` the meter speaks for itself
    under its own id. `key_hex` is its 128-bit key; the store keeps it encrypted and never shows it.
    `unicast_key_hex` and `authentication_key_hex` are those of a meter that encrypts by the
    standard of its market (DLMS, OMS); the store keeps them the same way.
    """

    meter: Id
    profile: Id
    interval_s: Annotated[int, Field(strict=True, ge=60, le=86_400)] = 900
    node: Annotated[int, Field(strict=True, ge=0, lt=2**32)] | None = None
    address: Id | None = None
    key_hex: KeyHex | None = None
    unicast_key_hex: KeyHex | None = None
    authentication_key_hex: KeyHex | None = None
    service_point: Id | None = None
    zone: Zone = "UTC"
    x_m: Metres | None = None
    y_m: Metres | None = None


class ChangeMeter(Body):
    """What is to be another; what is left away stays. Keys as in a registration."""

    profile: Id | None = None
    interval_s: Annotated[int, Field(strict=True, ge=60, le=86_400)] | None = None
    service_point: Id | None = None
    key_hex: KeyHex | None = None
    unicast_key_hex: KeyHex | None = None
    authentication_key_hex: KeyHex | None = None


class ReadingQuery(BaseModel):
    """Which readings: `period_from` <= time < `period_to`, both RFC 3339 with a zone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    period_from: Instant | None = None
    period_to: Instant | None = None
    channel: Annotated[list[Channel], Field(max_length=50)] = []
    order: Literal["asc", "desc"] = "asc"
    page_size: Annotated[int, Field(ge=1, le=10_000)] = 1000
    cursor: Annotated[str, Field(max_length=512)] | None = None
    format: Literal["json", "csv", "xlsx"] | None = None


def meter_view(row: Row) -> views.Meter:
    """A row of the query `meters`."""
    relay = row["relay"]
    return views.Meter(**{**row, "relay": None if relay is None else relay_name(relay)})


def relay_name(number: int) -> str:
    """A relay state as the API writes it: `connected`, `disconnected` ..."""
    return RelayState(number).name.lower()


async def find_meter(parts: Services, who: Principal, name: str) -> Row:
    """A meter's row of the query `meters`. Raises Problem(not-found)."""
    if not is_id(name):
        raise not_found("meter", name)
    whole = span(name) | dict.fromkeys(MeterQuery.FILTERS)
    statement = SQL("meters", tenant_id=who.tenant_id, **whole, limit=1)
    rows = await parts.store.rows(who.tenant_id, statement.planned_once())
    if not rows:
        raise not_found("meter", name)
    return rows[0]


@router.get("", responses=documented("MeterPage", files=True))
@also_as_files(views.Meter)
async def list_meters(
    request: Request, parts: Parts, who: Caller, query: Annotated[MeterQuery, Query()]
) -> Response:
    """List meters in the order of their ids."""
    scope = query.scope("meters", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], (None,))
    filters = {name: getattr(query, name) for name in MeterQuery.FILTERS}
    statement = SQL(
        "meters", tenant_id=who.tenant_id, **span(after=after), **filters, limit=pager.limit
    )
    if not any(filters.values()):  # along the names, whatever the page
        statement = statement.planned_once()
    rows = await parts.store.rows(who.tenant_id, statement)
    return pager.page(rows, meter_view, lambda row: (row["meter"],))


@router.post("", status_code=201, responses=documented("Meter", created=201), name="register_meter")
async def register(parts: Parts, who: Caller, body: RegisterMeter) -> Response:
    """Register a meter. The same content again changes nothing and answers 200."""
    known = await parts.rows(who.tenant_id, "find_meter_id", name=body.meter)
    await parts.store.run(who.tenant_id, _register(who.tenant_id, body, parts))
    row = await find_meter(parts, who, body.meter)
    return accepted(meter_view(row), replayed=bool(known))


def _register(tenant_id: int, body: RegisterMeter, parts: Services) -> Plan[None]:
    place = place_of(body)
    meter = new_meter(body, place, parts)
    if place is not None:
        yield from add_service_point(tenant_id, place, zone=body.zone, x_m=body.x_m, y_m=body.y_m)
    yield from register_meter(tenant_id, meter)


def place_of(body: RegisterMeter) -> str | None:
    """The service point of a new meter: as named, or one of its own when it has a position."""
    if body.service_point is None and body.x_m is not None:
        return body.meter
    return body.service_point


def new_meter(body: RegisterMeter, place: str | None, parts: Services) -> NewMeter:
    """The registration as the service takes it. Raises Problem(invalid), ModelError."""
    if body.address and body.node is not None:
        raise invalid("/body/address", "give address or node, not both")
    own = address(body.address or body.meter)
    return NewMeter(
        name=meter_id(body.meter),
        address=own if body.node is None else mesh_address(body.node),
        profile=body.profile,
        interval_s=body.interval_s,
        key_sealed=parts.seal_key(body.meter, bytes.fromhex(body.key_hex))
        if body.key_hex
        else None,
        market_keys_sealed=_market_keys(body.meter, body, parts),
        service_point=place,
    )


def _market_keys(meter: str, body: RegisterMeter | ChangeMeter, parts: Services) -> bytes | None:
    if body.unicast_key_hex is None:
        if body.authentication_key_hex is not None:
            raise invalid("/body/unicast_key_hex", "an authentication key needs a unicast key")
        return None
    octets = bytes.fromhex(body.unicast_key_hex + (body.authentication_key_hex or ""))
    return parts.seal_key(market_name(meter), octets)


@router.get("/{meter}", responses=documented("Meter"))
async def get_meter(parts: Parts, who: Caller, meter: PathId) -> Response:
    """One meter. Its ETag names the `version` of what people set, for If-Match."""
    row = await find_meter(parts, who, meter)
    return tagged(answer(meter_view(row)), etag(row["version"]))


@router.patch("/{meter}", responses=documented("Meter", also=(412,)), name="change_meter")
async def change(
    parts: Parts, who: Caller, meter: PathId, body: ChangeMeter, if_match: IfMatch = None
) -> Response:
    """Change what is named of a meter: profile, interval, service point, keys.

    Its telegrams that wait in quarantine are decoded again.
    """
    await parts.store.run(who.tenant_id, _change(who, meter, body, if_match, parts))
    row = await find_meter(parts, who, meter)
    return tagged(answer(meter_view(row)), etag(row["version"]))


def _change(
    who: Principal, meter: str, body: ChangeMeter, if_match: str | None, parts: Services
) -> Plan[None]:
    name = meter if is_id(meter) else ""
    version = yield from lock_meter(who.tenant_id, name)
    if version is None:
        raise not_found("meter", meter)
    demand_match(if_match, etag(version))
    yield from change_meter(
        who.tenant_id,
        name,
        profile=body.profile,
        interval_s=body.interval_s,
        service_point=body.service_point,
        key_sealed=parts.seal_key(name, bytes.fromhex(body.key_hex)) if body.key_hex else None,
        market_keys_sealed=_market_keys(name, body, parts),
    )


@router.get("/{meter}/readings", responses=documented("ReadingPage", files=True, kept=True))
@closed_periods
@also_as_files(views.Reading)
async def list_readings(
    request: Request,
    parts: Parts,
    who: Caller,
    meter: PathId,
    query: Annotated[ReadingQuery, Query()],
) -> Response:
    """List a meter's readings, by time and then channel.

    A register's value is taken at an instant, so `period_from` is inclusive and `period_to`
    exclusive. Without bounds everything is listed, from the beginning or (`order=desc`) the end.
    """
    scope = {
        "list": "readings",
        "tenant": who.tenant_id,
        "meter": meter,
        **query.model_dump(mode="json", exclude={"page_size", "cursor", "format"}),
    }
    pager = Pager(request, parts.cursors, scope, query)
    after = pager.behind(tuple[int, int], None)
    wanted = SQL("meter_and_channels", tenant_id=who.tenant_id, name=meter if is_id(meter) else "")
    channels = await parts.store.rows(who.tenant_id, wanted.planned_once())
    if not channels:
        raise not_found("meter", meter)
    statement = _readings(who, channels, query, after, pager.limit)
    rows = values_of((await parts.store.rows(who.tenant_id, statement))[0])
    meaning = {row["id"]: (row["name"], row["scaler"], row["unit"]) for row in channels}
    return pager.page(rows, partial(reading_view, meaning), _reading_key)


_Value: TypeAlias = tuple[int, datetime, int, int]
"""Channel number, time, value, quality flags."""


def reading_view(meaning: dict[int, tuple[str, int, str]], row: _Value) -> views.Reading:
    """A value with the name, scaler and unit of its channel."""
    channel, time, value, flags = row
    name, scaler, unit = meaning[channel]
    return views.Reading(name, time, value, scaler, unit, _QUALITY[flags])


def _reading_key(row: _Value) -> tuple[int, int]:
    return (row[1] - _EPOCH) // timedelta(microseconds=1), row[0]


def values_of(columns: Row) -> list[_Value]:
    """The answer of the queries `readings_up` and `readings_down`, row by row."""
    if columns["times"] is None:
        return []
    return list(
        zip(
            columns["channels"],
            columns["times"],
            columns["amounts"],
            columns["flags"],
            strict=True,
        )
    )


def _readings(
    who: Principal,
    channels: list[Row],
    query: ReadingQuery,
    after: tuple[int, int] | None,
    limit: int,
) -> Statement:
    """The question for a page."""
    wanted = set(query.channel)
    known = (row for row in channels if row["id"] is not None)
    return SQL(
        "readings_up" if query.order == "asc" else "readings_down",
        tenant_id=who.tenant_id,
        meter_id=channels[0]["meter_id"],
        channels=[row["id"] for row in known if not wanted or row["name"] in wanted],
        limit=limit,
        **_bounds(query, after),
    ).planned_once()


def _bounds(query: ReadingQuery, after: tuple[int, int] | None) -> dict[str, object]:
    """Where the scan begins and ends; a cursor moves the end that the scan comes from."""
    lower = query.period_from or FIRST_INSTANT
    upper = query.period_to or LAST_INSTANT
    number = -1
    if after is not None:
        here = _EPOCH + timedelta(microseconds=after[0])
        number = after[1]
        lower, upper = (here, upper) if query.order == "asc" else (lower, here)
    return {"from_ts": lower, "to_ts": upper, "after_channel": number}
