"""The map: where it is dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api.problems import invalid
from headend.api.services import Caller, Parts
from headend.security.roles import Permission
from headend.store.plan import Plan, Queries, Row, first
from headend.web.deeds import note
from headend.web.geography import Box, Origin
from headend.web.render import render
from headend.web.sign_in import form_of

if TYPE_CHECKING:
    from datetime import datetime

    from headend.api.access import Principal

router = APIRouter(include_in_schema=False)
SQL: Final = Queries("headend.web", "pages.sql")
CELLS: Final = 2000
"""How many marks a view holds at most; above it neighbours share one."""
SKETCH_MARKS: Final = 120
"""How many marks side by side fill the sketch."""
NULL_ISLAND: Final = Origin(0.0, 0.0)
DARK_ROWS: Final = 30
Degrees = Annotated[float, Field(ge=-360, le=360, allow_inf_nan=False)]


class View(BaseModel):
    """What is seen of the earth, degrees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    west: Degrees
    south: Degrees
    east: Degrees
    north: Degrees


@router.get("/map")
async def map_page(request: Request, parts: Parts, who: Caller) -> Response:
    """Where is it dark?"""
    origin, bounds, cells = await parts.store.run(who.tenant_id, _page(who, parts.now()))
    at = origin or NULL_ISLAND
    return render(
        request,
        "map.html",
        origin=origin,
        places=bounds["places"],
        box=[
            *at.degrees(bounds["west_m"], bounds["south_m"]),
            *at.degrees(bounds["east_m"], bounds["north_m"]),
        ]
        if bounds["places"]
        else None,
        dark=[cell for cell in cells if cell["silent"] or cell["disconnected"]][:DARK_ROWS],
        sketch=_sketch(cells, bounds) if bounds["places"] else None,
        silent=sum(cell["silent"] for cell in cells),
        awaited=sum(cell["awaited"] for cell in cells),
        meters=sum(cell["meters"] for cell in cells),
        changes=who.may(Permission.FLEET_WRITE),
    )


def _sketch(cells: list[Row], bounds: Row) -> dict[str, object]:
    """The marks for the eye until the map has drawn its first frame; y grows southwards."""
    wide_m = max(bounds["east_m"] - bounds["west_m"], 1.0)
    tall_m = max(bounds["north_m"] - bounds["south_m"], 1.0)
    return {
        "size": f"{wide_m:.1f} {tall_m:.1f}",
        "radius": round(max(wide_m, tall_m) / SKETCH_MARKS, 1),
        "marks": [
            (
                round(cell["x_m"] - bounds["west_m"], 1),
                round(bounds["north_m"] - cell["y_m"], 1),
                _state(cell),
            )
            for cell in cells
        ],
    }


def _state(cell: Row) -> str:
    """What a mark says first."""
    return next((name for name in ("silent", "disconnected", "awaited") if cell[name]), "heard")


def _page(who: Principal, now: datetime) -> Plan[tuple[Origin | None, Row, list[Row]]]:
    origin = yield from _origin(who.tenant_id)
    bounds = (yield SQL("map_bounds", tenant_id=who.tenant_id))[0]
    if not bounds["places"]:
        return origin, bounds, []
    box = Box(*(bounds[side] for side in ("west_m", "south_m", "east_m", "north_m")))
    return origin, bounds, (yield from _cells(who.tenant_id, box, now))


def _origin(tenant_id: int) -> Plan[Origin | None]:
    row = first((yield SQL("map_origin", tenant_id=tenant_id)))
    return None if row is None else Origin(row["latitude"], row["longitude"])


def _cells(tenant_id: int, box: Box, now: datetime) -> Plan[list[Row]]:
    return (
        yield SQL(
            "map_cells",
            tenant_id=tenant_id,
            west_m=box.west_m,
            south_m=box.south_m,
            east_m=box.east_m,
            north_m=box.north_m,
            cell_m=box.cell_m(CELLS),
            now=now,
            limit=2 * CELLS,
        )
    )


@router.get("/map/places")
async def map_places(parts: Parts, who: Caller, view: Annotated[View, Query()]) -> Response:
    """The marks of a view, as GeoJSON (RFC 7946)."""

    def plan() -> Plan[tuple[Origin, list[Row]]]:
        origin = (yield from _origin(who.tenant_id)) or NULL_ISLAND
        west_m, south_m = origin.metres(view.west, view.south)
        east_m, north_m = origin.metres(view.east, view.north)
        box = Box(west_m, south_m, east_m, north_m)
        return origin, (yield from _cells(who.tenant_id, box, parts.now()))

    origin, cells = await parts.store.run(who.tenant_id, plan())
    features = [_feature(origin, cell) for cell in cells]
    octets = msgspec.json.encode({"type": "FeatureCollection", "features": features})
    return Response(octets, media_type="application/geo+json")


def _feature(origin: Origin, cell: Row) -> dict[str, object]:
    names = ("meters", "silent", "awaited", "disconnected", "meter")
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": origin.degrees(cell["x_m"], cell["y_m"])},
        "properties": {name: cell[name] for name in names} | {"state": _state(cell)},
    }


@router.post("/map")
async def set_map_origin(request: Request, parts: Parts, who: Caller) -> Response:
    """Say where on the earth the utility's own map begins."""
    form = await form_of(request)
    latitude = _degrees(form.get("latitude", ""), "/body/latitude", 85)
    longitude = _degrees(form.get("longitude", ""), "/body/longitude", 180)

    note(f"latitude {latitude}, longitude {longitude}")

    def plan() -> Plan[None]:
        yield SQL("set_map_origin", tenant_id=who.tenant_id, latitude=latitude, longitude=longitude)

    await parts.store.run(who.tenant_id, plan())
    return RedirectResponse("/map", 303)


def _degrees(text: str, where: str, most: int) -> float:
    try:
        degrees = float(text.replace(",", "."))
    except ValueError:
        degrees = most + 1.0
    if not -most <= degrees <= most:
        raise invalid(where, f"must be degrees from -{most} to {most}, such as 52.09")
    return degrees
