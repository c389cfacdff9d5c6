"""What is hostile but well-formed, and what is not well-formed at all."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from api_site import OURS, client_of, running
from seeding import HOSTILE

from headend.api.problems import KINDS
from headend.store import db

INSIDE = re.compile(r"Traceback|psycopg|select |site-packages|\.py\b|ohmesh\.\w+ ", re.IGNORECASE)


def is_problem(answer, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["type"].removeprefix("/problems/") in KINDS
    assert document["title"]
    assert not INSIDE.search(answer.text), answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nope", 404),
        ("GET", "/v1/meters/%00", 404),
        ("GET", "/v1/meters/%00/readings", 404),
        ("GET", "/v1/gateways/%00", 404),
        ("GET", "/v1/accounts/a%00", 404),
        ("GET", "/v1/accounts/a%0a/transfers", 404),
        ("GET", "/accounts/%00", 404),
        ("GET", "/meters/%00", 404),
        ("GET", "/?q=%00", 422),
        ("GET", "/accounts?after=%00", 422),
        ("GET", "/v1/meters/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/v1/meters/' or 1=1 --", 404),
        ("GET", "/v1/meters/" + "x" * 5000, 422),
        ("GET", "/v1/meters/%ff%fe", 404),
        ("GET", "/v1/meters/\u202e", 404),
        ("DELETE", "/v1/meters", 405),
        ("PUT", "/v1/meters/M0001", 405),
        ("TRACE", "/v1/meters", 405),
        ("GET", "/v1/commands/not-a-uuid", 422),
        ("GET", "/v1/quarantine?resolved=perhaps", 422),
        ("GET", "/v1/meters?prefix=%27;drop%20table", 422),
    ],
)
async def test_wrong_addresses_are_problems(api, method, path, status):
    is_problem(await api.request(method, path), status)


async def test_a_method_that_is_not_allowed_says_which_are(api):
    answer = await api.delete("/v1/gateways/gw1")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"meter": "\xff"}',
        b'"text"',
        b"[" * 50_000 + b"]" * 50_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"interval_s": ' + b"9" * 10_000 + b"}",
        json.dumps({"meter": HOSTILE}).encode(),
    ],
)
async def test_bodies_that_are_nothing_are_problems(api, body):
    answer = await api.post(
        "/v1/meters", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in {400, 422}
    is_problem(answer, answer.status_code)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", ""])
async def test_another_content_type_is_refused(api, kind):
    answer = await api.post(
        "/v1/meters", content=b'{"meter":"X"}', headers={"Content-Type": kind} if kind else {}
    )
    assert answer.status_code in {400, 422}
    is_problem(answer, answer.status_code)


async def test_a_body_above_a_mebibyte_is_refused(api):
    for headers in ({}, {"Content-Length": str(2**40)}, {"Content-Length": "-1"}):
        big = b"x" * (1024 * 1024 + 1)
        is_problem(await api.post("/v1/meters", content=big, headers=headers), 413)


async def test_a_body_without_a_declared_length_is_counted(api):
    async def endless():
        while True:
            yield b"x" * 65_536

    is_problem(await api.post("/v1/meters", content=endless()), 413)


async def test_text_from_the_field_is_inert_on_the_page(api):
    """A telegram's text stands on the page as text: no tag, no attribute, no template."""
    answer = await api.get("/quarantine")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "49" not in re.findall(r"cmd\|x&amp;(.*?)<", answer.text)[0]


async def test_names_that_get_past_the_door_are_inert_everywhere(site, api):
    """Zone, service point and profile are shown too; put the worst straight into the store."""
    with db.connect(site.admin_url, name="test") as connection:
        connection.execute(
            "insert into ohmesh.service_point (tenant_id, name, zone) values (%s, %s, %s)",
            (OURS, HOSTILE, HOSTILE),
        )
        connection.execute(
            "insert into ohmesh.meter (tenant_id, name, address, profile, interval_s,"
            " service_point_id) select %s, 'Hostile', 'Hostile', %s, 900, id"
            " from ohmesh.service_point where name = %s",
            (OURS, HOSTILE, HOSTILE),
        )
        connection.execute(
            "insert into ohmesh.event (tenant_id, at, kind, detail) values (%s, now(), %s, %s)",
            (OURS, HOSTILE, json.dumps({HOSTILE: HOSTILE})),
        )
        connection.commit()
    for path in ("/meters/Hostile", "/?q=Hos", "/mesh", "/accounts"):
        answer = await api.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text
        assert 'onerror="' not in answer.text
    assert (await api.get("/v1/meters/Hostile")).json()["zone"] == HOSTILE


