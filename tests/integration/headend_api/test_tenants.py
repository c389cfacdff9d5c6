"""No way to another utility's data: every operation and id, and every table and view."""

from __future__ import annotations

import re
from datetime import date

import pytest
from api_site import OTHER, OURS, THEIRS, client_of

from headend.api import openapi
from headend.api.permissions import TWO_PEOPLE
from headend.api.problems import APPROVAL_NEEDED
from headend.store import db

SHARED = {"ohmesh.channel"}
"""A dictionary without anybody's data."""
UUID_ABSENT = "00000000-0000-4000-8000-000000000000"
UUIDS = {"rerate", "command", "approval", "payment", "token", "webhook"}
EVERYBODYS = {"/v1/policies/{pack}/may-disconnect"}
"""Rule packs come with the program."""
OWN = {("put", "/v1/groups/{group}"), ("put", "/v1/payment-channels/{channel}")}
"""Makes the caller's own thing of that name."""
VALUES = {
    "pan": "600727012345678977",
    "supply_group": "123457",
    "digits": "1" * 20,
    "secret_hex": "0" * 32,
    "device": "ffffff0000000001",
    "certificate_request_pem": "x",
    "currency": "EUR",
}
"""What a field of this name takes where its type does not say enough."""
SIGNED = {"webhook-id": "matrix", "webhook-timestamp": "0", "webhook-signature": "v1,"}
"""What operations ask for whose caller signs."""
MARKS = ("SP-M00", "Europe/Amsterdam", "maker of operator", '"operator"')


@pytest.fixture
async def ids(api, site):
    """Ids of ours by the name of the parameter; each exists."""
    await api.post("/v1/users", json={"user": "ours-only", "role": "viewer"})
    await api.post("/v1/keys", json={"key": "ours-only", "scopes": ["fleet:read"]})
    command = await api.post(
        "/v1/commands",
        json={"meter": "M0002", "kind": "relay_read"},
        headers={"Idempotency-Key": "of-ours"},
    )
    await api.put("/v1/groups/ours-only", json={"meters": ["M0001"]})
    await api.post("/v1/service-points", json={"service_point": "ours-only"})
    return {
        **await prepaid_ids(api),
        "alarm": alarm_of_ours(site),
        "group": "ours-only",
        "service_point": "ours-only",
        "meter": "M0001",
        "account": "A-1",
        "gateway": "gw1",
        "tariff": "flat",
        "user": "ours-only",
        "key": "ours-only",
        "command": command.json()["id"],
        "approval": UUID_ABSENT,
    }


async def prepaid_ids(api):
    """A contract of its own with a payment, a token and a webhook."""

    async def post(path, body, key):
        answer = await api.post(path, json=body, headers={"Idempotency-Key": key})
        assert answer.status_code in {200, 201, 202}, (path, answer.text)
        return answer.json()

    meter = {"meter": "prepaid-only", "profile": "nl_dsmr", "key_hex": "00" * 16}
    await post("/v1/meters", meter, "meter")
    contract = {"account": "prepaid-only", "meter": "prepaid-only", "currency": "EUR"}
    await post("/v1/accounts", contract | {"price_mu_per_kwh": 1}, "contract")
    path = "/v1/contracts/prepaid-only/topups"
    payment = await post(path, {"amount_minor": 100}, "payment-of-ours")
    identity = {"pan": VALUES["pan"], "supply_group": VALUES["supply_group"]}
    assert (await api.put("/v1/meters/prepaid-only/token-identity", json=identity)).is_success
    wanted = {"kind": "electricity", "units": 1, "amount_mu": 1}
    token = await post("/v1/meters/prepaid-only/tokens", wanted, "token-of-ours")
    anew = {"from_day": date.today().isoformat(), "reason": "ours"}  # noqa: DTZ011 - any day
    rerate = await post("/v1/contracts/prepaid-only/rerate", anew, "rerate-of-ours")
    hook = await api.post(
        "/v1/webhooks", json={"url": "https://hooks.example.com/o", "kinds": ["topup.booked"]}
    )
    assert (await api.put("/v1/payment-channels/ours-only")).is_success
    return {
        "channel": "ours-only",
        "contract": "prepaid-only",
        "payment": payment["id"],
        "token": token["id"],
        "rerate": rerate["id"],
        "webhook": hook.json()["id"],
    }


