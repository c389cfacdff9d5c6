"""Errors as RFC 9457 problem documents, made in one place.

Every answer of 400 and above is `application/problem+json`: `type` (stable, a page of this server
that explains it), `title`, `status`, `detail`, `instance` and, for input, `errors` with a JSON
pointer each. Nothing of the inside (SQL, traces, file names) ever stands in one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from headend.store.db import KeyTaken, Unavailable
from ohmesh.model.errors import (
    AccessError,
    CommandError,
    Conflict,
    ModelError,
    PrepaymentError,
    ProfileError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

MEDIA_TYPE = "application/problem+json"
_NOT_YOURS = frozenset(
    {
        *("beyond_own", "same_person", "own_account", "disabled"),
        *("oidc_refused", "oidc_state", "oidc_token", "oidc_role", "oidc_name"),
    }
)
_UPSTREAM = frozenset({"oidc_away", "oidc_failed", "oidc_issuer"})
_QUERY_CANCELED = "57014"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of problem: its name in the URL, HTTP status, title and what to do about it."""

    name: str
    status: int
    title: str
    remedy: str

    @property
    def type(self) -> str:
        """The problem's `type`: a path of this server, so that it can be read offline."""
        return f"/problems/{self.name}"


BAD_REQUEST = Kind(
    "bad-request",
    400,
    "The request cannot be read",
    "Send a JSON object with the content type application/json.",
)
UNAUTHENTICATED = Kind(
    "unauthenticated",
    401,
    "A token is needed",
    "Send the header Authorization: Bearer TOKEN with an API key, or sign in at /login. The first "
    "key is in the file that api.token_file of the head-end's configuration names.",
)
FORBIDDEN = Kind(
    "forbidden",
    403,
    "Not for you, or not from here",
    "If a permission is missing, sign in as somebody who has it, or ask an administrator; in an "
    "answer of the API `code` names it. Otherwise call the server by the address it listens on, "
    "and write from its own pages only.",
)
NOT_FOUND = Kind(
    "not-found",
    404,
    "There is nothing here",
    "Check the id: what belongs to somebody else looks as absent as what does not exist.",
)
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed",
    405,
    "This address does not take that method",
    "The header Allow says which it takes; /docs lists every operation.",
)
CONFLICT = Kind(
    "conflict",
    409,
    "It is there already, with other content",
    "An Idempotency-Key or a name was used before with another content. Nothing was changed; use "
    "a new key for a new wish.",
)
APPROVAL_NEEDED = Kind(
    "approval-needed",
    409,
    "A second person must approve this",
    "`code` is the approval's id. Somebody else with the permission `approve` decides at "
    "POST /v1/approvals/{id}; then send the same request again. Nothing was changed.",
)
TOO_MANY = Kind(
    "too-many-requests",
    429,
    "Too many requests",
    "Wait as many seconds as Retry-After says. Each key, session and address has its own share.",
)
TOO_LARGE = Kind(
    "too-large",
    413,
    "The request's body is too large",
    "A body may have at most 1 MiB; send several requests.",
)
UNSUPPORTED = Kind(
    "unsupported-media-type",
    415,
    "A file of this kind is not taken here",
    "Name the file's kind in Content-Type: text/csv or application/vnd.apache.parquet.",
)
CHANGED_MEANWHILE = Kind(
    "changed-meanwhile",
    412,
    "It has been changed meanwhile",
    "If-Match names an older version. Read it again, decide, and send the ETag that it has now.",
)
TOO_SLOW_SENDER = Kind(
    "too-slow-sender",
    408,
    "The request's body comes too slowly",
    "Send the whole body within 30 s.",
)
INVALID = Kind(
    "invalid",
    422,
    "The request has values that are not allowed",
    "`errors` names each field by a JSON pointer and says what it may be.",
)
INVALID_CURSOR = Kind(
    "invalid-cursor",
    422,
    "The cursor does not belong to this list",
    "Use `next` of an answer as it came, with the same filters, or start again without a cursor.",
)
REFUSED = Kind(
    "refused",
    422,
    "The rules refuse this",
    "`code` names the rule; `detail` says what would be accepted.",
)
INTERNAL = Kind(
    "internal",
    500,
    "The server has failed",
    "Nothing can be done from outside; the server's log has the reason.",
)
UNAVAILABLE = Kind(
    "unavailable",
    503,
    "The database does not answer",
    "Try again after the time in Retry-After; a write with the same Idempotency-Key is safe.",
)
UPSTREAM = Kind(
    "sign-in-elsewhere",
    502,
    "The OpenID provider does not do its part",
    "Try again; if it stays so, the provider's operator or [oidc] of the configuration must help.",
)
TOO_SLOW = Kind(
    "too-slow",
    503,
    "The question takes too long to answer",
    "Ask for a shorter range or fewer channels.",
)
KINDS = {
    kind.name: kind
    for kind in (
        BAD_REQUEST,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        CONFLICT,
        APPROVAL_NEEDED,
        TOO_MANY,
        TOO_LARGE,
        UNSUPPORTED,
        CHANGED_MEANWHILE,
        TOO_SLOW_SENDER,
        INVALID,
        INVALID_CURSOR,
        REFUSED,
        INTERNAL,
        UNAVAILABLE,
        UPSTREAM,
        TOO_SLOW,
    )
}
_BY_STATUS = {kind.status: kind for kind in reversed(KINDS.values())}


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one value; `pointer` is a JSON pointer into query, path or body."""

    pointer: str
    detail: str


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = ""
    errors: list[FieldError] = []


class Problem(HTTPException):
    """Raised anywhere in a request to end it with a problem document."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        code: str = "",
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.status, detail, dict(headers or {}))
        self.kind = kind
        self.code = code
        self.errors = list(errors)


