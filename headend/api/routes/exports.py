"""Readings of many meters as a file."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from headend.api import services
from headend.api.answers import documented
from headend.api.export.columns import Columns, columns_of
from headend.api.export.formats import Format, Word, need_columns, negotiate
from headend.api.export.tables import (
    ArrowWriter,
    CsvWriter,
    Dialect,
    Meaning,
    Writer,
    XlsxWriter,
)
from headend.api.fields import Channel, Id, Instant
from headend.api.problems import invalid
from headend.api.services import Caller, Parts, Services
from headend.store.plan import Queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headend.api.access import Principal
    from headend.store.plan import Plan

router = APIRouter(prefix="/v1", tags=["readings"])
SQL: Final = Queries("headend.api.export", "export.sql")
OFFERED: Final = (Format.CSV, Format.XLSX, Format.PARQUET, Format.ARROW)
VALUES_A_BLOCK: Final = 150_000
BLOCKS_AHEAD: Final = 2
"""Read at the same time; each holds a connection of the pool."""
METERS_A_BLOCK: Final = 5_000
_INTERVAL: Final = timedelta(minutes=15)
_PERIOD_MAX: Final = timedelta(days=3700)


class ExportQuery(BaseModel):
    """Which readings: `period_from` <= time < `period_to`; without `meter` those of all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    period_from: Instant
    period_to: Instant
    channel: Annotated[list[Channel], Field(max_length=50)] = []
    meter: Annotated[list[Id], Field(max_length=200)] = []
    prefix: Id | None = None
    gateway: Id | None = None
    format: Word | None = None
    delimiter: Literal[",", ";", "\t"] = ","
    decimal: Literal[".", ","] = "."
    bom: bool = False


@router.get(
    "/readings",
    responses={
        200: {
            "description": "the file",
            "content": {one.value: {"schema": {"type": "string"}} for one in OFFERED},
        },
        **documented("", only=(401, 403, 422, 429, 503)),
    },
    response_class=Response,
)
async def export_readings(
    parts: Parts,
    who: Caller,
    query: Annotated[ExportQuery, Query()],
    accept: Annotated[str, Header(max_length=500)] = "*/*",
) -> Response:
    """Export readings of many meters as CSV, XLSX, Parquet or an Arrow stream.

    Choose by `format` or `Accept`. Rows come by meter, channel and time. CSV and XLSX hold values
    in their unit; `delimiter`, `decimal` and `bom` suit the CSV to a spreadsheet's country. In
    Parquet and Arrow a value is an integer times 10^`scaler`.
    """
    if query.format == "json":
        raise invalid("/query/format", "JSON is a meter's: GET /v1/meters/{meter}/readings")
    if not timedelta() < query.period_to - query.period_from <= _PERIOD_MAX:
        raise invalid("/query/period_to", "must be later than period_from, by ten years at most")
    if query.delimiter == query.decimal:
        raise invalid("/query/decimal", "must differ from delimiter")
    form = negotiate(query.format, accept, OFFERED)
    if form in {Format.PARQUET, Format.ARROW}:
        need_columns()
    channels = await parts.store.run(who.tenant_id, _channels(query))
    blocks = _blocks(parts, who, query, list(channels))
    first = await anext(blocks, None)  # so that an error is an answer, not a broken file
    return StreamingResponse(
        _file(form, query, channels, first, blocks),
        media_type=form.value,
        headers={"content-disposition": f'attachment; filename="readings.{form.suffix}"'},
    )


def _channels(query: ExportQuery) -> Plan[dict[int, Meaning]]:
    rows = yield services.SQL("channels")
    wanted = set(query.channel)
    return {
        row["id"]: Meaning(row["name"], row["scaler"], row["unit"])
        for row in rows
        if not wanted or row["name"] in wanted
    }


_Block = tuple[dict[int, str], Columns]
"""Names of meters by number, and their readings."""


async def _blocks(
    parts: Services, who: Principal, query: ExportQuery, channels: list[int]
) -> AsyncIterator[_Block]:
    """The readings, some meters at a time: each block is a short transaction of its own.

    While one is written the next ones are read, so that store and writer are both at work.
    """
    ahead: deque[asyncio.Task[_Block]] = deque()
    try:
        async for names in _meters(parts, who, query, _meters_a_block(query, len(channels))):
            ahead.append(
                asyncio.create_task(_block(parts, who, query, channels, names), name="export")
            )
            if len(ahead) > BLOCKS_AHEAD:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


def _meters_a_block(query: ExportQuery, channels: int) -> int:
    per_meter = max(1, channels * ((query.period_to - query.period_from) // _INTERVAL))
    return max(1, min(METERS_A_BLOCK, VALUES_A_BLOCK // per_meter))


async def _meters(
    parts: Services, who: Principal, query: ExportQuery, count: int
) -> AsyncIterator[dict[int, str]]:
    """Names of the meters by number, some at a time in the order of their names."""
    after = ""
    while True:
        statement = SQL(
            "meters_after",
            tenant_id=who.tenant_id,
            after=after,
            names=query.meter or None,
            prefix=query.prefix,
            gateway=query.gateway,
            limit=count,
        )
        rows = await parts.store.rows(who.tenant_id, statement)
        if rows:
            yield {row["id"]: row["name"] for row in rows}
        if len(rows) < count:
            return
        after = rows[-1]["name"]  # the order is the database's


async def _block(
    parts: Services, who: Principal, query: ExportQuery, channels: list[int], names: dict[int, str]
) -> _Block:
    statement = SQL(
        "readings_packed",
        tenant_id=who.tenant_id,
        meters=list(names),
        channels=channels,
        from_ts=query.period_from,
        to_ts=query.period_to,
    )
    return names, columns_of(await parts.store.rows(who.tenant_id, statement), names)


async def _file(
    form: Format,
    query: ExportQuery,
    channels: dict[int, Meaning],
    first: _Block | None,
    rest: AsyncIterator[_Block],
) -> AsyncIterator[bytes]:
    """The file in parts. Writing is work for the processor, so a thread does it."""
    writer = _writer(form, query, channels)
    block = first
    while block is not None:
        names, columns = block
        yield await asyncio.to_thread(writer.write, names, columns)
        block = await anext(rest, None)
    for part in writer.end():
        yield part


def _writer(form: Format, query: ExportQuery, channels: dict[int, Meaning]) -> Writer:
    if form is Format.CSV:
        return CsvWriter(channels, Dialect(query.delimiter, query.decimal, query.bom))
    if form is Format.XLSX:
        return XlsxWriter(channels)
    return ArrowWriter(channels, parquet=form is Format.PARQUET)