def alarm_of_ours(site):
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        return str(
            admin.execute(
                "insert into ohmesh.alarm (id, tenant_id, element_kind, element, state, first_at,"
                " last_at, opened_at, behind) overriding system value"
                " values (777777, 1, 'feeder', 'F-ours', 'closed', now(), now(), now(), 1)"
                " on conflict (id) do update set behind = 1 returning id"
            ).fetchone()["id"]
        )


def sample(schema, components, ids, name=""):
    """Some value that a schema takes; names of ours where a field is named like them."""
    if name in ids:
        return ids[name]
    if name in VALUES:
        return VALUES[name]
    if "$ref" in schema:
        return sample(components[schema["$ref"].rpartition("/")[2]], components, ids)
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], components, ids, name)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            wanted = schema.get("required", ())
            fields = schema.get("properties", {})
            return {
                f: sample(fields[f], components, ids, f) for f in fields if f in ids or f in wanted
            }
        case "array":
            return [sample(schema["items"], components, ids, name.rstrip("s"))]
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
    texts = {"date-time": "2026-03-01T00:00:00Z", "date": date.today().isoformat()}  # noqa: DTZ011 - any day
    return texts.get(schema.get("format"), "theirs")


@pytest.fixture
def asked(monkeypatch):
    """The statements that the store was asked, in their order."""
    texts = []
    read, run, together = db.read, db.run_async, db.run_together

    def recorded(plan):
        try:
            statement = next(plan)
            while True:
                texts.append(statement.sql)
                statement = plan.send((yield statement))
        except StopIteration as stop:
            return stop.value

    async def read_recorded(pool, tenant_id, statement):
        texts.append(statement.sql)
        return await read(pool, tenant_id, statement)

    async def run_recorded(connection, plan):
        return await run(connection, recorded(plan))

    async def together_recorded(pool, tenant_id, plans, **more):
        return await together(pool, tenant_id, [recorded(plan) for plan in plans], **more)

    monkeypatch.setattr(db, "read", read_recorded)
    monkeypatch.setattr(db, "run_async", run_recorded)
    monkeypatch.setattr(db, "run_together", together_recorded)
    return texts


async def test_every_operation_on_our_ids_answers_as_for_ids_that_are_absent(app, ids, asked):
    """Generated: an operation with a new kind of id is red until it is given one of ours here.

    The same answer after the same questions: neither words nor work tell the two apart.
    """
    document = openapi.document(app)
    components = document["components"]["schemas"]
    absent = dict.fromkeys(ids, "absent-1") | dict.fromkeys(UUIDS, UUID_ABSENT)
    absent |= {"alarm": "999999999"}
    tried = looked_up = 0
    async with client_of(app, OTHER) as neighbour:
        for path, methods in document["paths"].items():
            names = re.findall(r"{(\w+)}", path)
            for method, one in methods.items():
                if not names or path in EVERYBODYS or (method, path) in OWN:
                    continue
                assert set(names) <= set(ids), f"name one of ours for {path}"
                body = None
                if "requestBody" in one:
                    schema = one["requestBody"]["content"]["application/json"]["schema"]
                    body = sample(schema, components, {})
                answers, questions = [], []
                for which, key in ((ids, "matrix"), (absent, "matrix-absent")):
                    asked.clear()
                    headers = {"Idempotency-Key": key} | SIGNED
                    answers.append(
                        await neighbour.request(
                            method, fill(path, which), json=body, headers=headers
                        )
                    )
                    # Whether the caller was asked for again depends on the time alone.
                    questions.append([text for text in asked if "ohmesh.key_of" not in text])
                theirs, nobodys = answers
                assert theirs.status_code == nobodys.status_code, (method, path)
                assert questions[0] == questions[1], (method, path)
                looked_up += len(questions[0]) > 0
                tried += 1
                if one["operationId"] in TWO_PEOPLE:  # asked before anything is looked up
                    assert theirs.json()["type"] == nobodys.json()["type"] == APPROVAL_NEEDED.type
                    continue
                assert theirs.status_code in {403, 404}, (method, path, theirs.text)
                same = theirs.text
                for name in names:
                    same = same.replace(ids[name], absent[name])
                assert same == nobodys.text, (method, path)
    assert tried >= 50
    assert looked_up >= 40


def fill(path, values):
    for name in re.findall(r"{(\w+)}", path):
        path = path.replace("{" + name + "}", values[name])
    return path


