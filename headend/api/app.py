"""Put the API together: plain values and an open pool in, an ASGI app out. No configuration here.

Example:
    pool = db.make_pool(url); await pool.open()
    app = create_app(pool, tokens={token: Principal("operator", 1)}, secret=token.encode(),
                     open_reads=True, seal_key=keystore.seal)
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from headend.api import openapi, problems
from headend.api.access import Access, Principal
from headend.api.cursor import Cursors
from headend.api.gate import Gate
from headend.api.pulse import PULSE_S, Pulses
from headend.api.routes import accounts, commands, events, gateways, health, meters, reports
from headend.api.services import Services
from headend.api.store import PoolStore
from headend.web import pages, sign_in
from headend.web.render import FOLDER, error_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from headend.store.db import AsyncPool

NOBODY = "nobody"


def _clock() -> datetime:
    return datetime.now(UTC)


def create_app(
    pool: AsyncPool,
    *,
    tokens: Mapping[str, Principal],
    secret: bytes,
    seal_key: Callable[[str, bytes], bytes],
    open_reads_tenant: int | None = None,
    now: Callable[[], datetime] = _clock,
    pulse_s: float = PULSE_S,
) -> FastAPI:
    """The whole API with its pages.

    Args:
        pool: open connections under the role ohmesh_api; the caller closes it.
        tokens: bearer token -> who it stands for.
        secret: 16 bytes or more; seals cursors and sessions. All processes behind one address
            need the same.
        seal_key: (meter id, 128-bit key) -> the key as the store keeps it.
        open_reads_tenant: whose data a caller without a token may read; None: nobody's. Give it
            only when the server listens on loopback alone.
        now: the clock, UTC.
        pulse_s: how often the live pages look for changes.
    """
    assert len(secret) >= 16
    nobody = Principal(NOBODY, open_reads_tenant, writes=False) if open_reads_tenant else None
    access = Access(tokens, secret, nobody)
    pulses = Pulses(pulse_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await pulses.settle()

    app = FastAPI(
        title="ohmesh head-end",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = Services(
        store=PoolStore(pool),
        access=access,
        cursors=Cursors(secret),
        pulses=pulses,
        seal_key=seal_key,
        now=now,
    )
    problems.install(app, error_page)
    for module in (meters, gateways, commands, accounts, reports, events, health, pages, sign_in):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    _serve_document(app)
    app.add_middleware(Gate, access=access)
    return app


def _serve_document(app: FastAPI) -> None:
    made: dict[str, Any] = {}

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> dict[str, Any]:
        """The OpenAPI document."""
        if not made:
            made.update(openapi.document(app))
        return made
