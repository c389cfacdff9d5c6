"""Writes: once each, exact, and refused when they are not understood."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from api_site import READER, client_of, running

from headend.store import db

KEY = "00112233445566778899aabbccddeeff"


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


async def new_meter(api, **more) -> str:
    name = f"W{uuid.uuid4().hex[:12]}"
    body = {"meter": name, "profile": "nl_dsmr", "key_hex": KEY, **more}
    answer = await api.post("/v1/meters", json=body)
    assert answer.status_code == 201, answer.text
    return name


async def new_account(api) -> str:
    meter = await new_meter(api)
    name = f"A{meter}"
    body = {
        "account": name,
        "meter": meter,
        "currency": "EUR",
        "price_mu_per_kwh": 28_500,
    }
    answer = await api.post("/v1/accounts", json=body)
    assert answer.status_code == 201, answer.text
    return name


async def test_a_meter_is_registered_once(api):
    body = {
        "meter": "R1",
        "profile": "nl_dsmr",
        "node": 4711,
        "key_hex": KEY,
        "x_m": 1.5,
        "y_m": -2,
        "zone": "Europe/Oslo",
    }
    first = await api.post("/v1/meters", json=body)
    again = await api.post("/v1/meters", json=body)
    other = await api.post("/v1/meters", json={**body, "interval_s": 60})
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.content == again.content == (await api.get("/v1/meters/R1")).content
    assert first.json()["address"] == "mesh-00001267"
    assert (first.json()["x_m"], first.json()["zone"]) == (1.5, "Europe/Oslo")


async def test_a_key_is_never_shown_and_kept_sealed(site, api):
    name = await new_meter(api)
    answer = await api.get(f"/v1/meters/{name}")
    assert KEY not in answer.text
    assert answer.json()["sealed"] is True
    with db.connect(site.admin_url, name="test") as connection:
        row = connection.execute(
            "select key_sealed from ohmesh.meter where name = %s", (name,)
        ).fetchone()
    assert bytes.fromhex(KEY) not in row["key_sealed"]
    assert site.keystore.open(name, row["key_sealed"]) == bytes.fromhex(KEY)


async def test_market_keys_are_kept_sealed_apart(site, api):
    unicast, authentication = "11" * 16, "22" * 16
    more = {"unicast_key_hex": unicast, "authentication_key_hex": authentication}
    name = await new_meter(api, profile="lu_smarty", **more)
    answer = await api.get(f"/v1/meters/{name}")
    assert unicast not in answer.text
    with db.connect(site.admin_url, name="test") as connection:
        row = connection.execute(
            "select market_keys_sealed from ohmesh.meter where name = %s", (name,)
        ).fetchone()
    keys = site.keystore.open_market(name, row["market_keys_sealed"])
    assert (keys.unicast.hex(), keys.authentication.hex()) == (unicast, authentication)


@pytest.mark.parametrize(
    "change",
    [
        {"meter": "a b"},
        {"meter": "x" * 65},
        {"meter": "\ud800"},
        {"meter": "a\x00"},
        {"meter": 7},
        {"profile": "no_such"},
        {"interval_s": 59},
        {"interval_s": 900.0},
        {"interval_s": True},
        {"node": -1},
        {"node": 2**32},
        {"key_hex": "00"},
        {"key_hex": KEY + "\n"},
        {"unicast_key_hex": "00"},
        {"authentication_key_hex": KEY},
        {"x_m": 1e300},
        {"zone": "no zone"},
        {"surprise": 1},
        {"node": 1, "address": "also"},
    ],
)
async def test_a_wrong_meter_is_refused(api, change):
    body = {"meter": "Wrong", "profile": "nl_dsmr", **change}
    answer = await api.post(
        "/v1/meters",
        content=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert (await api.get("/v1/meters/Wrong")).status_code == 404


async def test_a_topup_is_booked_once(api):
    account = await new_account(api)
    mine = key()
    path = f"/v1/accounts/{account}/topups"
    first = await api.post(path, json={"amount_mu": 123_456}, headers=mine)
    again = await api.post(path, json={"amount_mu": 123_456}, headers=mine)
    other = await api.post(path, json={"amount_mu": 123_457}, headers=mine)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.content == again.content
    assert first.json()["balance_mu"] == 123_456
    assert (await api.get(f"/v1/accounts/{account}")).json()["balance_mu"] == 123_456
    lines = (await api.get(f"/v1/accounts/{account}/transfers")).json()["items"]
    assert [(t["code"], t["amount_mu"]) for t in lines] == [("topup", 123_456)]


async def test_twenty_at_once_with_one_key_book_once(api):
    account = await new_account(api)
    mine = key()
    answers = await asyncio.gather(
        *(
            api.post(f"/v1/accounts/{account}/topups", json={"amount_mu": 100}, headers=mine)
            for _ in range(20)
        )
    )
    assert sorted({a.status_code for a in answers}) == [200, 201]
    assert len({a.content for a in answers}) == 1
    assert [a.status_code for a in answers].count(201) == 1
    assert (await api.get(f"/v1/accounts/{account}")).json()["balance_mu"] == 100


async def test_twenty_at_once_with_twenty_keys_add_up(api):
    account = await new_account(api)
    answers = await asyncio.gather(
        *(
            api.post(f"/v1/accounts/{account}/topups", json={"amount_mu": n}, headers=key())
            for n in range(1, 21)
        )
    )
    assert {a.status_code for a in answers} == {201}
    assert (await api.get(f"/v1/accounts/{account}")).json()["balance_mu"] == 210


async def test_minor_units_are_exact(api):
    account = await new_account(api)
    path = f"/v1/accounts/{account}/topups"
    answer = await api.post(path, json={"amount_minor": 1999}, headers=key())
    assert answer.json()["amount_mu"] == 1_999_000


@pytest.mark.parametrize(
    "body",
    [
        '{"amount_mu": 1.0}',
        '{"amount_mu": 1.5}',
        '{"amount_mu": 1e3}',
        '{"amount_mu": "5"}',
        '{"amount_mu": true}',
        '{"amount_mu": 0}',
        '{"amount_mu": -5}',
        '{"amount_mu": NaN}',
        '{"amount_mu": Infinity}',
        '{"amount_mu": 9007199254740993}',
        '{"amount_minor": 9007199254740992}',
        '{"amount_mu": null}',
        '{"amount_mu": 1, "amount_minor": 1}',
        '{"amount_mu": 1, "currency": "USD"}',
        '{"amount_mu": [1]}',
        "[]",
        "7",
        "null",
        '{"amount_mu": ' + "9" * 400 + "}",
    ],
)
async def test_a_wrong_amount_is_refused(api, body):
    answer = await api.post(
        "/v1/accounts/A-1/topups",
        content=body,
        headers={**key(), "Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "/problems/invalid"


@pytest.mark.parametrize(
    ("value", "status"),
    [(None, 422), ("", 422), ("a b", 422), ("x" * 201, 422), ("\x7f", 422), ("~ok~", 201)],
)
async def test_a_topup_needs_a_key(api, value, status):
    account = await new_account(api)
    headers = {} if value is None else {"Idempotency-Key": value}
    path = f"/v1/accounts/{account}/topups"
    answer = await api.post(path, json={"amount_mu": 1}, headers=headers)
    assert answer.status_code == status


async def test_a_command_is_queued_once_and_cancelled_once(api):
    meter = await new_meter(api)
    mine = key()
    body = {"meter": meter, "kind": "read_now"}
    first = await api.post("/v1/commands", json=body, headers=mine)
    again = await api.post("/v1/commands", json=body, headers=mine)
    other = await api.post("/v1/commands", json={**body, "kind": "relay_off"}, headers=mine)
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 409)
    assert first.content == again.content
    path = f"/v1/commands/{first.json()['id']}"
    found = (await api.get(path)).json()
    assert (found["state"], found["kind"], found["requested_by"]) == (
        "queued",
        "read_now",
        "operator",
    )
    assert (await api.post(f"{path}/cancel")).json()["state"] == "cancelled"
    refused = await api.post(f"{path}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_transition")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "explode"},
        {"kind": 1},
        {"valid_s": 0},
        {"valid_s": 10, "not_after": "2999-01-01T00:00:00Z"},
        {"not_after": "2020-01-01T00:00:00Z"},
        {"not_after": "tomorrow"},
        {"argument": 2**60},
    ],
)
async def test_a_wrong_command_is_refused(api, change):
    meter = await new_meter(api)
    body = {"meter": meter, "kind": "relay_read", **change}
    answer = await api.post("/v1/commands", json=body, headers=key())
    assert answer.status_code == 422, answer.text
    assert (await api.get(f"/v1/commands?meter={meter}")).json()["items"] == []


async def test_a_meter_without_a_key_takes_no_command(api):
    await api.post("/v1/meters", json={"meter": "Plain", "profile": "nl_dsmr"})
    body = {"meter": "Plain", "kind": "relay_off"}
    answer = await api.post("/v1/commands", json=body, headers=key())
    assert (answer.status_code, answer.json()["code"]) == (422, "no_key")


async def test_an_account_is_opened_once(api):
    meter = await new_meter(api)
    body = {"account": f"O{meter}", "meter": meter, "tariff": "flat"}
    first = await api.post("/v1/accounts", json=body)
    again = await api.post("/v1/accounts", json=body)
    other = await api.post("/v1/accounts", json={**body, "meter": await new_meter(api)})
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.content == again.content


async def test_an_account_needs_a_tariff_that_exists(api):
    meter = await new_meter(api)
    body = {"account": "NoTariff", "meter": meter}
    assert (await api.post("/v1/accounts", json=body)).status_code == 422
    unknown = await api.post("/v1/accounts", json={**body, "tariff": "nope"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_tariff")
    assert (await api.get("/v1/accounts/NoTariff")).status_code == 404


async def test_what_is_refused_changes_nothing(api):
    """An account with a tariff of its own on a meter that is not there leaves no tariff."""
    body = {
        "account": "Ghost",
        "meter": "NotThere",
        "currency": "EUR",
        "price_mu_per_kwh": 1,
    }
    assert (await api.post("/v1/accounts", json=body)).status_code == 404
    tariffs = (await api.get("/v1/tariffs?page_size=1000")).json()["items"]
    assert "Ghost" not in {t["tariff"] for t in tariffs}


async def test_the_page_sells_once_for_a_double_click(site, api):
    account = await new_account(api)
    async with running(site) as app, client_of(app, None) as browser:
        origin = {"Origin": "http://127.0.0.1"}
        await browser.post(
            "/login", data={"token": "operator-token-0123456789-0123456789"}, headers=origin
        )
        form = {"amount": "12,50", "key": "one-form"}
        for _ in range(2):
            answer = await browser.post(f"/accounts/{account}", data=form, headers=origin)
            assert answer.status_code == 303
        wrong = await browser.post(
            f"/accounts/{account}", data={"amount": "12.505", "key": "two"}, headers=origin
        )
        assert wrong.status_code == 422
        assert "is not an amount of EUR" in wrong.text
    assert (await api.get(f"/v1/accounts/{account}")).json()["balance_mu"] == 1_250_000


async def test_a_reader_cannot_sell(app):
    async with client_of(app, READER) as client:
        answer = await client.post("/v1/accounts/A-1/topups", json={"amount_mu": 5}, headers=key())
        assert answer.status_code == 403
