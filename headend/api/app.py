"""Put the API together: plain values and an open pool in, an ASGI app out. No configuration here.

Example:
    pool = db.make_pool(url); await pool.open()
    secret = keystore.derive(b"ohmesh api")
    app = create_app(pool, secret=secret, seal_key=keystore.seal, open_key=keystore.open)
"""

from __future__ import annotations

import gc
import secrets
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from headend.api import openapi, problems
from headend.api.access import REQUESTS_PER_S, Access
from headend.api.cursor import Cursors
from headend.api.gate import Gate, guarding_headers
from headend.api.metrics import Counting, Metrics
from headend.api.once import Once, kept_by_us
from headend.api.permissions import admit, needed
from headend.api.pulse import PULSE_S, Pulses
from headend.api.routes import (
    accounts,
    billing,
    bookkeeping,
    commands,
    contracts,
    enrol,
    events,
    exports,
    firmware,
    gateways,
    greenbutton,
    groups,
    health,
    imports,
    intervals,
    meters,
    outages,
    payments,
    people,
    reads,
    registers,
    releases,
    reports,
    rerates,
    service_points,
    tariffs,
    tokens,
    topups,
    usage,
    vee,
    webhooks,
)
from headend.api.services import Services
from headend.api.sign_ins import SignIns
from headend.api.store import PoolStore
from headend.prepayment.tokens.security import StsSoftTest, UtrnSoftTest
from headend.prepayment.tokens.vending import (
    PAYGO,
    STS,
    UTRN,
    PaygoVending,
    StsVending,
    UtrnVending,
)
from headend.prepayment.tokens.vendor import StsVendor
from headend.security.limits import Table
from headend.security.roles import NOBODY, Permission, Principal
from headend.security.secrets import derive
from headend.web import (
    alarms,
    cutoff,
    meter,
    offices,
    oidc,
    operations,
    pages,
    places,
    reading,
    sign_in,
    then,
    validation,
)
from headend.web.render import FOLDER, error_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from headend.prepayment.tokens.vending import Vending
    from headend.prepayment.tokens.vendor import TokenVendor
    from headend.security.enrolment import Enroller
    from headend.security.oidc import Provider
    from headend.store.db import AsyncPool


def _clock() -> datetime:
    return datetime.now(UTC)


def rest_memory() -> None:
    """Before the first question: what the program itself is made of is put aside.

    The collector of circular garbage would go through it again and again, 60 ms each time, while
    somebody waits for an answer.
    """
    gc.collect()
    gc.freeze()


def create_app(
    pool: AsyncPool,
    *,
    secret: bytes,
    seal_key: Callable[[str, bytes], bytes],
    open_key: Callable[[str, bytes], bytes],
    open_reads_tenant: int | None = None,
    now: Callable[[], datetime] = _clock,
    pulse_s: float = PULSE_S,
    requests_per_s: float = REQUESTS_PER_S,
    shares: int | None = None,
    provider: Provider | None = None,
    enroller: Enroller | None = None,
    vendor: TokenVendor | None = None,
) -> FastAPI:
    """The whole API with its pages.

    Args:
        pool: open connections under the role ohmesh_api; the caller closes it.
        secret: 16 bytes or more; seals cursors, signs access tokens. All processes behind one
            address need the same.
        seal_key: (meter id, 128-bit key) -> the key as the store keeps it.
        open_key: the inverse; for the secrets of paid devices and payment channels.
        open_reads_tenant: whose data a caller without a token may read; None: nobody's. Give it
            only when the server listens on loopback alone.
        now: the clock, UTC.
        pulse_s: how often the live pages look for changes.
        requests_per_s: what one key, session or address may ask on average.
        shares: descriptor of the file in which all processes behind one address count that; None:
            this one alone.
        provider: signs people in elsewhere.
        enroller: issues certificates to gateways.
        vendor: makes tokens; None: the software test module, which refuses real supply groups.
    """
    assert len(secret) >= 16
    nobody = Principal("nobody", open_reads_tenant, NOBODY) if open_reads_tenant else None
    store = PoolStore(pool)
    table = Table(derive(secret, b"ohmesh-shares"), shares)
    services = Services(
        store=store,
        access=Access(store, secret, nobody, requests_per_s=requests_per_s, table=table),
        sign_ins=SignIns(store, secret, now, table),
        cursors=Cursors(secret),
        pulses=Pulses(pulse_s),
        seal_key=seal_key,
        open_key=open_key,
        now=now,
        vendings=_vendings(vendor or _software_vendor(), seal_key, open_key),
        metrics=Metrics(),
        provider=provider,
        enroller=enroller,
    )
    app = _empty_app(services)
    _route(app)
    _guard(app, services, store, secret)
    return app


