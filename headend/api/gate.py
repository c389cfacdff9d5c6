"""What every request passes before a route sees it: host, credentials, size; and headers after.

Theory of operation. Routes do not check who asks: the gate does, and is closed unless the route
is open in `headend.api.permissions`. So a new route cannot forget it. What the caller may do there
is asked when the route is known (`permissions.admit`). In order:

1. Host: while nobody may read, the server must be called by a loopback name, so that a web page
   cannot reach it by pointing a name of its own at 127.0.0.1. What a proxy forwards comes from
   elsewhere: it is never nobody's.
2. Credentials: bearer token or session cookie give a Principal; a write by cookie must come from a
   page of this origin (SameSite=Strict does the rest).
3. Share: each caller and each tenant may ask so many times a second.
4. Body: at most 1 MiB and within BODY_S, read here in full, so that no route waits for a slow
   sender with a database connection in its hand. Routes that take files (`headend.api.imports`)
   read theirs alone, to disk, under limits of their own.
5. Headers: no frame, no sniffing, no script that is not ours.
"""

from __future__ import annotations

import asyncio
import ipaddress
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api.access import SESSION_COOKIE
from headend.api.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    TOO_LARGE,
    TOO_MANY,
    TOO_SLOW_SENDER,
    UNAUTHENTICATED,
    Problem,
    from_ours,
    respond,
    wants_page,
)
from ohmesh.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from headend.api.access import Access, Principal

BODY_BYTES_MAX = 1024 * 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_S = 30
_REFUSED = 400
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; worker-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_TLS_HEADERS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


def cookie_of(headers: Headers, name: str) -> str:
    """The value of a cookie, empty when there is none."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""


def _is_loopback(host: str) -> bool:
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


class Gate:
    """The ASGI middleware that guards the whole app.

    Args:
        app: what it guards.
        access: who callers are.
        is_open: whether a path needs no credentials.
        takes_file: whether a path's route reads the body itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        is_open: Callable[[str], bool],
        takes_file: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._app = app
        self._access = access
        self._is_open = is_open
        self._takes_file = takes_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or end it here with a problem document."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send, scope)
        headers = Headers(scope=scope)
        try:
            scope.setdefault("state", {})["principal"] = await self._admit(scope, headers)
            if not self._takes_file(scope["path"]):
                body = scope["state"]["body"] = await _body(headers, receive)
                receive = _replay(body, receive)
        except Problem as problem:
            await self._end(problem, scope, headers)(scope, receive, guarded)
            return
        except StoreError as error:
            await respond(from_ours(error), scope["path"])(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    @staticmethod
    def _end(problem: Problem, scope: Scope, headers: Headers) -> Response:
        page = wants_page(scope["path"], headers.get("accept", ""))
        if problem.kind is UNAUTHENTICATED and page:
            return RedirectResponse(f"/login?next={quote(scope['path'])}", 303)
        return respond(problem, scope["path"])

    def _nobody(self, headers: Headers) -> Principal | None:
        """Who a caller without credentials is. Raises Problem(forbidden) for a foreign name."""
        if any(name in headers for name in _FORWARDED):
            return None
        if self._access.nobody is not None and not _is_loopback(headers.get("host", "")):
            raise Problem(FORBIDDEN, "call this server by the loopback address it listens on")
        return self._access.nobody

    async def _admit(self, scope: Scope, headers: Headers) -> Principal | None:
        nobody, address = self._nobody(headers), address_of(scope)
        is_open = self._is_open(scope["path"])
        who, by_token = await self._who(headers, address)
        if scope["method"] in _SAFE:
            who = who or nobody
        elif (who or is_open) and not by_token:
            _check_origin(headers)
        check_wait(self._access.wait_s(who, address))
        if who is None and not is_open:
            raise _unauthenticated("no valid token")
        return who

    async def _who(self, headers: Headers, address: str) -> tuple[Principal | None, bool]:
        """The caller, and whether a token says so. A wrong token is an error, not nobody."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not scheme:
            return await self._access.by_session(cookie_of(headers, SESSION_COOKIE)), False
        who = await self._access.by_token(token.strip()) if scheme.lower() == "bearer" else None
        if who is None:
            check_wait(self._access.wrong_wait_s(address))
            raise _unauthenticated("the token is not known")
        return who, True


def address_of(scope: Scope) -> str:
    """The caller's network address, as the server tells it."""
    client = scope.get("client")
    return client[0] if client else ""


def check_wait(wait_s: int) -> None:
    """Raises Problem(too-many-requests) unless there is nothing to wait for."""
    if wait_s:
        headers = {"Retry-After": str(wait_s)}
        raise Problem(TOO_MANY, f"try again in {wait_s} s", headers=headers)


def _unauthenticated(detail: str) -> Problem:
    return Problem(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": "Bearer"})


def _check_origin(headers: Headers) -> None:
    """A browser names the page that writes; it must be one of ours. Raises Problem(forbidden)."""
    origin = headers.get("origin", "")
    if origin.partition("://")[2] != headers.get("host", ""):
        raise Problem(FORBIDDEN, "a write by cookie must come from a page of this server")


async def _body(headers: Headers, receive: Receive) -> bytes:
    too_large = Problem(TOO_LARGE, f"a body may have at most {BODY_BYTES_MAX} bytes")
    declared = headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared[:12]) > BODY_BYTES_MAX:
        raise too_large
    if declared == "0" and "transfer-encoding" not in headers:
        return b""
    try:
        async with asyncio.timeout(BODY_S):
            return await _parts(receive, too_large)
    except TimeoutError:
        raise Problem(TOO_SLOW_SENDER, f"the body must come within {BODY_S} s") from None


async def _parts(receive: Receive, too_large: Problem) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(BAD_REQUEST, "the caller went away in the middle of the body")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES_MAX:
            raise too_large
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed


def _keeping(path: str, query: bytes) -> str:
    """How long a browser may keep an answer: what is named by its content or version, for good."""
    if not path.startswith("/static/"):
        return "no-store"
    named = query.startswith(b"v=") or path.startswith("/static/vendor/")
    return "public, max-age=31536000, immutable" if named else "no-cache"


def guarding_headers(scheme: str) -> dict[str, str]:
    """What every answer tells a browser, over `http` or `https`."""
    return _HEADERS | (_TLS_HEADERS if scheme == "https" else {})


def _with_headers(send: Send, scope: Scope) -> Send:
    keep = _keeping(scope["path"], scope.get("query_string", b""))
    guarding = guarding_headers(scope.get("scheme", ""))

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in guarding.items():
                headers.setdefault(name, value)
            headers.setdefault(
                "Cache-Control", keep if message["status"] < _REFUSED else "no-store"
            )
        await send(message)

    return guarded


def principal_of(request: Request) -> Principal:
    """Who the gate let in; only routes behind the gate may ask."""
    who: Principal | None = request.state.principal
    if who is None:
        raise _unauthenticated("no valid token")
    return who
