"""The gate, straight on ASGI: bodies that stop in the middle never reach a route."""

from __future__ import annotations

import json

import pytest

from headend.api.access import Access
from headend.api.gate import BODY_BYTES_MAX, Gate, _with_headers
from headend.security.secrets import digest

TOKEN = "token"


class Known:
    """A store in which one key is known."""

    async def run(self, _tenant_id, plan):
        statement = next(plan)
        row = {"name": "operator", "tenant_id": 1, "scopes": ["admin"], "person": "somebody"}
        found = [row] if statement.params["digest"] == digest(TOKEN) else []
        with pytest.raises(StopIteration) as end:
            plan.send(found)
        return end.value.value


class Inner:
    """The app behind the gate: it remembers what it was given."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, _scope, receive, send) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def call(messages: list[dict], headers: dict[str, str] | None = None):
    """One POST whose body comes in the given messages."""
    inner, sent, left = Inner(), [], list(messages)
    access = Access(Known(), bytes(16), None)

    async def receive():
        return left.pop(0)

    async def send(message) -> None:
        sent.append(message)

    given = {"host": "h", "authorization": f"Bearer {TOKEN}", "transfer-encoding": "chunked"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/x",
        "headers": [(k.encode(), v.encode()) for k, v in {**given, **(headers or {})}.items()],
    }
    await Gate(inner, access, lambda _: False)(scope, receive, send)
    return inner, sent


def part(body: bytes, *, more: bool) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_parts_comes_whole():
    inner, sent = await call([part(b"amount=1", more=True), part(b"250", more=False)])
    assert inner.bodies == [b"amount=1250"]
    assert sent[0]["status"] == 204


async def test_a_caller_that_goes_away_in_the_middle_has_asked_nothing():
    """Half of `amount=1250` is a payment of another amount."""
    inner, sent = await call([part(b"amount=12", more=True), {"type": "http.disconnect"}])
    assert inner.bodies == []
    assert sent[0]["status"] == 400


@pytest.mark.parametrize("sizes", [(BODY_BYTES_MAX + 1,), (BODY_BYTES_MAX, 1)])
async def test_a_body_is_cut_off_at_its_limit(sizes):
    messages = [part(b"x" * size, more=True) for size in sizes]
    inner, sent = await call(messages)
    assert inner.bodies == []
    assert json.loads(sent[1]["body"])["status"] == 413


async def test_the_largest_body_passes():
    inner, _ = await call([part(b"x" * BODY_BYTES_MAX, more=False)])
    assert len(inner.bodies[0]) == BODY_BYTES_MAX


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 30, "\u0665", "abc"])
async def test_an_odd_length_is_refused(length):
    inner, sent = await call([], {"content-length": length})
    assert inner.bodies == []
    assert sent[0]["status"] == 413


@pytest.mark.parametrize(
    ("path", "query", "status", "kept"),
    [
        ("/static/ohmesh.css", b"v=0123456789ab", 200, "immutable"),
        ("/static/vendor/htmx-4.0.1.min.js", b"", 200, "immutable"),
        ("/static/ohmesh.css", b"", 200, "no-cache"),
        ("/static/vendor/none.js", b"", 404, "no-store"),
        ("/v1/meters", b"v=1", 200, "no-store"),
    ],
)
async def test_only_what_is_named_by_its_content_is_kept(path, query, status, kept):
    sent = []

    async def keep(message):
        sent.append(message)

    guarded = _with_headers(keep, {"path": path, "query_string": query})
    await guarded({"type": "http.response.start", "status": status, "headers": []})
    assert kept in dict(sent[0]["headers"])[b"cache-control"].decode()
