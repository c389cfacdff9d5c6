"""Every operation by every kind of caller, generated from the routes themselves."""

from __future__ import annotations

import re

import pytest
from api_site import OTHER, OURS, READER, TOKEN, client_of, running
from seeding import street

from headend.api.access import SESSION_COOKIE
from headend.api.app import routes_of
from headend.api.permissions import needed
from headend.security.roles import PERMISSIONS, Permission, Role

NEEDS_NO_BODY_TO_REFUSE = b"{}"


def operations(app) -> list[tuple[str, str, str]]:
    """(method, path template, operation) of everything that the app serves."""
    return [(m, r.path, r.name) for r in routes_of(app) for m in sorted(r.methods - {"HEAD"})]


ONE_OF_SOMETHING = re.compile("{(command|user|key|approval|token|webhook|rerate)}")
"""Paths whose ids no test has filled in."""


def filled(path: str, *, meter="M0001", account="A-1", gateway="gw1") -> str:
    return (
        path.replace("{meter}", meter)
        .replace("{account}", account)
        .replace("{gateway}", gateway)
        .replace("{command}", "00000000-0000-4000-8000-000000000000")
        .replace("{approval}", "00000000-0000-4000-8000-000000000000")
        .replace("{contract}", "A-1")
        .replace("{payment}", "00000000-0000-4000-8000-000000000000")
        .replace("{token}", "00000000-0000-4000-8000-000000000000")
        .replace("{webhook}", "00000000-0000-4000-8000-000000000000")
        .replace("{pack}", "gb-example")
        .replace("{service_point}", "SP-M0001")
        .replace("{name}", "invalid")
        .replace("{user}", "nobody-here")
        .replace("{key}", "no-such-key")
    )


def guarded(app):
    return [
        (m, p)
        for m, p, name in operations(app)
        if needed(name) is not Permission.OPEN and name != "stream"
    ]


async def test_the_matrix_has_every_operation(app, api):
    document = (await api.get("/openapi.json")).json()
    documented = {(m.upper(), p) for p, one in document["paths"].items() for m in one}
    served = {(m, p) for m, p, _ in operations(app) if p.startswith("/v1/") or p.endswith("z")}
    assert served == documented
    assert len(documented) >= 20


async def test_nothing_without_a_token(app, stranger):
    for method, path in guarded(app):
        answer = await stranger.request(method, filled(path), content=NEEDS_NO_BODY_TO_REFUSE)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "value",
    ["Bearer wrong", "Bearer", "Basic b3BlcmF0b3I6eA==", f"Bearer {TOKEN}x", f"Token {TOKEN}"],
)
async def test_nothing_with_a_wrong_token(app, value):
    async with client_of(app, None, Authorization=value) as client:
        for method, path in [*guarded(app), ("GET", "/v1/stream")]:
            answer = await client.request(method, filled(path), content=NEEDS_NO_BODY_TO_REFUSE)
            assert answer.status_code == 401, (method, path)


async def test_a_reader_reads_and_never_writes(app):
    may = PERMISSIONS[Role.VIEWER]
    async with client_of(app, READER) as client:
        for method, path, name in operations(app):
            if needed(name) in {Permission.OPEN, Permission.SELF} or name == "stream":
                continue
            answer = await client.request(method, filled(path), content=NEEDS_NO_BODY_TO_REFUSE)
            if method == "GET" and needed(name) in may:
                assert answer.status_code in {200, 404, 422}, (method, path, answer.text)
            else:
                assert answer.status_code == 403, (method, path, answer.text)


async def test_the_right_token_reads_everything(app, api):
    for method, path in guarded(app):
        if method == "GET" and not ONE_OF_SOMETHING.search(path):
            answer = await api.get(filled(path))
            asked = answer.status_code == 422 and "Field required" in answer.text
            assert answer.status_code == 200 or asked, (path, answer.text)


async def test_lists_hold_only_ones_own(api, neighbour):
    lists = ("meters", "gateways", "accounts", "tariffs", "commands", "events", "quarantine")
    for name in lists:
        own = {str(i) for i in (await api.get(f"/v1/{name}?page_size=1000")).json()["items"]}
        theirs = {
            str(i) for i in (await neighbour.get(f"/v1/{name}?page_size=1000")).json()["items"]
        }
        if name != "tariffs":  # both have one called "flat" with the same content
            assert not own & theirs, name
    nodes = (await neighbour.get("/v1/topology")).json()["nodes"]
    assert {n["id"] for n in nodes if n["id"]} == {
        *(f"B-{home.meter}" for home in street(8)),
        "B-gw1",
        "B-gw2",
    }
    report = (await neighbour.get("/v1/reports/read-success")).json()
    assert report["meters"] == 8


async def test_a_cursor_of_one_utility_is_none_for_the_other(api, neighbour):
    cursor = (await api.get("/v1/meters?page_size=3")).json()["next"]
    answer = await neighbour.get("/v1/meters", params={"page_size": 3, "cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/invalid-cursor"


async def test_writes_to_another_utility_have_no_effect(api, neighbour):
    before = (await api.get("/v1/accounts/A-1")).json()["balance_mu"]
    answer = await neighbour.post(
        "/v1/accounts/A-1/topups", json={"amount_mu": 5}, headers={"Idempotency-Key": "theft"}
    )
    assert answer.status_code == 404
    command = await neighbour.post(
        "/v1/commands",
        json={"meter": "M0001", "kind": "relay_off"},
        headers={"Idempotency-Key": "theft"},
    )
    assert command.status_code == 404
    assert (await api.get("/v1/accounts/A-1")).json()["balance_mu"] == before
    assert (await api.get("/v1/commands?meter=M0001")).json()["items"] == []


async def test_on_loopback_everybody_reads_and_nobody_writes(open_app):
    async with client_of(open_app, None) as client:
        assert (await client.get("/v1/meters")).status_code == 200
        assert (await client.get("/")).status_code == 200
        for path in ("/v1/meters", "/v1/gateways", "/v1/commands", "/accounts/A-1"):
            assert (await client.post(path, json={})).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "10.0.0.1", ""])
