"""The API on a seeded database of its own: two utilities that must not see each other."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headend.keystore import Keystore
from headend.store import db

sys.path.append(str(Path(__file__).parent))
import seeding
from api_site import OTHER, OURS, THEIRS, Site, add_keys, client_of, running


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def clone(database, template: str, name: str) -> None:
    """A database like another, with the rights that bootstrap gives."""
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute(f"create database {name} template {template} owner ohmesh_owner")
        admin.execute(f"revoke all on database {name} from public")
        admin.execute(
            f"grant connect on database {name} to ohmesh_ingest, ohmesh_worker, ohmesh_api"
        )


@pytest.fixture(scope="session")
def site(database, headend_base) -> Site:
    """Shared by all tests of the API: they write only under names of their own."""
    return _site(database, headend_base, "api_site")


@pytest.fixture(scope="module")
def own_site(database, headend_base, request) -> Site:
    """A module's own, for tests that count all there is."""
    return _site(database, headend_base, f"own_{request.module.__name__.rpartition('.')[2]}")


def _site(database, headend_base, name: str) -> Site:
    urls, folder = headend_base
    clone(database, "headend_base", name)
    admin_url = _with_database(database.admin_url, name)
    with db.connect(admin_url, name="test", autocommit=True) as admin:
        admin.execute("insert into ohmesh.tenant (name) values ('other')")
    add_keys(admin_url)
    keystore = Keystore.from_file(folder / "kek")
    seeding.seed(admin_url, OURS)
    seeding.seed(admin_url, THEIRS, meters=8, prefix="B-")
    mine = {role: _with_database(url, name) for role, url in urls.items()}
    return Site(mine, admin_url, keystore)


@pytest.fixture
async def app(site):
    """The API as it listens on a public address: nothing without a token."""
    async with running(site) as made:
        yield made


@pytest.fixture
async def open_app(site):
    """The API as it listens on loopback: everybody there may read."""
    async with running(site, open_reads_tenant=OURS) as made:
        yield made


@pytest.fixture
async def api(app):
    """A client with the operator's token."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def stranger(app):
    """A client without a token."""
    async with client_of(app, None) as client:
        yield client


@pytest.fixture
async def neighbour(app):
    """A client with the other utility's token."""
    async with client_of(app, OTHER) as client:
        yield client
