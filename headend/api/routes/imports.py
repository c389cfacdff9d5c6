"""Bring in many meters, or history, as one file.

The body goes to disk first, as it comes; only then are its rows read and stored, a few thousand in
a transaction. So a slow sender holds no connection, and a file of any size no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, Literal, TypeAlias

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from headend.api.answers import answer, documented
from headend.api.data_views import ImportFault, ImportReport
from headend.api.export.formats import Format
from headend.api.imports import meters, readings
from headend.api.imports.files import csv_chunks, parquet_chunks
from headend.api.problems import (
    BAD_REQUEST,
    TOO_LARGE,
    TOO_SLOW_SENDER,
    UNSUPPORTED,
    Problem,
)
from headend.api.services import Caller, Parts
from headend.service.imports import ADDED, UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headend.api.access import Principal
    from headend.api.imports.files import Chunks, Line
    from headend.api.services import Services
    from headend.service.imports import Outcomes
    from headend.store.plan import Plan

PREFIX: Final = "/v1/imports/"
router = APIRouter(prefix=PREFIX.rstrip("/"), tags=["imports"])
FILE_BYTES_MAX: Final = 256 << 20
FILE_S: Final = 600
PART_S: Final = 30
FAULTS_MAX: Final = 1000
OFFERED: Final = (Format.CSV, Format.PARQUET)
_FILE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            Format.CSV.value: {"schema": {"type": "string"}},
            Format.PARQUET.value: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
Planner: TypeAlias = "Callable[[list[Line]], Plan[Outcomes]]"


class ImportQuery(BaseModel):
    """`dry_run` stores nothing and reports the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dry_run: bool = False


class HistoryQuery(ImportQuery):
    """`decimal` is the mark in the numbers of a CSV."""

    decimal: Literal[".", ","] = "."


@router.post("/meters", responses=documented("ImportReport", also=(415,)), openapi_extra=_FILE)
async def import_meters(
    request: Request, parts: Parts, who: Caller, query: Annotated[ImportQuery, Query()]
) -> Response:
    """Register the meters of a file, CSV or Parquet, with their service points.

    Columns are the fields of `POST /v1/meters`, and `transformer`, `feeder` and `area`. What a line
    cannot be is refused by itself and reported; the others are stored. The same file again changes
    nothing.
    """
    plan = meters.MeterFile(parts, who.tenant_id).plan
    columns = (meters.COLUMNS, meters.NEEDED)
    return await _import(request, parts, who, plan=plan, columns=columns, dry_run=query.dry_run)


@router.post("/readings", responses=documented("ImportReport", also=(415,)), openapi_extra=_FILE)
async def import_readings(
    request: Request, parts: Parts, who: Caller, query: Annotated[HistoryQuery, Query()]
) -> Response:
    """Store readings of the past from a file, CSV or Parquet, as `GET /v1/readings` writes them.

    Columns: `meter`, `channel`, `time`, `value`, and where wanted `scaler`, `unit`, `quality`. A
    reading that is there is never changed: another value for it is refused. What came in is
    validated as if it had been read.
    """
    plan = readings.ReadingFile(who.tenant_id, query.decimal, parts.now()).plan
    columns = (readings.COLUMNS, readings.NEEDED)
    return await _import(request, parts, who, plan=plan, columns=columns, dry_run=query.dry_run)


async def _import(
    request: Request,
    parts: Services,
    who: Principal,
    *,
    plan: Planner,
    columns: tuple[Sequence[str], Sequence[str]],
    dry_run: bool,
) -> Response:
    form = _form(request)
    with tempfile.TemporaryFile() as file:
        await _receive(request, file)
        file.seek(0)
        chunks = csv_chunks if form is Format.CSV else parquet_chunks
        lines = await asyncio.to_thread(chunks, file, *columns)
        return answer(await _store(parts, who, plan, lines, dry_run=dry_run))


def _form(request: Request) -> Format:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    found = next((one for one in OFFERED if one.value == kind), None)
    if found is None:
        raise Problem(UNSUPPORTED, f"send {' or '.join(one.value for one in OFFERED)}")
    return found


async def _receive(request: Request, file: BinaryIO) -> None:
    """The body on disk. Raises Problem: too large, too slow, gone."""
    size, parts = 0, request.stream()
    try:
        async with asyncio.timeout(FILE_S):
            while True:
                async with asyncio.timeout(PART_S):
                    part = await anext(parts, None)
                if part is None:
                    return
                size += len(part)
                if size > FILE_BYTES_MAX:
                    raise Problem(TOO_LARGE, f"a file may have at most {FILE_BYTES_MAX} bytes")
                file.write(part)
    except TimeoutError:
        raise Problem(TOO_SLOW_SENDER, f"a file must come within {FILE_S} s") from None
    except ClientDisconnect:
        raise Problem(BAD_REQUEST, "the caller went away in the middle of the file") from None


class _DryError(Exception):
    """Ends a transaction of a dry run without committing it."""


async def _store(
    parts: Services, who: Principal, plan: Planner, chunks: Chunks, *, dry_run: bool
) -> ImportReport:
    counts = {ADDED: 0, UNCHANGED: 0}
    faults: list[ImportFault] = []
    seen = 0
    while lines := await asyncio.to_thread(next, chunks, None):
        outcomes = await _chunk(parts, who, plan, lines, dry_run=dry_run)
        seen += len(lines)
        for line, outcome in zip(lines, outcomes, strict=True):
            if outcome in counts:
                counts[outcome] += 1
            elif len(faults) < FAULTS_MAX:
                faults.append(ImportFault(line.number, outcome))
    refused = seen - sum(counts.values())
    return ImportReport(dry_run, seen, counts[ADDED], counts[UNCHANGED], refused, faults)


async def _chunk(
    parts: Services, who: Principal, plan: Planner, lines: list[Line], *, dry_run: bool
) -> Outcomes:
    found: Outcomes = []
    outcomes = await asyncio.to_thread(plan, lines)

    def whole() -> Plan[None]:
        found.extend((yield from outcomes))
        if dry_run:
            raise _DryError

    with contextlib.suppress(_DryError):
        await parts.store.run(who.tenant_id, whole())
    return found
