"""The dictionary of channels, and a meter's registers at an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from headend.api.answers import Pager, answer, documented
from headend.api.data_views import ChannelEntry, Registers
from headend.api.export.lists import also_as_files
from headend.api.fields import Instant, PageQuery, PathId, is_id
from headend.api.problems import not_found
from headend.api.routes.meters import reading_view
from headend.api.services import Caller, Parts
from headend.store.plan import Queries

if TYPE_CHECKING:
    from headend.api.views import Reading
    from headend.store.plan import Row

router = APIRouter(prefix="/v1", tags=["readings"])
SQL: Final = Queries("headend.api", "data.sql")


class AtQuery(BaseModel):
    """When; without `at` now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: Instant | None = None


@router.get("/channels", responses=documented("ChannelEntryPage", files=True))
@also_as_files(ChannelEntry)
async def list_channels(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List the channels that readings have come in, by name: unit and resolution of each."""
    scope = query.scope("channels")
    pager = Pager(request, parts.cursors, scope, query)
    after = pager.behind(tuple[str, int], ("", 0))
    statement = SQL("channels", after=after[0], after_id=after[1], limit=pager.limit)
    rows = await parts.store.rows(who.tenant_id, statement)
    return pager.page(rows, _entry, lambda row: (row["channel"], row["id"]))


def _entry(row: Row) -> ChannelEntry:
    return ChannelEntry(**{name: row[name] for name in ChannelEntry.__struct_fields__})


@router.get("/meters/{meter}/registers", responses=documented("Registers"))
async def read_registers(
    parts: Parts, who: Caller, meter: PathId, query: Annotated[AtQuery, Query()]
) -> Response:
    """Read a meter's registers as they stood at an instant: of each channel the last value."""
    at = query.at or parts.now()
    name = meter if is_id(meter) else ""
    statement = SQL("registers_at", tenant_id=who.tenant_id, meter=name, at=at)
    rows = await parts.store.rows(who.tenant_id, statement.planned_once())
    if not rows:
        raise not_found("meter", meter)
    return answer(Registers(meter, at, [_register(row) for row in rows if row["ts"]]))


def _register(row: Row) -> Reading:
    meaning = {row["channel"]: (row["name"], row["scaler"], row["unit"])}
    return reading_view(meaning, (row["channel"], row["ts"], row["value"], row["status"]))
