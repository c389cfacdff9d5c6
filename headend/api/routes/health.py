"""Is the process alive, can it do its work, and how much did it do."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from headend.api import metrics, views
from headend.api.answers import answer, documented
from headend.api.services import Caller, Parts

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


@router.get("/metrics", include_in_schema=False)
async def read_metrics(parts: Parts, who: Caller) -> Response:
    """For Prometheus: this process, and the caller's fleet. Needs a key like everything else."""
    fleet = (await parts.rows(who.tenant_id, "metrics"))[0]
    return Response(parts.metrics.text(fleet, parts.now()), media_type=metrics.MEDIA_TYPE)
