"""The app over a database, and clients that call it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from headend.api.app import create_app
from headend.security.roles import PERMISSIONS, SCOPES, Role
from headend.security.secrets import digest
from headend.store import db

if TYPE_CHECKING:
    from headend.keystore import Keystore

TOKEN = "operator-token-0123456789-0123456789"
READER = "reader-token-0123456789-0123456789ab"
OTHER = "other-token-0123456789-0123456789abc"
SECRET = b"a secret of the tests"
OURS, THEIRS = 1, 2
EVERYTHING = sorted(SCOPES)
KEYS = {
    TOKEN: ("operator", OURS, EVERYTHING),
    READER: ("reader", OURS, sorted(PERMISSIONS[Role.VIEWER] & SCOPES)),
    OTHER: ("other", THEIRS, EVERYTHING),
}


def add_keys(admin_url: str) -> None:
    """Known tokens, as a superuser writes them."""
    with db.connect(admin_url, name="test", autocommit=True) as connection:
        for token, (name, tenant_id, scopes) in KEYS.items():
            connection.execute(
                "insert into ohmesh.api_key (tenant_id, name, digest, scopes, person)"
                " values (%s, %s, %s, %s, %s)",
                (tenant_id, name, digest(token), scopes, f"maker of {name}"),
            )


@dataclass(frozen=True)
class Site:
    """A seeded database: address by role, and a superuser's."""

    urls: dict[str, str]
    admin_url: str
    keystore: Keystore


@asynccontextmanager
async def running(site: Site, **options):
    """The app over a pool of its own."""
    async with db.make_pool(site.urls["api"], size_max=4) as pool:
        app = create_app(
            pool,
            secret=SECRET,
            seal_key=site.keystore.seal,
            open_key=site.keystore.open,
            pulse_s=0.02,
            **options,
        )
        yield app
        await app.state.services.pulses.settle()


def client_of(app, token: str | None = TOKEN, **headers) -> httpx.AsyncClient:
    """A client that calls the app directly; a bug in the app is an answer 500, as in the field."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)
