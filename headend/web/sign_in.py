"""The page where a token becomes a session."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api.access import SESSION_COOKIE, SESSION_S
from headend.api.services import Parts
from headend.web.render import render

router = APIRouter(include_in_schema=False)
_FIELDS_MAX = 10


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


@router.get("/login")
async def show(request: Request) -> Response:
    """The form."""
    return render(request, "login.html", next=local(request.query_params.get("next", "/")))


@router.post("/login")
async def sign_in(request: Request, parts: Parts) -> Response:
    """Give a cookie for a token that is known."""
    form = await form_of(request)
    target = local(form.get("next", "/"))
    who = parts.access.by_token(form.get("token", "").strip())
    if who is None:
        return render(request, "login.html", status=401, next=target, refused=True)
    response = RedirectResponse(target, 303)
    response.set_cookie(
        SESSION_COOKIE,
        parts.access.session(who, int(time.time())),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
async def sign_out() -> Response:
    """Forget the cookie."""
    response = RedirectResponse("/login", 303)
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    return response