def _empty_app(services: Services) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await services.pulses.settle()

    app = FastAPI(
        title="ohmesh head-end",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(admit)],
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    return app


def _route(app: FastAPI) -> None:
    """Every operation, page, file and problem."""
    problems.install(app, error_page, guarding_headers)
    routed = (  # the ones asked most come first: a route is found by going along
        *(meters, registers, events, intervals, vee, health),
        *(contracts, topups, payments, releases, bookkeeping, rerates, tariffs, tokens, webhooks),
        *(gateways, commands, firmware, accounts, reports, reads, exports, people),
        *(billing, usage, outages, imports, enrol, groups, service_points, greenbutton),
        *(pages, meter, then, places, reading, alarms, cutoff, operations, validation),
        *(offices, sign_in, oidc),
    )
    for module in routed:
        app.include_router(module.router)
    app.mount("/static", GZipMiddleware(StaticFiles(directory=FOLDER / "static")))
    _serve_document(app)


def _guard(app: FastAPI, services: Services, store: PoolStore, secret: bytes) -> None:
    """What each request goes through before it is answered; the last one added comes first."""
    known = [r for r in routes_of(app) if needed(r.name) is not Permission.OPEN]
    app.state.keyed = kept_by_us(known, imports.PREFIX)
    app.add_middleware(
        Once,
        store=store,
        secret=secret,
        now=services.now,
        operations=app.state.keyed,
    )
    app.add_middleware(
        Gate,
        access=services.access,
        is_open=_open_paths(app),
        takes_file=lambda path: path.startswith(imports.PREFIX),
    )
    app.add_middleware(Counting, metrics=services.metrics)


def _vendings(
    sts: TokenVendor, seal: Callable[[str, bytes], bytes], unseal: Callable[[str, bytes], bytes]
) -> Mapping[str, Vending]:
    """Every kind of tokens that is sold."""
    paygo = PaygoVending(seal, unseal)
    return {STS: StsVending(sts), PAYGO: paygo, UTRN: UtrnVending(UtrnSoftTest())}


def _software_vendor() -> TokenVendor:
    return StsVendor(StsSoftTest(), "test-hmac", random_bits=lambda: secrets.randbelow(16))


def routes_of(app: FastAPI) -> list[APIRoute]:
    """Every operation that the app serves."""
    found: list[APIRoute] = []
    waiting = list(app.routes)
    for route in waiting:
        if isinstance(route, APIRoute):
            found.append(route)
        elif hasattr(route, "original_router"):
            waiting.extend(route.original_router.routes)
    return found


def _open_paths(app: FastAPI) -> Callable[[str], bool]:
    """Whether somebody unknown may ask for a path."""
    patterns = [r.path_regex for r in routes_of(app) if needed(r.name) is Permission.OPEN]

    def is_open(path: str) -> bool:
        return path.startswith("/static/") or any(p.match(path) for p in patterns)

    return is_open


def _serve_document(app: FastAPI) -> None:
    made: dict[str, Any] = {}

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> dict[str, Any]:
        """The OpenAPI document."""
        if not made:
            made.update(openapi.document(app))
        return made
