"""The live stream, on the wire: what comes, what comes again, and that it ends with its client."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from api_site import OTHER, OURS, TOKEN

from headend.store import db


class Listener:
    """One client of the stream, straight on ASGI: httpx would wait for the end."""

    def __init__(self) -> None:
        self.text = ""
        self.status = 0
        self._news = asyncio.Event()

    async def receive(self):
        await asyncio.Future()

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.text += message.get("body", b"").decode()
        self._news.set()

    async def until(self, words: str) -> str:
        async with asyncio.timeout(60):
            while words not in self.text:
                self._news.clear()
                await self._news.wait()
        return self.text

    def events(self) -> list[dict]:
        """The numbered events that came, in order."""
        parts = [p.split("\n") for p in self.text.split("\n\n") if "\nid: " in f"\n{p}"]
        return [
            json.loads(next(line[6:] for line in p if line.startswith("data: "))) for p in parts
        ]


@asynccontextmanager
async def listening(app, token: str = TOKEN, last: int | None = None):
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]
    if last is not None:
        headers.append((b"last-event-id", str(last).encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/stream",
        "raw_path": b"/v1/stream",
        "query_string": b"",
        "headers": headers,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
    listener = Listener()
    task = asyncio.create_task(app(scope, listener.receive, listener.send), name="listener")
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def happen(site, kind: str, tenant: int = OURS) -> int:
    with db.connect(site.admin_url, name="test") as connection:
        row = connection.execute(
            "insert into ohmesh.event (tenant_id, at, kind) values (%s, now(), %s) returning id",
            (tenant, kind),
        ).fetchone()
        connection.commit()
        return row["id"]


async def test_what_happens_is_told_once_in_order(site, app):
    async with listening(app) as listener:
        await listener.until("retry: ")
        numbers = [happen(site, f"live{i}") for i in range(5)]
        await listener.until(f"id: {numbers[-1]}\n")
        happened = [e["id"] for e in listener.events()]
    assert happened == numbers
    assert listener.status == 200


async def test_a_client_that_comes_back_gets_what_it_missed(site, app):
    numbers = [happen(site, f"missed{i}") for i in range(3)]
    async with listening(app, last=numbers[0]) as listener:
        await listener.until(f"id: {numbers[-1]}\n")
        assert [e["id"] for e in listener.events()] == numbers[1:]


async def test_the_other_utility_hears_nothing(site, app):
    async with listening(app, OTHER) as theirs, listening(app) as ours:
        await theirs.until("retry: ")
        await ours.until("retry: ")
        mine = happen(site, "secret")
        await ours.until(f"id: {mine}\n")
        own = happen(site, "own", tenant=2)
        await theirs.until(f"id: {own}\n")
        assert "secret" not in theirs.text


async def test_a_change_names_its_topic(site, app):
    async with listening(app) as listener:
        await listener.until("retry: ")
        with db.connect(site.admin_url, name="test") as connection:
            connection.execute("update ohmesh.route set reported_at = now()")
            connection.commit()
        await listener.until("event: changed")
        assert 'data: ["mesh"]' in listener.text


async def test_a_hundred_listeners_cost_one_look_a_beat(app, monkeypatch):
    looks = 0
    store = app.state.services.store
    rows = store.rows

    async def counted(tenant_id, statement):
        nonlocal looks
        looks += 1
        return await rows(tenant_id, statement)

    monkeypatch.setattr(type(store), "rows", lambda _, *asked: counted(*asked))
    app.state.services.pulses.beat_s = 3600
    async with asyncio.TaskGroup() as group:

        async def one():
            async with listening(app) as listener:
                await listener.until("retry: ")

        for _ in range(100):
            group.create_task(one())
    assert looks == 1
