"""Signing in at an OpenID provider: away to it, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headend.api.problems import not_found
from headend.api.services import Parts
from headend.security import people
from headend.web.render import render
from headend.web.sign_in import give

if TYPE_CHECKING:
    from headend.api.services import Services
    from headend.security.oidc import Provider

router = APIRouter(include_in_schema=False)
NOTE_COOKIE: Final = "ohmesh_oidc"
_NOTE_S: Final = 600
_PATH: Final = "/oidc"


def _provider(parts: Services) -> Provider:
    if parts.provider is None:
        raise not_found("address", "/oidc")
    return parts.provider


@router.get("/oidc/start")
async def oidc_start(request: Request, parts: Parts) -> Response:
    """Send the browser to the provider."""
    url, note = await _provider(parts).start()
    response = RedirectResponse(url, 303)
    # Lax: the browser comes back from another site.
    response.set_cookie(
        NOTE_COOKIE,
        note,
        max_age=_NOTE_S,
        path=_PATH,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.get("/oidc/return")
async def oidc_return(request: Request, parts: Parts) -> Response:
    """Take what the provider says, and give a session.

    The answer is a page that goes on by itself: a redirect would still count as coming from the
    provider's site, and the browser would not send the new strict cookie with it.
    """
    provider = _provider(parts)
    note = request.cookies.get(NOTE_COOKIE, "")
    identity = await provider.finish(note, dict(request.query_params))
    plan = people.external_user(provider.tenant_id, identity.name, identity.role, identity.subject)
    user_id = await parts.store.run(provider.tenant_id, plan)
    session = await parts.sign_ins.open(provider.tenant_id, user_id, identity.name)
    parts.access.forget()
    response = give(render(request, "signed_in.html"), request, session)
    response.delete_cookie(NOTE_COOKIE, path=_PATH)
    return response