async def test_no_body_reaches_our_things(app, api, ids):
    """Writes that name things in their body, by the neighbour, with ours."""
    document = openapi.document(app)
    components = document["components"]["schemas"]
    named = {name: value for name, value in ids.items() if name not in {*UUIDS, "service_point"}}
    before = [
        (await api.get(f"/v1/{n}?page_size=1000")).json()["items"] for n in ("meters", "accounts")
    ]
    async with client_of(app, OTHER) as neighbour:
        for path, methods in document["paths"].items():
            one = methods.get("post", {})
            if "{" in path or "application/json" not in one.get("requestBody", {}).get(
                "content", {}
            ):
                continue
            schema = one["requestBody"]["content"]["application/json"]["schema"]
            body = sample(schema, components, named)
            answer = await neighbour.post(path, json=body, headers={"Idempotency-Key": f"b{path}"})
            assert answer.status_code < 500, (path, answer.text)
            for mark in MARKS:
                assert mark not in answer.text, (path, answer.text)
    after = [
        (await api.get(f"/v1/{n}?page_size=1000")).json()["items"] for n in ("meters", "accounts")
    ]
    assert after == before


async def test_no_list_and_no_page_holds_anything_of_ours(app):
    """Every GET without an id."""
    document = openapi.document(app)
    paths = [p for p, m in document["paths"].items() if "get" in m and "{" not in p]
    async with client_of(app, OTHER) as neighbour:
        for path in [*paths, "/", "/mesh", "/accounts", "/quarantine"]:
            if path == "/v1/stream":
                continue
            text = (await neighbour.get(path)).text
            for mark in ("maker of operator", '"M0001"', ">M0001<", '"A-1"', ">A-1<"):
                assert mark not in text, (path, mark)


def relations(site):
    """What the API's role may read: name, whether it has a tenant column, policies, kind."""
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        return admin.execute(
            """select n.nspname || '.' || c.relname as name, c.relkind as kind,
                      c.relrowsecurity and c.relforcerowsecurity as guarded,
                      coalesce(c.reloptions, '{}') @> '{security_barrier=true}' as barrier,
                      exists (select from pg_attribute a where a.attrelid = c.oid
                              and a.attname = 'tenant_id') as tenant
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname not in ('pg_catalog', 'information_schema', 'ohmesh_meta')
                 and n.nspname not like 'pg_%%' and c.relkind in ('r', 'p', 'v', 'm')
                 and has_any_column_privilege('ohmesh_api', c.oid, 'select')"""
        ).fetchall()


def test_every_table_has_policies_and_every_view_a_barrier(site):
    """A new one without is red."""
    found = [one for one in relations(site) if one["name"] not in SHARED]
    assert len(found) > 25
    assert [one["name"] for one in found if one["kind"] in {"r", "p"} and not one["guarded"]] == []
    assert [one["name"] for one in found if one["kind"] == "v" and not one["barrier"]] == []
    assert [one["name"] for one in found if one["kind"] == "m"] == []


def test_no_row_of_another_tenant_and_none_without_one(site):
    """Counted as a superuser sees them, against what the API's role sees."""
    checked = 0
    with (
        db.connect(site.urls["api"], name="test") as role,
        db.connect(site.admin_url, name="test", autocommit=True) as admin,
    ):
        for one in relations(site):
            name = one["name"]
            if name in SHARED or not one["tenant"]:
                continue
            role.execute("select set_config('ohmesh.tenant', '', true)")
            assert role.execute(f"select count(*) as n from {name}").fetchone()["n"] == 0, name
            for tenant in (OURS, THEIRS):
                role.execute("select set_config('ohmesh.tenant', %s, true)", (str(tenant),))
                rows = role.execute(f"select distinct tenant_id from {name}").fetchall()
                assert {row["tenant_id"] for row in rows} <= {tenant}, name
                seen = role.execute(f"select count(*) as n from {name}").fetchone()["n"]
                if one["kind"] in {"r", "p"}:
                    there = admin.execute(
                        f"select count(*) as n from {name} where tenant_id = %s", (tenant,)
                    ).fetchone()["n"]
                    assert seen == there, name
                checked += 1
        for one in relations(site):
            if one["tenant"] or one["name"] in SHARED:
                continue
            role.execute("select set_config('ohmesh.tenant', '', true)")
            count = role.execute(f"select count(*) as n from {one['name']}").fetchone()["n"]
            assert count == 0, one["name"]
    assert checked >= 40
