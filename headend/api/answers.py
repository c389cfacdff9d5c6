"""How answers are written: JSON by msgspec, pages with a cursor, and their OpenAPI entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from headend.api.export.formats import Format
from headend.api.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request

    from headend.api.cursor import Cursors
    from headend.api.views import View

_Row = TypeVar("_Row")
_Key = TypeVar("_Key")
_First = TypeVar("_First")
_JSON = "application/json"
_encode = msgspec.json.Encoder().encode


def answer(content: object, status: int = 200) -> Response:
    """A value as a JSON answer."""
    return Response(_encode(content), status, media_type=_JSON)


def accepted(content: View, *, replayed: bool, status: int = 201) -> Response:
    """The answer to a write: `status` the first time, 200 with the same body for a repeat."""
    return answer(content, 200 if replayed else status)


class Paged(Protocol):
    """What a list is asked for."""

    @property
    def page_size(self) -> int:
        """How many items at most."""

    @property
    def cursor(self) -> str | None:
        """The `next` of the page before."""


class Pager:
    """One page of a list: asks the query for a row more than the page holds to see if it ends."""

    def __init__(
        self, request: Request, cursors: Cursors, scope: Mapping[str, object], query: Paged
    ) -> None:
        self._request = request
        self._cursors = cursors
        self._scope = scope
        self._query = query

    def behind(self, kind: type[_Key], first: _First) -> _Key | _First:
        """The sort key that the page begins behind; `first` without a cursor.

        Raises: Problem(invalid-cursor).
        """
        text = self._query.cursor
        return self._cursors.open(self._scope, text, kind) if text else first

    @property
    def limit(self) -> int:
        """The limit for the query."""
        return self._query.page_size + 1

    def page(
        self,
        rows: Sequence[_Row],
        view: Callable[[_Row], object],
        key: Callable[[_Row], tuple[object, ...]],
    ) -> Response:
        """The rows as items, and the cursor behind the last when there are more."""
        shown = rows[: self._query.page_size]
        more = len(rows) > len(shown)
        cursor = self._cursors.seal(self._scope, key(shown[-1])) if more else None
        response = answer({"items": [view(row) for row in shown], "next": cursor})
        if cursor:
            response.headers["Link"] = f'<{self._next(cursor)}>; rel="next"'
        return response

    def _next(self, cursor: str) -> str:
        pairs = [p for p in self._request.query_params.multi_items() if p[0] != "cursor"]
        return f"{self._request.url.path}?{urlencode([*pairs, ('cursor', cursor)])}"


def _content(schema: str, media_type: str = _JSON) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


PROBLEMS_ANYWHERE = {
    400: "the request cannot be read",
    403: "not from this host or page",
    408: "the body comes too slowly",
    413: "the body is above 1 MiB",
    429: "more requests than the caller's share; Retry-After says when",
}
"""What the gate before all routes may answer to any operation."""
_PROBLEMS = {
    401: "a token is needed, or it is not known",
    403: "the permission is missing, or not from this host or page",
    404: "absent, or somebody else's",
    409: "the same key or name with other content",
    413: "the body is above 1 MiB",
    422: "values that are not allowed",
    429: "more requests than the caller's share; Retry-After says when",
    503: "the database does not answer, or not in time",
}
_RARE = {
    412: "If-Match names an older version",
    415: "a file of a kind that is not taken",
}


def documented(
    schema: str,
    *,
    created: int | None = None,
    repeats: bool = True,
    files: bool = False,
    kept: bool = False,
    only: Sequence[int] = tuple(_PROBLEMS),
    also: Sequence[int] = (),
) -> Any:
    """The `responses` of an operation: its answer and the problems that it may end in.

    Args:
        schema: name of the answer's schema; empty when it is no JSON.
        created: status of a first write; a repeat is 200.
        repeats: whether a repeat is answered at all; otherwise it is a conflict.
        files: whether the list can be a CSV or XLSX file too (`export.lists`).
        kept: whether a caller may keep the answer (`etags.closed_periods`).
        only: the problems that can happen.
        also: rare ones, which most operations cannot end in.
    """
    found: dict[int | str, dict[str, Any]] = {}
    if schema and (repeats or created is None):
        description = "the answer" if created is None else "a repeat: the first answer again"
        found[200] = {"description": description, "content": _content(schema)}
        if files:
            found[200]["content"] |= {
                one.value: {"schema": {"type": "string"}} for one in (Format.CSV, Format.XLSX)
            }
    if created is not None:
        found[created] = {"description": "accepted", "content": _content(schema)}
    for status, description in _PROBLEMS.items():
        if status in only:
            found[status] = problem_entry(description)
    if kept:
        found[304] = {"description": "the answer that If-None-Match names still holds"}
    for status in also:
        found[status] = problem_entry(_RARE[status])
    return found


def problem_entry(description: str) -> dict[str, Any]:
    """A problem among the `responses` of an operation."""
    return {"description": description, "content": _content("ProblemDocument", MEDIA_TYPE)}
