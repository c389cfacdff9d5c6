"""A database that goes away and comes back: clear problems meanwhile, no restart needed."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from api_site import OURS, TOKEN, Site, client_of, running

from headend.keystore import Keystore
from headend.security import people
from headend.store import bootstrap, db
from meter_sim.servers.database import Database


@pytest.fixture
def own_server(server_folder):
    """A PostgreSQL that the test may stop."""
    folder = Path(tempfile.mkdtemp(prefix="outage-", dir=server_folder))
    folder.chmod(0o755)
    server = Database(folder / "database").start()
    yield server
    server.stop()


async def test_the_database_goes_away_and_comes_back(own_server, tmp_path):
    made = bootstrap.bootstrap(
        own_server.admin_url,
        database="outage",
        file=tmp_path / "headend.toml",
        broker_url="mqtt://127.0.0.1:1883",
        api_port=8080,
    )
    site = Site(made.urls, own_server.admin_url, Keystore.from_file(tmp_path / "kek"))
    with db.connect(made.urls["owner"], name="test") as connection, db.tenant(connection, OURS):
        db.run(connection, people.keep_first_key(OURS, TOKEN))
    async with running(site) as app, client_of(app) as client:
        body = {"gateway": "gw-outage"}
        assert (await client.post("/v1/gateways", json=body)).status_code == 201
        await asyncio.to_thread(own_server.crash)
        answer = await client.get("/v1/gateways")
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/unavailable"
        assert answer.headers["retry-after"]
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        await asyncio.to_thread(own_server.start)
        async with asyncio.timeout(60):
            while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.1)
        gateways = (await client.get("/v1/gateways")).json()["items"]
        assert [g["gateway"] for g in gateways] == ["gw-outage"]