@pytest.mark.parametrize("path", ["/nope/<script>alert(1)</script>", "/meters/<img src=x>"])
async def test_an_error_page_is_inert(api, path):
    answer = await api.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script>alert" not in answer.text
    assert "<img src=x>" not in answer.text


@pytest.mark.parametrize("path", ["/static/../../app.py", "/static/%2e%2e/render.py", "/static/"])
async def test_static_serves_its_folder_only(api, path):
    assert (await api.get(path)).status_code in {404, 405}


async def test_a_question_that_takes_too_long_is_given_up(site):
    """Another transaction holds the table: the statement ends at its limit, with a problem."""
    with db.connect(site.admin_url, name="test") as blocker:
        blocker.execute("lock table ohmesh.gateway in access exclusive mode")
        async with running(site) as app, client_of(app) as client:
            pool = app.state.services.store._pool
            pool.kwargs["options"] = "-c statement_timeout=200"
            await pool.drain()
            answer = await client.get("/v1/gateways")
            is_problem(answer, 503)
            assert answer.json()["type"] == "/problems/too-slow"
            blocker.rollback()
            assert (await client.get("/v1/gateways")).status_code == 200


async def test_the_limit_is_ten_seconds(app):
    async with app.state.services.store._pool.connection() as connection:
        row = await (await connection.execute("show statement_timeout")).fetchone()
    assert row["statement_timeout"] == "10s"


async def test_times_are_utc_whatever_the_server_thinks(site):
    """A database in another zone changes no answer."""
    with db.connect(site.admin_url, name="test") as admin:
        admin.execute("alter role ohmesh_api set timezone = 'Asia/Seoul'")
        admin.commit()
    try:
        async with running(site) as app, client_of(app) as client:
            meter = (await client.get("/v1/meters/M0001")).json()
            readings = (await client.get("/v1/meters/M0001/readings?page_size=1")).json()
        assert meter["last_seen"].endswith("Z")
        assert readings["items"][0]["time"] == "2026-03-01T00:15:00Z"
    finally:
        with db.connect(site.admin_url, name="test") as admin:
            admin.execute("alter role ohmesh_api reset timezone")
            admin.commit()


async def test_without_a_database_it_says_so(site):
    async with running(site) as app:
        pool = app.state.services.store._pool
        await pool.close()
        async with client_of(app) as client:
            is_problem(await client.get("/v1/meters"), 503)
            is_problem(await client.get("/readyz"), 503)
        async with client_of(app, None) as stranger:
            assert (await stranger.get("/healthz")).status_code == 200


async def test_many_at_once_share_the_pool(api):
    answers = await asyncio.gather(*(api.get("/v1/meters?page_size=5") for _ in range(100)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.content for a in answers}) == 1


@pytest.mark.parametrize(
    ("accept", "path", "kind"),
    [
        ("text/html", "/", "text/html"),
        ("text/html", "/quarantine", "text/html"),
        ("application/json", "/quarantine", "application/problem+json"),
        ("text/html", "/v1/meters", "application/problem+json"),
    ],
)
async def test_a_bug_is_told_in_the_caller_s_form_and_tells_nothing(
    app, api, monkeypatch, accept, path, kind
):
    async def broken(*_):
        raise RuntimeError("a secret at /etc/passwd")

    monkeypatch.setattr(type(app.state.services.store), "rows", broken)
    answer = await api.get(path, headers={"Accept": accept})
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith(kind)
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "the server has failed" in answer.text
    assert "secret" not in answer.text
