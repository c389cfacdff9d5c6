"""Any list of the API as one file: all its pages, one after the other.

The route itself is called page by page, so a file holds what the list shows, under the same
filters and for the same eyes.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import xlsxwriter
from starlette.responses import Response, StreamingResponse

from headend.api.export.formats import Format, negotiate
from headend.api.export.tables import SHEET_FULL, XLSX_ROWS_MAX, inert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from headend.api.views import View

    Route: TypeAlias = Callable[..., Awaitable[Response]]

OFFERED: Final = (Format.JSON, Format.CSV, Format.XLSX)
ROWS_A_PAGE: Final = 1000
ROWS_MAX: Final = XLSX_ROWS_MAX - 1
"""In a sheet; the last row is kept for saying that there is more."""


def also_as_files(view: type[View]) -> Callable[[Route], Route]:
    """Let a list route answer `?format=csv` and `xlsx` too.

    Args:
        view: of its items; its fields are the columns. The route takes `request` and `query`, a
            PageQuery, and answers `{"items": [...], "next": cursor}`.
    """
    columns = [one.encode_name for one in msgspec.structs.fields(view)]

    def wrap(route: Route) -> Route:
        @wraps(route)
        async def listed(**arguments: Any) -> Response:
            accept = arguments["request"].headers.get("accept", "")
            form = negotiate(arguments["query"].format, accept, OFFERED)
            if form is Format.JSON:
                return await route(**arguments)
            pages = _pages(route, arguments)
            first = await anext(pages)  # so that an error is an answer, not a broken file
            return StreamingResponse(
                _WRITERS[form](columns, first, pages),
                media_type=form.value,
                headers={
                    "content-disposition": f'attachment; filename="{route.__name__}.{form.suffix}"'
                },
            )

        return listed

    return wrap


_Items: TypeAlias = "list[dict[str, Any]]"


async def _pages(route: Route, arguments: dict[str, Any]) -> AsyncIterator[_Items]:
    query = arguments["query"].model_copy(update={"page_size": ROWS_A_PAGE})
    while True:
        response = await route(**{**arguments, "query": query})
        page = msgspec.json.decode(response.body)
        yield page["items"]
        if page["next"] is None:
            return
        query = query.model_copy(update={"cursor": page["next"]})


def _cell(value: Any) -> Any:
    """A value as spreadsheets read it."""
    if isinstance(value, str):
        return inert(value)
    if isinstance(value, (dict, list)):
        return inert(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return value


async def _csv(
    columns: Sequence[str], first: _Items, rest: AsyncIterator[_Items]
) -> AsyncIterator[bytes]:
    """Text by RFC 4180; null is an empty field."""
    yield (",".join(columns) + "\r\n").encode()
    page: _Items | None = first
    while page:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([_cell(item[name]) for name in columns] for item in page)
        yield text.getvalue().encode()
        page = await anext(rest, None)


async def _xlsx(
    columns: Sequence[str], first: _Items, rest: AsyncIterator[_Items]
) -> AsyncIterator[bytes]:
    """A workbook of one sheet, kept on disk until it is whole."""
    with tempfile.TemporaryFile() as file:
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        book = xlsxwriter.Workbook(file, options)
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, columns)
        sheet.freeze_panes(1, 0)
        row = 0
        page: _Items | None = first
        while page and row < ROWS_MAX:
            for item in page[: ROWS_MAX - row]:
                row += 1
                sheet.write_row(row, 0, [_cell(item[name]) for name in columns])
            page = await anext(rest, None)
        if page:
            sheet.write_string(ROWS_MAX + 1, 0, SHEET_FULL)
        book.close()
        file.seek(0)
        while part := file.read(1 << 16):
            yield part


_WRITERS: Final = {Format.CSV: _csv, Format.XLSX: _xlsx}
