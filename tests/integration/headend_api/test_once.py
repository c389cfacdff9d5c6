"""An Idempotency-Key on any write: one effect, and the same octets for every repeat."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from api_site import OTHER, OURS, client_of, running

from headend.store import db

REPEATS = 20


def count(site, sql: str, *params: object) -> int:
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        return admin.execute(sql, params).fetchone()["count"]


def key_body(name: str) -> dict[str, object]:
    return {"key": name, "scopes": ["fleet:read"]}


def entries(site, target: str) -> int:
    return count(
        site,
        "select count(*) from ohmesh.audit_log where tenant_id = %s and target = %s",
        OURS,
        target,
    )


async def test_a_repeat_is_given_the_same_octets_and_does_nothing(api, site):
    before = entries(site, "/v1/keys")
    once = {"Idempotency-Key": "make-one"}
    first = await api.post("/v1/keys", json=key_body("once-one"), headers=once)
    again = await api.post("/v1/keys", json=key_body("once-one"), headers=once)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert entries(site, "/v1/keys") == before + 1


async def test_another_request_under_the_key_is_refused(api):
    once = {"Idempotency-Key": "make-two"}
    assert (await api.post("/v1/keys", json=key_body("once-two"), headers=once)).status_code == 201
    for method, path, body in (
        ("POST", "/v1/keys", key_body("once-three")),
        ("POST", "/v1/keys?x=1", key_body("once-two")),
        ("DELETE", "/v1/keys/once-two", None),
    ):
        answer = await api.request(method, path, json=body, headers=once)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/conflict")
    assert "once-two" in (await api.get("/v1/keys?page_size=1000")).text


async def test_a_refusal_keeps_nothing(api):
    once = {"Idempotency-Key": "late"}
    body = {"group": [], "meters": ["nobody"]}
    assert (await api.put("/v1/groups/once", json=body, headers=once)).status_code >= 400
    good = await api.post("/v1/keys", json=key_body("once-late"), headers=once)
    assert good.status_code == 201


async def test_a_key_is_the_callers_own(api, app):
    once = {"Idempotency-Key": "shared-word"}
    mine = await api.post("/v1/keys", json=key_body("once-mine"), headers=once)
    async with client_of(app, OTHER) as neighbour:
        theirs = await neighbour.post("/v1/keys", json=key_body("once-mine"), headers=once)
    assert mine.status_code == theirs.status_code == 201
    assert mine.json()["secret"] != theirs.json()["secret"]


async def test_who_may_not_write_is_given_no_kept_answer(app, api):
    """A key of a caller whose permission is gone is judged before its answers are looked up."""
    made = await api.post("/v1/keys", json={"key": "once-weak", "scopes": ["fleet:read"]})
    async with client_of(app, made.json()["secret"]) as weak:
        answer = await weak.post(
            "/v1/keys", json=key_body("once-x"), headers={"Idempotency-Key": "k"}
        )
    assert answer.status_code == 403


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "\xe9"])
async def test_a_key_that_is_none_is_refused(api, key):
    answer = await api.post(
        "/v1/keys", json=key_body("once-bad"), headers={b"Idempotency-Key": key.encode("latin-1")}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/header/idempotency-key"


@pytest.mark.parametrize(
    "keys", [25, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
async def test_parallel_repeats_have_one_effect_and_one_answer(site, keys):
    """Many keys, each sent by many at once."""
    async with running(site, requests_per_s=1e6) as app, client_of(app) as client:
        for number in range(keys):
            name = f"crowd-{keys}-{number}"
            sent = [
                client.post("/v1/keys", json=key_body(name), headers={"Idempotency-Key": name})
                for _ in range(REPEATS)
            ]
            answers = await asyncio.gather(*sent)
            assert {(a.status_code, a.content) for a in answers} == {(201, answers[0].content)}
    made = count(site, "select count(*) from ohmesh.api_key where name like %s", f"crowd-{keys}-%")
    told = count(
        site,
        "select count(*) from ohmesh.audit_log where action = 'add_key' and detail like %s",
        f"crowd-{keys}-%",
    )
    assert (made, told) == (keys, keys)


async def test_effect_and_answer_are_there_together_or_not_at_all(api, site, monkeypatch):
    once = {"Idempotency-Key": "cut-short"}

    def dies(*_: object, **__: object):
        raise db.Unavailable("gone between effect and answer")
        yield  # a plan

    with monkeypatch.context() as patch:
        patch.setattr("headend.api.once.Once.keep", dies)
        lost = await api.post("/v1/keys", json=key_body("once-cut"), headers=once)
    assert lost.status_code == 503
    assert count(site, "select count(*) from ohmesh.api_key where name = 'once-cut'") == 0
    good = await api.post("/v1/keys", json=key_body("once-cut"), headers=once)
    assert good.status_code == 201


async def test_an_answer_is_kept_a_day_and_no_secret_stands_in_the_store(site):
    start = datetime.now(UTC)
    clock = [start]
    once = {"Idempotency-Key": "of-yesterday"}
    async with running(site, now=lambda: clock[0]) as app, client_of(app) as client:
        first = await client.post("/v1/keys", json=key_body("once-old"), headers=once)
        clock[0] = start + timedelta(hours=23, minutes=59)
        again = await client.post("/v1/keys", json=key_body("once-old"), headers=once)
        assert again.content == first.content
        clock[0] = start + timedelta(hours=24, minutes=1)
        late = await client.post("/v1/keys", json=key_body("once-old"), headers=once)
        assert late.status_code == 409  # by the key's name: nothing is remembered any more
    secret = first.json()["secret"]
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        rows = admin.execute("select sealed from ohmesh.kept_answer").fetchall()
    assert rows
    assert not any(secret.encode() in bytes(row["sealed"]) for row in rows)


async def test_every_write_takes_a_key(api):
    """All but enrolment, which nobody signs in for, and files, which say what was there."""
    document = (await api.get("/openapi.json")).json()
    without = {
        operation["operationId"]
        for methods in document["paths"].values()
        for method, operation in methods.items()
        if method != "get"
        and "idempotency-key" not in {p["name"] for p in operation.get("parameters", ())}
    }
    assert without == {"enrol", "renew_certificate", "import_meters", "import_readings"}
