"""The life of a gateway at the real head-end: enrolled, at work, stolen, revoked, replaced.

Everything is what is shipped: `ohmesh headend serve` on PostgreSQL, a Mosquitto with the files of
`mqtt-config`, `ohmesh gateway enrol` and `run`. At the end each telegram is stored once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from headend.store import db
from meter_sim.servers.process import LOOPBACK, free_port, spawn, stop

pytestmark = pytest.mark.mosquitto
DATABASE = "gateway_life"
OHMESH = (sys.executable, "-m", "ohmesh")


def _named(url):
    return urlsplit(url)._replace(path=f"/{DATABASE}").geturl()


@pytest.fixture
def store(database, headend_base):
    """A database of its own; the addresses of the roles, and the administrator's."""
    urls, folder = headend_base
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute(f"create database {DATABASE} template headend_base owner ohmesh_owner")
        admin.execute(
            f"grant connect on database {DATABASE} to ohmesh_ingest, ohmesh_worker, ohmesh_api"
        )
    return {role: _named(url) for role, url in urls.items()}, _named(database.admin_url), folder


class RealHeadEnd:
    """`ohmesh headend serve`, and its operator."""

    def __init__(self, folder, store, secure):
        urls, self.admin_url, secrets = store
        self.folder, self.port = folder, free_port()
        self.token = (secrets / "api-token").read_text().strip()
        sections = {
            "database": {f"{role}_url": urls[role] for role in ("ingest", "worker", "api")},
            "broker": {
                "url": f"mqtts://{LOOPBACK}:{secure.headend_port}",
                "ca_file": str(secure.folder / "service-ca.crt"),
                "certificate_file": str(secure.folder / "headend.crt"),
                "key_file": str(secure.folder / "headend.key"),
            },
            "api": {"port": self.port, "token_file": str(secrets / "api-token")},
            "secrets": {"kek_file": str(secrets / "kek")},
            "enrolment": {
                "folder": str(secure.folder),
                "gate_keys_file": str(secrets / "gate.pub"),
                "broker_pid_file": str(secure.pid_file),
            },
        }
        lines = []
        for name, fields in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(v)}" for key, v in fields.items())]
        (folder / "headend.toml").write_text("\n".join(lines))

    @property
    def url(self):
        return f"http://{LOOPBACK}:{self.port}"

    def start(self):
        with (self.folder / "headend.log").open("wb") as log:
            config = self.folder / "headend.toml"
            self.process = spawn([*OHMESH, "headend", "serve", "--config", config], log=log)

    async def _answer(self, method, path, **options):
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60) as client:
            return await client.request(method, path, **options)

    async def ask(self, method, path, **options):
        answer = await self._answer(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def up(self):
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await self._answer("GET", "/v1/gateways")).is_success:
                        return
                assert self.process.poll() is None, (self.folder / "headend.log").read_text()
                await asyncio.sleep(0.1)

    async def new_token(self):
        return (await self.ask("POST", "/v1/gateways/gw1/enrolment"))["token"]

    def stored(self):
        """Payloads of the archive, doubled ones doubled."""
        with db.connect(self.admin_url, name="test", autocommit=True) as admin:
            rows = admin.execute(
                "select payload from bulk.telegram where source = 'bench'"
            ).fetchall()
        return sorted(bytes(row["payload"]) for row in rows)


@pytest.fixture
async def real(tmp_path, store, secure):
    made = RealHeadEnd(tmp_path, store, secure)
    made.start()
    try:
        await made.up()
        yield made
    finally:
        stop(made.process)


def enrolled(folder, real, token):
    """Run the command of the device; the token comes by standard input."""
    return subprocess.run(
        [*OHMESH, "gateway", "enrol", "--url", real.url],
        input=token,
        cwd=folder,
        env={"OHMESH_GATEWAY__GATEWAY": "gw1"},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_enrolled_at_work_revoked_and_replaced(
    real, secure, gateway_process, bench, wait_until, tmp_path
):
    await real.ask("POST", "/v1/gateways", json={"gateway": "gw1"})
    token = await real.new_token()
    done = await asyncio.to_thread(enrolled, tmp_path, real, token)
    assert done.returncode == 0, done.stderr
    (tmp_path / "thief").mkdir()
    again = await asyncio.to_thread(enrolled, tmp_path / "thief", real, token)
    assert (again.returncode, "used before" in again.stderr) == (1, True), again.stderr
    assert not list((tmp_path / "thief").rglob("identity.pem"))

    gateway = gateway_process(BROKER__URL=secure.url)
    client = await bench(gateway)
    for _ in range(5):
        await client.put()
    assert await wait_until(lambda: len(real.stored()) == 5)

    reloads = _reloads(secure)
    await real.ask("DELETE", "/v1/gateways/gw1/certificates")
    assert await wait_until(lambda: _reloads(secure) > reloads)
    for _ in range(5):
        await client.put()
    await asyncio.sleep(1)  # they leave at once, on the connection that is still open
    gateway.stop()
    client.close()
    gateway.start()
    assert await wait_until(lambda: "our certificate is revoked" in gateway.log.read_text())
    assert len(real.stored()) == 5, "nothing that came after the revocation"

    gateway.stop()
    reloads = _reloads(secure)
    done = await asyncio.to_thread(enrolled, tmp_path, real, await real.new_token())
    assert done.returncode == 0, done.stderr
    assert await wait_until(lambda: _reloads(secure) > reloads), "its topics are its again"
    gateway.start()
    assert await wait_until(lambda: len(real.stored()) >= 10)
    assert real.stored() == sorted(client.sent)
    assert token not in gateway.log.read_text()


def _reloads(secure):
    return (secure.folder / "mosquitto.log").read_text().count("Reloading config")
