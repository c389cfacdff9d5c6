"""Is the process alive, and can it do its work."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from headend.api import views
from headend.api.answers import answer, documented
from headend.api.services import Parts

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=documented("Health", only=()))
async def healthz() -> Response:
    """The process answers."""
    return answer(views.Health("ok"))


@router.get("/readyz", responses=documented("Health", only=(503,)))
async def readyz(parts: Parts) -> Response:
    """The database answers too; otherwise 503."""
    await parts.rows(0, "alive")
    return answer(views.Health("ok"))
