"""Users, keys, sessions, approvals and the audit log, through the door that callers use."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from api_site import OTHER, OURS, TOKEN, client_of, running

from headend.api import permissions
from headend.api.access import DEVICE_COOKIE, SESSION_COOKIE
from headend.security import audit, people
from headend.store import db

ORIGIN = {"Origin": "http://127.0.0.1"}
PASSWORD = "correct horse battery staple"


async def add_user(api, name, role="viewer"):
    answer = await api.post("/v1/users", json={"user": name, "role": role})
    assert answer.status_code == 201, answer.text
    return answer.json()["path"].partition("link=")[2]


async def set_up(client, link, password=PASSWORD):
    form = {"link": link, "password": password, "again": password}
    return await client.post("/setup", data=form, headers=ORIGIN)


async def sign_in(client, user, password=PASSWORD):
    form = {"user": user, "password": password, "next": "/v1/me"}
    return await client.post("/login", data=form, headers=ORIGIN)


async def test_a_user_chooses_a_password_signs_in_works_and_is_shut_out(app, api):
    link = await add_user(api, "ann", "engineer")
    assert "ann" not in link
    async with client_of(app, None) as browser:
        assert (await sign_in(browser, "ann")).status_code == 401
        assert (await set_up(browser, link, "short")).status_code == 422
        done = await set_up(browser, link)
        assert (done.status_code, done.headers["location"]) == (303, "/login?user=ann")
        assert 'value="ann"' in (await browser.get(done.headers["location"])).text
        hostile = await browser.get('/login?user="><script>')
        assert "&#34;&gt;&lt;script&gt;" in hostile.text
        assert (await set_up(browser, link)).status_code == 422, "a link works once"
        assert (await sign_in(browser, "ann", PASSWORD + "x")).status_code == 401
        assert (await sign_in(browser, "ann")).status_code == 303
        me = (await browser.get("/v1/me")).json()
        assert (me["name"], me["person"]) == ("ann", "ann")
        assert "fleet:write" in me["permissions"]
        assert (await browser.get("/v1/users")).status_code == 403
        done = await api.patch("/v1/users/ann", json={"disabled": True})
        assert done.json()["disabled_at"] is not None
        assert (await browser.get("/v1/me")).status_code == 401
        assert (await sign_in(browser, "ann")).status_code == 401
        await api.patch("/v1/users/ann", json={"disabled": False, "role": "auditor"})
        assert (await sign_in(browser, "ann")).status_code == 303
        assert (await browser.get("/v1/audit")).status_code == 200
        assert (await browser.post("/logout", headers=ORIGIN)).status_code == 303
        assert (await browser.get("/v1/me")).status_code == 401


async def test_sign_out_ends_the_session_and_not_only_the_cookie(app, api):
    async with client_of(app, None) as browser:
        await set_up(browser, await add_user(api, "copied"))
        await sign_in(browser, "copied")
        cookie = browser.cookies[SESSION_COOKIE]
        await browser.post("/logout", headers=ORIGIN)
    async with client_of(app, None, Cookie=f"{SESSION_COOKIE}={cookie}") as thief:
        assert (await thief.get("/v1/me")).status_code == 401


async def test_guessing_is_slowed_down_and_locks_nobody_out(app, api):
    app.state.services.sign_ins._clock_s = lambda: 0.0
    async with client_of(app, None) as browser:
        await set_up(browser, await add_user(api, "victim"))
        await sign_in(browser, "victim")
        assert browser.cookies[DEVICE_COOKIE]
        async with client_of(app, None) as guesser:
            answers = [await sign_in(guesser, "victim", f"guess {n} guess") for n in range(13)]
        codes = [answer.status_code for answer in answers]
        assert codes[0] == 401
        assert codes[-1] == 429
        assert codes.count(401) <= 10
        assert int(answers[-1].headers["retry-after"]) > 0
        assert (await sign_in(browser, "victim")).status_code == 303


async def test_nobody_hands_out_what_they_do_not_have(app, api):
    made = await api.post("/v1/keys", json={"key": "clerk", "scopes": ["users", "money:vend"]})
    async with client_of(app, made.json()["secret"]) as clerk:
        for role, status in (("vending_clerk", 403), ("admin", 403)):
            answer = await clerk.post("/v1/users", json={"user": f"by-{role}", "role": role})
            assert (answer.status_code, answer.json()["code"]) == (status, "beyond_own")
        answer = await clerk.post("/v1/keys", json={"key": "more", "scopes": ["supply:switch"]})
        assert answer.json()["code"] == "beyond_own"
        answer = await clerk.post("/v1/keys", json={"key": "same", "scopes": ["money:vend"]})
        assert answer.status_code == 201
        assert (await clerk.get("/v1/meters")).status_code == 403


async def test_nobody_changes_their_own_account(app, api):
    async with client_of(app, None) as browser:
        await set_up(browser, await add_user(api, "boss", "admin"))
        await sign_in(browser, "boss")
        answer = await browser.patch("/v1/users/boss", json={"role": "viewer"}, headers=ORIGIN)
        assert (answer.status_code, answer.json()["code"]) == (403, "own_account")


async def test_a_key_is_shown_once_works_as_far_as_its_scopes_and_ends(app, api, site):
    body = {"key": "reports", "scopes": ["fleet:read"]}
    made = await api.post("/v1/keys", json=body)
    secret = made.json()["secret"]
    assert re.fullmatch(r"ohm_[\w-]{43}", secret)
    assert (await api.post("/v1/keys", json=body)).status_code == 409
    assert secret not in (await api.get("/v1/keys")).text
    async with running(site) as elsewhere, client_of(elsewhere, secret) as far:
        async with client_of(app, secret) as near:
            assert (await near.get("/v1/meters")).status_code == 200
            assert (await far.get("/v1/meters")).status_code == 200
            assert (await near.get("/v1/accounts")).status_code == 403
            assert (await near.post("/v1/gateways", json={"gateway": "x"})).status_code == 403
            assert (await api.delete("/v1/keys/reports")).status_code == 204
            assert (await near.get("/v1/meters")).status_code == 401
        elsewhere.state.services.access._clock_s = lambda: float("inf")  # 3 s later
        assert (await far.get("/v1/meters")).status_code == 401
    assert (await api.delete("/v1/keys/reports")).status_code == 404


async def test_a_key_ends_by_itself(app, api, site):
    soon = datetime.now(UTC) + timedelta(hours=1)
    body = {"key": "short", "scopes": ["fleet:read"], "expires_at": soon.isoformat()}
    secret = (await api.post("/v1/keys", json=body)).json()["secret"]
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        admin.execute("update ohmesh.api_key set expires_at = now() where name = 'short'")
    async with client_of(app, secret) as client:
        assert (await client.get("/v1/meters")).status_code == 401
    past = {**body, "key": "past", "expires_at": "2020-01-01T00:00:00Z"}
    assert (await api.post("/v1/keys", json=past)).status_code == 422


async def test_secrets_are_nowhere_in_the_database(api, app, site):
    secret = (await api.post("/v1/keys", json={"key": "s", "scopes": ["users"]})).json()["secret"]
    link = await add_user(api, "hidden")
    async with client_of(app, None) as browser:
        await set_up(browser, await add_user(api, "hashed"))
        await sign_in(browser, "hashed")
        cookie = browser.cookies[SESSION_COOKIE]
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        tables = ("app_user", "api_key", "session", "setup_link", "audit_log", "approval")
        kept = "".join(
            str(row) for t in tables for row in admin.execute(f"select * from ohmesh.{t}")
        )
    assert "$argon2id$" in kept
    for text in (secret, secret[4:], link, cookie, PASSWORD, TOKEN):
        assert text not in kept


async def test_an_access_token_has_its_maker_s_rights_and_no_more(app, api):
    key = {"key": "short-lived", "scopes": ["fleet:read"]}
    secret = (await api.post("/v1/keys", json=key)).json()["secret"]
    async with client_of(app, secret) as client:
        made = (await client.post("/v1/me/access-token")).json()
    async with client_of(app, made["access_token"]) as client:
        assert (await client.get("/v1/meters")).status_code == 200
        assert (await client.get("/v1/accounts")).status_code == 403
        assert (await client.get("/v1/me")).json()["person"] == "maker of operator"


async def test_who_may_read_a_relay_may_not_switch_it(app, api):
    key = {"key": "engineer-s", "scopes": ["fleet:read", "command:send"]}
    secret = (await api.post("/v1/keys", json=key)).json()["secret"]
    async with client_of(app, secret) as client:
        for kind, status in (("relay_off", 403), ("relay_on", 403), ("relay_read", 202)):
            body = {"meter": "M0003", "kind": kind}
            headers = {"Idempotency-Key": f"engineer-{kind}"}
            answer = await client.post("/v1/commands", json=body, headers=headers)
            assert answer.status_code == status, answer.text
    kinds = {c["kind"] for c in (await api.get("/v1/commands?meter=M0003")).json()["items"]}
    assert kinds == {"relay_read"}


async def test_two_people_for_one_deed(app, api, monkeypatch):
    monkeypatch.setattr(permissions, "TWO_PEOPLE", frozenset({"top_up"}))
    before = (await api.get("/v1/accounts/A-1")).json()["balance_mu"]
    url, body = "/v1/accounts/A-1/topups", {"amount_mu": 7}
    key = {"Idempotency-Key": "two-people"}
    first = await api.post(url, json=body, headers=key)
    assert (first.status_code, first.json()["type"]) == (409, "/problems/approval-needed")
    approval = f"/v1/approvals/{first.json()['code']}"
    own = await api.post(approval, json={"approved": True})
    assert (own.status_code, own.json()["code"]) == (403, "same_person")
    made = await api.post("/v1/keys", json={"key": "second-key", "scopes": ["approve"]})
    async with client_of(app, made.json()["secret"]) as same_person:
        assert (await same_person.post(approval, json={"approved": True})).status_code == 403
    async with client_of(app, OTHER) as neighbour:
        assert (await neighbour.post(approval, json={"approved": True})).status_code == 404
    assert (await api.post(url, json=body, headers=key)).status_code == 409
    async with client_of(app, None) as other:
        await set_up(other, await add_user(api, "second", "operator"))
        await sign_in(other, "second")
        shown = (await other.get("/v1/approvals")).json()["items"][0]
        assert '{"amount_mu":7}' in shown["request"]
        said = await other.post(approval, json={"approved": True}, headers=ORIGIN)
        assert (said.json()["approved"], said.json()["decided_by"]) == (True, "second")
        again = await other.post(approval, json={"approved": False}, headers=ORIGIN)
        assert again.json()["code"] == "decided"
    assert (await api.post(url, json={"amount_mu": 8}, headers=key)).status_code == 409
    done = await api.post(url, json=body, headers=key)
    assert done.status_code == 201, done.text
    assert (await api.post(url, json=body, headers=key)).status_code == 200, "once, and a repeat"
    assert (await api.get("/v1/accounts/A-1")).json()["balance_mu"] == before + 7


def heads(site):
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        return {head.tenant_id: head for head in db.run(admin, audit.heads())}


def verdict(site, tenant=OURS):
    with db.connect(site.urls["owner"], name="test", autocommit=True) as owner:
        return db.run(owner, audit.verify(heads(site)[tenant]))


async def test_every_change_and_every_refusal_is_in_the_log_once(app, api, site):
    before = heads(site)[OURS].seq
    await api.get("/v1/meters")
    assert heads(site)[OURS].seq == before, "reading changes nothing"
    headers = {"Idempotency-Key": "audited"}
    await api.post("/v1/accounts/A-1/topups", json={"amount_mu": 1}, headers=headers)
    await api.post("/v1/accounts/A-1/topups", json={"amount_mu": -1}, headers=headers)
    made = await api.post("/v1/keys", json={"key": "audited", "scopes": ["fleet:read"]})
    async with client_of(app, made.json()["secret"]) as reader:
        await reader.post("/v1/gateways", json={"gateway": "never"})
    items = (await api.get("/v1/audit?page_size=3")).json()["items"]
    assert [(i["who"], i["action"], i["target"]) for i in reversed(items)] == [
        ("operator", "top_up", "/v1/accounts/A-1/topups"),
        ("operator", "add_key", "/v1/keys"),
        ("audited", "refused register_gateway", "/v1/gateways"),
    ]
    assert heads(site)[OURS].seq == before + 3
    assert verdict(site).fault == ""


async def test_a_line_says_what_it_is_about_and_no_secret(app, api):
    """Object and amount of a write, what waits for a second person, and a switch not allowed."""
    pay = {"Idempotency-Key": "told-1"}
    await api.post("/v1/accounts/A-1/topups", json={"amount_mu": 77}, headers=pay)
    body = {"account": "A-1", "amount_mu": 5, "reason": "private words"}
    asked = await api.post("/v1/adjustments", json=body, headers={"Idempotency-Key": "told-2"})
    assert asked.json()["type"] == "/problems/approval-needed"
    await api.post("/v1/adjustments", json=body, headers={"Idempotency-Key": "told-2"})
    key = "000102030405060708090a0b0c0d0e0f"
    await api.post("/v1/meters", json={"meter": "TOLD", "profile": "nl_dsmr", "key_hex": key})
    made = await api.post("/v1/keys", json={"key": "told", "scopes": ["command:send"]})
    async with client_of(app, made.json()["secret"]) as weak:
        cut = {"meter": "TOLD", "kind": "relay_off"}
        answer = await weak.post("/v1/commands", json=cut, headers={"Idempotency-Key": "told-3"})
    assert answer.status_code == 403
    items = reversed((await api.get("/v1/audit?page_size=5")).json()["items"])
    lines = [(i["action"], i["detail"]) for i in items]
    assert lines == [
        ("top_up", "told-1; amount_mu 77"),
        ("ask adjust", "told-2; account A-1, amount_mu 5"),
        ("register_meter", "meter TOLD, profile nl_dsmr"),
        ("add_key", "scopes command:send"),
        ("refused send_command", "told-3; meter TOLD, kind relay_off"),
    ]


async def test_wrong_passwords_are_in_the_log(app, api):
    async with client_of(app, None) as browser:
        await set_up(browser, await add_user(api, "mistyped"))
        assert (await sign_in(browser, "mistyped", "wrong wrong wrong")).status_code == 401
        assert (await sign_in(browser, "nobody-at-all", "wrong wrong")).status_code == 401
    (last, *_) = (await api.get("/v1/audit?page_size=1")).json()["items"]
    assert (last["who"], last["action"]) == ("mistyped", "refused sign_in")


async def test_parallel_writers_make_one_chain(app, site):
    before = heads(site)[OURS].seq
    async with client_of(app) as client:
        writes = [
            client.post("/v1/keys", json={"key": f"parallel-{n}", "scopes": ["fleet:read"]})
            for n in range(40)
        ]
        codes = [answer.status_code for answer in await asyncio.gather(*writes)]
    assert codes == [201] * 40
    assert heads(site)[OURS].seq == before + 40
    assert verdict(site).fault == ""


@pytest.mark.parametrize(
    "statement",
    [
        "insert into ohmesh.audit_log values (1, 999999, now(), 'x', 'x', 'x', 'x', 'x', 'x')",
        "update ohmesh.audit_log set who = 'x'",
        "delete from ohmesh.audit_log",
        "update ohmesh.audit_head set seq = 0",
        "truncate ohmesh.audit_log",
        "select password_hash from ohmesh.app_user",
        "update ohmesh.api_key set scopes = '{admin}'",
        "update ohmesh.approval set requested_by = 'x'",
    ],
)
async def test_the_api_s_role_itself_cannot_rewrite_history_or_rights(site, statement):
    with db.connect(site.urls["api"], name="test") as connection:
        connection.execute("select set_config('ohmesh.tenant', '1', true)")
        with pytest.raises(Exception, match="permission denied"):
            connection.execute(statement)


async def test_a_superuser_s_hand_is_seen(api, site):
    await api.post("/v1/keys", json={"key": "touched", "scopes": ["fleet:read"]})
    assert verdict(site).fault == ""
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        last = heads(site)[OURS].seq
        admin.execute("update ohmesh.audit_log set who = 'eve' where seq = %s", (last,))
        assert verdict(site).fault == f"entry {last} was changed"
        admin.execute("update ohmesh.audit_log set who = 'operator' where seq = %s", (last,))
    assert verdict(site).fault == ""


async def test_who_overloads_waits_and_the_others_do_not(site):
    async with (
        running(site, requests_per_s=0.001) as app,
        client_of(app) as loud,
        client_of(app, OTHER) as quiet,
    ):
        answers = [await loud.get("/v1/me") for _ in range(5)]
        assert [a.status_code for a in answers] == [200, 429, 429, 429, 429]
        assert answers[1].json()["type"] == "/problems/too-many-requests"
        assert int(answers[1].headers["retry-after"]) >= 1
        assert (await quiet.get("/v1/me")).status_code == 200


def test_the_first_link_is_there_until_somebody_can_sign_in(site):
    with db.connect(site.urls["api"], name="test") as connection:
        connection.execute("select set_config('ohmesh.tenant', '1', true)")
        link = db.run(connection, people.first_link(OURS, datetime.now(UTC)))
        again = db.run(connection, people.first_link(OURS, datetime.now(UTC)))
        if link is not None:  # no other test has set up a user yet
            assert db.run(connection, people.use_link(link, "x")) is None
            assert db.run(connection, people.use_link(again, "$argon2id$x")) == people.FIRST_USER
        assert db.run(connection, people.first_link(OURS, datetime.now(UTC))) is None
        connection.rollback()


def test_the_configured_token_is_a_key_that_can_be_changed_and_revoked(site):
    def names(connection):
        rows = connection.execute("select key_id from ohmesh.key_of(sha256(%s::bytea))", (b"t2",))
        return len(rows.fetchall())

    with db.connect(site.urls["api"], name="test") as connection:
        connection.execute("select set_config('ohmesh.tenant', '1', true)")
        for token in ("t1", "t1", "t2"):
            db.run(connection, people.keep_first_key(OURS, token))
        assert names(connection) == 1
        db.run(connection, people.revoke_key(OURS, people.FIRST_KEY))
        db.run(connection, people.keep_first_key(OURS, "t2"))
        assert names(connection) == 0, "what was revoked stays revoked"
        connection.rollback()