def not_found(what: str, name: str) -> Problem:
    """The one answer for what does not exist and for what belongs to somebody else."""
    return Problem(NOT_FOUND, f"no {what} {name!r}")


def invalid(pointer: str, detail: str) -> Problem:
    """One value of the request is wrong."""
    return Problem(INVALID, detail, errors=[FieldError(pointer, detail)])


def respond(problem: Problem, path: str) -> Response:
    """The problem as an HTTP answer."""
    document = ProblemDocument(
        type=problem.kind.type,
        title=problem.kind.title,
        status=problem.kind.status,
        detail=problem.detail,
        instance=path,
        code=problem.code,
        errors=problem.errors,
    )
    return Response(
        msgspec.json.encode(document),
        problem.kind.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def _from_http(error: HTTPException) -> Problem:
    if isinstance(error, Problem):
        return error
    kind = _BY_STATUS.get(error.status_code, BAD_REQUEST)
    detail = error.detail if kind.status != 404 else "no such address"
    return Problem(kind, detail or HTTPStatus(error.status_code).phrase, headers=error.headers)


def _pointer(location: Sequence[str | int]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "/" + "/".join(parts)


def _from_validation(error: RequestValidationError, media_type: str) -> Problem:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return Problem(BAD_REQUEST, "the body is not JSON")
    if any(one["type"] == "model_attributes_type" for one in found) and "json" not in media_type:
        return Problem(BAD_REQUEST, "send the body with Content-Type: application/json")
    errors = [FieldError(_pointer(one["loc"]), str(one["msg"])) for one in found[:20]]
    first = errors[0]
    return Problem(INVALID, f"{first.pointer}: {first.detail}", errors=errors)


def from_ours(error: Exception) -> Problem:
    """The problem that an error of ours is."""
    match error:
        case CommandError() | PrepaymentError() | AccessError():
            kind = NOT_FOUND if error.code.startswith("unknown_") else REFUSED
            kind = UNAVAILABLE if error.code == "module_down" else kind
            kind = FORBIDDEN if error.code in _NOT_YOURS else kind
            kind = UPSTREAM if error.code in _UPSTREAM else kind
            return Problem(kind, str(error), code=error.code)
        case Conflict() | KeyTaken():
            used = "another request has just used this key or name"
            return Problem(CONFLICT, str(error) if isinstance(error, Conflict) else used)
        case ModelError() | ProfileError():
            return Problem(INVALID, str(error))
        case Unavailable() if getattr(error.__cause__, "sqlstate", "") == _QUERY_CANCELED:
            return Problem(TOO_SLOW, "the database gave up after 10 s")
        case Unavailable():
            return Problem(UNAVAILABLE, "no answer now", headers={"Retry-After": "2"})
        case _:
            return Problem(INTERNAL, "the server has failed")


def wants_page(path: str, accept: str) -> bool:
    """Whether a person's browser asks, so that a page answers better than a document."""
    return "text/html" in accept and not path.startswith("/v1/")


def install(
    app: FastAPI,
    page: Callable[[Request, Problem], Response],
    guarding: Callable[[str], Mapping[str, str]],
) -> None:
    """Answer every error of the app with a problem document, or with `page` to a browser.

    Args:
        app: the app.
        page: makes a page of a problem.
        guarding: scheme -> headers for an answer that passes no middleware, as a bug's does.
    """

    def end(request: Request, problem: Problem) -> Response:
        path = request.url.path
        if wants_page(path, request.headers.get("accept", "")):
            return page(request, problem)
        return respond(problem, path)

    async def http_error(request: Request, error: Any) -> Response:
        return end(request, _from_http(error))

    async def validation_error(request: Request, error: Any) -> Response:
        return end(request, _from_validation(error, request.headers.get("content-type", "")))

    async def our_error(request: Request, error: Any) -> Response:
        problem = from_ours(error)
        if problem.status_code >= 500:
            _log.error("%s %s: %s", request.method, problem.kind.name, error)
        return end(request, problem)

    async def bug(request: Request, error: Any) -> Response:
        _log.error("%s failed: %s", request.method, type(error).__name__)
        problem = Problem(INTERNAL, "the server has failed")
        try:
            response = end(request, problem)
        except Exception:  # noqa: BLE001 - drawing pages may be what fails; the bug is told above
            response = respond(problem, request.url.path)
        response.headers.update({"Cache-Control": "no-store", **guarding(request.url.scheme)})
        return response

    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    for ours in (AccessError, CommandError, PrepaymentError, ModelError, ProfileError, StoreError):
        app.add_exception_handler(ours, our_error)
    app.add_exception_handler(Exception, bug)