async def test_a_foreign_name_for_loopback_is_refused(open_app, host):
    """A web page cannot read the meters by pointing its own name at 127.0.0.1."""
    async with client_of(open_app, None) as client:
        answer = await client.get("/v1/meters", headers={"Host": host})
        assert answer.status_code == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
async def test_what_a_proxy_forwards_needs_a_token(open_app, header):
    """A proxy on the same machine would open the server to everybody it serves."""
    async with client_of(open_app, None) as client:
        answer = await client.get("/v1/meters", headers={header: "203.0.113.9"})
        assert answer.status_code == 401
    async with client_of(open_app, Host="meters.example") as client:
        answer = await client.get("/v1/meters", headers={header: "203.0.113.9"})
        assert answer.status_code == 200


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "127.0.0.2:1"])
async def test_loopback_names_are_served(open_app, host):
    async with client_of(open_app, None) as client:
        assert (await client.get("/v1/meters", headers={"Host": host})).status_code == 200


async def _signed_in(client) -> str:
    answer = await client.post(
        "/login", data={"token": TOKEN, "next": "/mesh"}, headers={"Origin": "http://127.0.0.1"}
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == "/mesh"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    return client.cookies[SESSION_COOKIE]


async def test_the_session_reads_and_writes_from_its_own_pages_only(app):
    async with client_of(app, None) as client:
        await _signed_in(client)
        assert (await client.get("/mesh")).status_code == 200
        body = {"gateway": "gw-by-session"}
        foreign = await client.post("/v1/gateways", json=body, headers={"Origin": "http://evil"})
        assert foreign.status_code == 403
        silent = await client.post("/v1/gateways", json=body)
        assert silent.status_code == 403
        own = await client.post("/v1/gateways", json=body, headers={"Origin": "http://127.0.0.1"})
        assert own.status_code == 201


async def test_a_login_from_another_page_is_refused(app):
    async with client_of(app, None) as client:
        answer = await client.post(
            "/login", data={"token": TOKEN}, headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_a_wrong_token_gives_no_session(app):
    async with client_of(app, None) as client:
        answer = await client.post(
            "/login", data={"token": "guess"}, headers={"Origin": "http://127.0.0.1"}
        )
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c[:-1] + ("0" if c[-1] != "0" else "1"),
        lambda c: c + "A",
        lambda c: c[::-1],
        lambda _: "x",
        lambda _: "..",
    ],
)
async def test_a_forged_session_is_none(app, change):
    async with client_of(app, None) as client:
        forged = change(await _signed_in(client))
    async with client_of(app, None, Cookie=f"{SESSION_COOKIE}={forged}") as client:
        assert (await client.get("/v1/meters")).status_code == 401


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\nb", "x"]
)
async def test_login_never_leads_elsewhere(app, target):
    async with client_of(app, None) as client:
        answer = await client.post(
            "/login",
            data={"token": TOKEN, "next": target},
            headers={"Origin": "http://127.0.0.1"},
        )
        assert answer.headers["location"] == "/"


async def test_a_page_sends_a_stranger_to_the_login(stranger):
    answer = await stranger.get("/mesh", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/mesh"


async def test_every_answer_has_the_guarding_headers(api, stranger):
    for client, path in ((api, "/"), (api, "/v1/meters"), (stranger, "/v1/meters"), (api, "/no")):
        headers = (await client.get(path)).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in headers


async def test_two_apps_share_nothing(site):
    """No state outside the app: another secret refuses the first one's cursors."""
    async with running(site) as first:
        async with client_of(first, OTHER) as client:
            cursor = (await client.get("/v1/meters?page_size=1")).json()["next"]
        assert first.state.services is not None
    async with running(site) as second, client_of(second, OTHER) as client:
        answer = await client.get("/v1/meters", params={"cursor": cursor})
        assert answer.status_code == 200


@pytest.mark.parametrize("scopes", [["fleet:read", "money:read"], ["money:read", "fleet:write"]])
async def test_a_page_knows_who_reads_and_offers_only_what_they_may(site, api, scopes):
    """Also where nobody has to sign in, whoever has can sign out, and is not told to sign in."""
    name = "-".join(scopes).replace(":", "-")
    secret = (await api.post("/v1/keys", json={"key": name, "scopes": scopes})).json()["secret"]
    async with (
        running(site, open_reads_tenant=OURS) as app,
        client_of(app, secret) as reader,
        client_of(app, None) as nobody,
    ):
        known = (await reader.get("/accounts/A-1", headers={"accept": "text/html"})).text
        unknown = (await nobody.get("/accounts/A-1", headers={"accept": "text/html"})).text
    assert f"{name} · sign out" in known
    assert "money:vend" in known
    assert "/login" not in known
    assert "/login" in unknown
    assert 'name="amount"' not in known + unknown
