"""A running head-end with a seeded street, and Debian's Chromium."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.async_api import async_playwright, expect

from headend.api.app import create_app
from headend.security import people
from headend.store import bootstrap, db

expect.set_options(timeout=60_000)
HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
TOKEN = "browser-token-0123456789-0123456789"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def _load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


seeding = _load(HERE.parent / "integration" / "headend_api" / "seeding.py")


@dataclass
class HeadEnd:
    """A server on loopback: its address, its database, and how it draws conclusions."""

    url: str
    admin_url: str

    def execute(self, sql: str, *params) -> list[dict]:
        with db.connect(self.admin_url, name="test", autocommit=True) as connection:
            cursor = connection.execute(sql, params)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def _serving(api_url: str, admin_url: str):
    """The API with uvicorn in a thread of its own."""
    with db.connect(admin_url, name="test") as connection, db.tenant(connection, 1):
        db.run(connection, people.keep_first_key(1, TOKEN))
    ready, box = threading.Event(), {}

    async def main() -> None:
        async with db.make_pool(api_url, size_max=4) as pool:
            app = create_app(
                pool,
                secret=TOKEN.encode(),
                seal_key=lambda _, key: key,
                open_key=lambda _, key: key,
                open_reads_tenant=1,
                pulse_s=0.1,
            )
            config = uvicorn.Config(
                app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1
            )
            server = box["server"] = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve())
            while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.02)
            box["port"] = server.servers[0].sockets[0].getsockname()[1]
            ready.set()
            await serving

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="headend")
    thread.start()
    try:
        assert ready.wait(120)
        yield HeadEnd(f"http://127.0.0.1:{box['port']}", admin_url)
    finally:
        box["server"].should_exit = True
        thread.join(60)


@pytest.fixture(scope="module")
def base(database, tmp_path_factory) -> str:
    """A bootstrapped database to clone; its roles belong to the whole server. The API's address."""
    made = bootstrap.bootstrap(
        database.admin_url,
        database="browser_base",
        file=tmp_path_factory.mktemp("browser") / "headend.toml",
        broker_url="mqtt://127.0.0.1:1883",
        api_port=8080,
    )
    return made.urls["api"]


def _clone(database, base: str, name: str) -> tuple[str, str]:
    """A database of its own: its address for the API and for a superuser."""
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute(f"create database {name} template browser_base owner ohmesh_owner")
    return tuple(
        urlsplit(url)._replace(path=f"/{name}").geturl() for url in (base, database.admin_url)
    )


@pytest.fixture(scope="module")
def headend(database, base):
    """A street of sixty meters with a day of readings."""
    api_url, admin_url = _clone(database, base, "browser_street")
    seeding.seed(admin_url, 1)
    with _serving(api_url, admin_url) as running:
        yield running


@pytest.fixture(scope="module")
def empty_headend(database, base):
    """Nothing is registered yet."""
    with _serving(*_clone(database, base, "browser_empty")) as running:
        yield running


@dataclass
class Watched:
    """What went wrong on a page, and where it called."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def watch(self, page) -> None:
        page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))

    def _console(self, message) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"console: {message.text}")


@pytest.fixture
async def browser():
    """One Chromium a test: it never outlives its event loop."""
    if not os.access(CHROMIUM, os.X_OK):
        if os.environ.get("CI") == "true":
            pytest.fail("no /usr/bin/chromium; deploy/setup-test-machine.sh installs it")
        pytest.skip("no /usr/bin/chromium")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=list(ARGUMENTS)
        )
        yield chromium
        await chromium.close()


@pytest.fixture
async def page(browser):
    """A page that reports its errors: `page.watched`."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    made = await context.new_page()
    made.watched = Watched()
    made.watched.watch(made)
    yield made
    await context.close()
