"""The pages where somebody becomes known: sign-in, set-up of a password, sign-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api.access import DEVICE_COOKIE, SESSION_COOKIE
from headend.api.gate import address_of, check_wait
from headend.api.problems import Problem
from headend.api.services import Parts
from headend.security.people import SESSION_LIFE
from headend.security.secrets import PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN
from headend.web.render import render
from headend.web.speech import mark

if TYPE_CHECKING:
    from headend.api.services import Services
    from headend.api.sign_ins import Session

router = APIRouter(include_in_schema=False)
_FIELDS_MAX: Final = 10
_USER_CHARACTERS_MAX: Final = 120
_DEVICE_S: Final = 400 * 86_400
_SESSION_S: Final = int(SESSION_LIFE.total_seconds())


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a posted form; what cannot be read is no field."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, max_num_fields=_FIELDS_MAX))
    except ValueError:
        return {}


def local(path: str) -> str:
    """A path of this server; anything that a browser could read as another host is `/`."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if safe and "\\" not in path else "/"


def give(response: Response, request: Request, session: Session) -> Response:
    """Put a session's cookies into an answer."""
    secure = request.url.scheme == "https"
    for name, value, life_s in (
        (SESSION_COOKIE, session.cookie, _SESSION_S),
        (DEVICE_COOKIE, session.device, _DEVICE_S),
    ):
        if value:
            response.set_cookie(
                name, value, max_age=life_s, httponly=True, samesite="strict", secure=secure
            )
    return response


@router.get("/login")
async def show_sign_in(request: Request, parts: Parts) -> Response:
    """The form."""
    return _form(request, parts, dict(request.query_params))


def _form(
    request: Request, parts: Services, fields: dict[str, str], status: int = 200, why: str = ""
) -> Response:
    values = {
        "next": local(fields.get("next", "/")),
        "user": fields.get("user", "")[:_USER_CHARACTERS_MAX],
        "provider": parts.provider.name if parts.provider else "",
        "why": why,
    }
    return render(request, "login.html", status=status, **values)


@router.post("/login")
async def sign_in(request: Request, parts: Parts) -> Response:
    """Give a cookie for a user's password, or for a key."""
    form = await form_of(request)
    try:
        session = await _session(request, parts, form)
    except Problem as problem:
        response = _form(request, parts, form, problem.status_code, problem.detail)
        response.headers.update(problem.headers or {})
        return response
    if session is None:
        return _form(request, parts, form, 401, mark("This is not known here."))
    return give(RedirectResponse(local(form.get("next", "/")), 303), request, session)


async def _session(request: Request, parts: Services, form: dict[str, str]) -> Session | None:
    if "user" in form:
        return await parts.sign_ins.by_password(
            form["user"].strip(),
            form.get("password", ""),
            address=address_of(request.scope),
            device=request.cookies.get(DEVICE_COOKIE, ""),
        )
    token, address = form.get("token", "").strip(), address_of(request.scope)
    session = await parts.sign_ins.by_key(token)
    if session is None:
        check_wait(parts.access.wrong_wait_s(address))
    return session


@router.post("/logout")
async def sign_out(request: Request, parts: Parts) -> Response:
    """End the session."""
    who, cookie = request.state.principal, request.cookies.get(SESSION_COOKIE, "")
    if who is not None and cookie:
        await parts.sign_ins.close(who.tenant_id, cookie)
        parts.access.forget()
    response = RedirectResponse("/login", 303)
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/setup")
async def show_setup(request: Request) -> Response:
    """Where a set-up link leads."""
    return render(request, "setup.html", link=request.query_params.get("link", "")[:200], why="")


@router.post("/setup")
async def set_up(request: Request, parts: Parts) -> Response:
    """Choose a password by a link that works once."""
    form = await form_of(request)
    link, password = form.get("link", "")[:200], form.get("password", "")
    why = _password_fault(password, form.get("again", ""))
    user = None if why else await parts.sign_ins.set_up(link, password)
    if user is None:
        why = why or mark(
            "This link is unknown, used or too old. Ask an administrator for another."
        )
        return render(request, "setup.html", status=422, link=link, why=why)
    parts.access.forget()
    return RedirectResponse(f"/login?{urlencode({'user': user})}", 303)


def _password_fault(password: str, again: str) -> str:
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        return mark("This password is too short or too long.")
    return "" if password == again else mark("The two passwords differ.")
