"""What every request passes before a route sees it: host, credentials, size; and headers after.

Theory of operation. Routes do not check who asks: the gate does, by method and path, and is closed
unless a path is listed as open. So a new route cannot forget it. In order:

1. Host: while nobody may read, the server must be called by a loopback name, so that a web page
   cannot reach it by pointing a name of its own at 127.0.0.1. What a proxy forwards comes from
   elsewhere: it is never nobody's.
2. Credentials: bearer token or session cookie give a Principal; a write needs one that writes; a
   write by cookie must come from a page of this origin (SameSite=Strict does the rest).
3. Body: at most 1 MiB, read here in full, so that no route waits for a slow sender with a
   database connection in its hand.
4. Headers: no frame, no sniffing, no script that is not ours.
"""

from __future__ import annotations

import ipaddress
import time
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse

from headend.api.access import SESSION_COOKIE
from headend.api.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    TOO_LARGE,
    UNAUTHENTICATED,
    Problem,
    respond,
    wants_page,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from headend.api.access import Access, Principal

BODY_BYTES_MAX = 1024 * 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login", "/favicon.ico"})
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_OPEN_FOLDERS = ("/static/", "/problems/")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def _cookie(headers: Headers) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[SESSION_COOKIE].value if SESSION_COOKIE in jar else ""


def _is_loopback(host: str) -> bool:
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


class Gate:
    """The ASGI middleware that guards the whole app."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or end it here with a problem document."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = _with_headers(send, scope["path"])
        headers = Headers(scope=scope)
        try:
            nobody = self._nobody(headers)
            principal = self._admit(scope["method"], scope["path"], headers, nobody)
            scope.setdefault("state", {})["principal"] = principal
            body = await _body(headers, receive)
        except Problem as problem:
            answer = respond(problem, scope["path"])
            if problem.kind is UNAUTHENTICATED and wants_page(
                scope["path"], headers.get("accept", "")
            ):
                answer = RedirectResponse(f"/login?next={quote(scope['path'])}", 303)
            await answer(scope, receive, guarded)
            return
        await self._app(scope, _replay(body, receive), guarded)

    def _nobody(self, headers: Headers) -> Principal | None:
        """Who a caller without credentials is. Raises Problem(forbidden) for a foreign name."""
        if any(name in headers for name in _FORWARDED):
            return None
        if self._access.nobody is not None and not _is_loopback(headers.get("host", "")):
            raise Problem(FORBIDDEN, "call this server by the loopback address it listens on")
        return self._access.nobody

    def _admit(
        self, method: str, path: str, headers: Headers, nobody: Principal | None
    ) -> Principal | None:
        open_path = path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS)
        who, by_token = self._who(headers)
        if method in _SAFE:
            who = who or nobody
        elif (who or open_path) and not by_token:
            _check_origin(headers)
        if who is None and not open_path:
            raise _unauthenticated("no valid token")
        if who is not None and method not in _SAFE and not (who.writes or open_path):
            raise Problem(FORBIDDEN, "this token may only read")
        return who

    def _who(self, headers: Headers) -> tuple[Principal | None, bool]:
        """The caller, and whether a token says so. A wrong token is an error, not nobody."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme:
            who = self._access.by_token(token.strip()) if scheme.lower() == "bearer" else None
            if who is None:
                raise _unauthenticated("the token is not known")
            return who, True
        return self._access.by_session(_cookie(headers), int(time.time())), False


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


def _with_headers(send: Send, path: str) -> Send:
    keep = "no-cache" if path.startswith("/static/") else "no-store"

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", keep)
        await send(message)

    return guarded


def principal_of(request: Request) -> Principal:
    """Who the gate let in; only routes behind the gate may ask."""
    who: Principal | None = request.state.principal
    if who is None:
        raise _unauthenticated("no valid token")
    return who


__all__ = ["BODY_BYTES_MAX", "Gate", "principal_of"]
