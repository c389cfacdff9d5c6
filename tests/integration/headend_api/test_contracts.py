"""Contracts over HTTP: money once and exact, suspense, tokens, tariffs, two people."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from api_site import EVERYTHING, OURS, client_of
from seeding import PREPAID

from headend.prepayment.tokens.paygo import PaygoDevice, PaygoKey, PaygoType, enter
from headend.prepayment.tokens.utrn import TopUpToken
from headend.store import db
from ohmesh.tokens.pan import luhn_digit

SECOND = "second-person-0123456789-0123456789"


@pytest.fixture
async def approver(site, app):
    """A client of a second person."""
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        admin.execute(
            "insert into ohmesh.api_key (tenant_id, name, digest, scopes, person)"
            " values (%s, 'second', %s, %s, 'second') on conflict do nothing",
            (OURS, hashlib.sha256(SECOND.encode()).digest(), EVERYTHING),
        )
    async with client_of(app, SECOND) as client:
        yield client


def key(name: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": name or str(uuid.uuid4())}


async def new_contract(api, **terms) -> str:
    name = f"C-{uuid.uuid4().hex[:10]}"
    meter = {"meter": name, "profile": "nl_dsmr", "key_hex": "00" * 16}
    assert (await api.post("/v1/meters", json=meter)).status_code == 201
    body = {"account": name, "meter": name, "tariff": "flat", "terms": terms}
    made = await api.post("/v1/accounts", json=body)
    assert made.status_code == 201, made.text
    return name


async def test_a_payment_is_booked_once_and_answered_alike(api):
    contract = await new_contract(api)
    path, headers = f"/v1/contracts/{contract}/topups", key()
    first = await api.post(path, json={"amount_minor": 1234}, headers=headers)
    again = await api.post(path, json={"amount_minor": 1234}, headers=headers)
    other = await api.post(path, json={"amount_minor": 1235}, headers=headers)
    assert [a.status_code for a in (first, again, other)] == [201, 200, 409]
    assert first.json() == again.json()
    assert first.json()["balance_mu"] == 1_234_000
    balance = (await api.get(f"/v1/contracts/{contract}/balance")).json()
    assert (balance["posted"], balance["pending"], balance["floor"]) == (1_234_000, 0, 0)


@pytest.mark.parametrize(
    "body",
    [
        {"amount_mu": 1.0},
        {"amount_mu": 1e3},
        {"amount_mu": "100"},
        {"amount_mu": 0},
        {"amount_mu": -1},
        {"amount_mu": 2**53 + 1},
        {"amount_minor": 2**53},
        {"amount_mu": 1, "amount_minor": 1},
        {"amount_mu": 1, "currency": "USD"},
        {"amount_mu": 1, "currency": "eur"},
        {"amount_mu": True},
        {},
    ],
)
async def test_money_is_an_integer_of_the_contracts_currency(api, body):
    contract = await new_contract(api)
    answer = await api.post(f"/v1/contracts/{contract}/topups", json=body, headers=key())
    assert answer.status_code == 422
    assert answer.json()["type"] in {"/problems/invalid", "/problems/refused"}
    assert (await api.get(f"/v1/contracts/{contract}/balance")).json()["posted"] == 0


async def test_what_cannot_be_booked_is_kept(api):
    contract = await new_contract(api, topup_max_mu=1000)
    headers = key()
    over = await api.post(
        f"/v1/contracts/{contract}/topups", json={"amount_mu": 1001}, headers=headers
    )
    assert (over.status_code, over.json()["state"]) == (202, "suspense")
    assert over.json()["reason"] == "amount_over_maximum"
    again = await api.post(
        f"/v1/contracts/{contract}/topups", json={"amount_mu": 1001}, headers=headers
    )
    assert again.json() == over.json()
    unknown = await api.post(
        "/v1/contracts/nobody/topups", json={"amount_mu": 5, "currency": "EUR"}, headers=key()
    )
    assert (unknown.status_code, unknown.json()["reason"]) == (202, "unknown_contract")
    assert (await api.get(f"/v1/contracts/{contract}/balance")).json()["posted"] == 0


async def approved(api, approver, path, body):
    """A request that a second person lets through."""
    headers = key()
    asked = await api.post(path, json=body, headers=headers)
    assert asked.json()["type"] == "/problems/approval-needed", asked.text
    decision = await approver.post(f"/v1/approvals/{asked.json()['code']}", json={"approved": True})
    assert decision.status_code == 200, decision.text
    return await api.post(path, json=body, headers=headers)


async def test_money_that_came_for_nobody_is_booked_on_by_two_people(api, approver):
    contract = await new_contract(api)
    wish, headers = {"amount_mu": 70, "currency": "EUR"}, key()
    kept = await api.post("/v1/contracts/nobodys/topups", json=wish, headers=headers)
    waiting = (await api.get("/v1/payments/waiting?page_size=1000")).json()["items"]
    mine = next(p for p in waiting if p["id"] == kept.json()["id"])
    assert (mine["account"], mine["state"], mine["amount_mu"]) == ("nobodys", "suspense", 70)
    path = f"/v1/payments/{mine['id']}/booking"
    body = {"contract": contract, "reason": "the bank said so"}
    booked = await approved(api, approver, path, body)
    assert (booked.status_code, booked.json()["state"]) == (200, "booked"), booked.text
    assert booked.json()["balance_mu"] == 70
    again = await approved(api, approver, path, body)
    assert again.json() == booked.json()
    other = await approved(api, approver, path, body | {"contract": await new_contract(api)})
    assert (other.status_code, other.json()["code"]) == (422, "payment_state")
    assert (await api.get(f"/v1/contracts/{contract}/balance")).json()["posted"] == 70
    still = (await api.get("/v1/payments/waiting?page_size=1000")).json()["items"]
    assert mine["id"] not in {p["id"] for p in still}
    back = f"/v1/contracts/{contract}/topups/{mine['id']}/reversal"
    assert (await api.post(back, json={"reason": "bounced"})).json()["state"] == "reversed"
    assert (await api.get(f"/v1/contracts/{contract}/balance")).json()["posted"] == 0


async def test_a_contract_comes_over_with_its_credit_its_debt_and_days_of_grace(api, approver):
    contract = await new_contract(api, payment_debt={"share_bp": 5000, "cap_mu": 100})
    path, body = f"/v1/contracts/{contract}/migration", {"balance_mu": 1195, "debt_payment_mu": 300}
    made = await approved(api, approver, path, body)
    assert (made.status_code, made.json()["balance_mu"]) == (201, 1195), made.text
    none = await approved(api, approver, path, {})
    assert (none.status_code, none.json()["code"]) == (422, "amount")
    topped = await api.post(
        f"/v1/contracts/{contract}/topups", json={"amount_mu": 300}, headers=key()
    )
    assert topped.json()["balance_mu"] == 1195 + 200, "the old debt takes its share up to the cap"
    debt = await approved(api, approver, path, {"balance_mu": -5000})
    assert debt.json()["balance_mu"] == 1395 - 5000
    supply = (await api.get(f"/v1/contracts/{contract}/supply")).json()
    assert (supply["desired"], supply["state"]) == ("connected", "PROTECTED")


async def test_a_reversal_takes_back_what_the_payment_gave_once(api):
    contract = await new_contract(api)
    paid = await api.post(
        f"/v1/contracts/{contract}/topups", json={"amount_mu": 700}, headers=key()
    )
    path = f"/v1/contracts/{contract}/topups/{paid.json()['id']}/reversal"
    for _ in range(2):
        back = await api.post(path, json={"reason": "bounced"})
        assert (back.status_code, back.json()["state"]) == (200, "reversed")
    assert (await api.get(f"/v1/contracts/{contract}/balance")).json()["posted"] == 0
    lines = (await api.get(f"/v1/contracts/{contract}/statement")).json()["items"]
    assert sorted((x["code"], x["wallet_mu"]) for x in lines) == [
        ("reversal", -700),
        ("topup", 700),
    ]
    other = await new_contract(api)
    another = path.replace(contract, other)
    assert (await api.post(another, json={"reason": "x"})).status_code == 404


async def test_a_statement_has_pages_and_a_period(api):
    contract = await new_contract(api)
    for amount in (1, 2, 3):
        await api.post(
            f"/v1/contracts/{contract}/topups", json={"amount_mu": amount}, headers=key()
        )
    path = f"/v1/contracts/{contract}/statement"
    page = (await api.get(path, params={"page_size": 2})).json()
    rest = (await api.get(path, params={"page_size": 2, "cursor": page["next"]})).json()
    amounts = [line["amount_mu"] for line in page["items"] + rest["items"]]
    assert sorted(amounts) == [1, 2, 3]
    assert rest["next"] is None
    none = await api.get(path, params={"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00Z"})
    assert none.json()["items"] == []


async def test_emergency_credit_is_taken_once_until_it_is_paid_back(api):
    contract = await new_contract(api, emergency_limit_mu=500)
    path = f"/v1/contracts/{contract}/emergency"
    taken = await api.post(path)
    assert (taken.status_code, taken.json()["emergency_active"]) == (200, True)
    again = await api.post(path)
    assert (again.status_code, again.json()["code"]) == (422, "emergency_active")
    balance = (await api.get(f"/v1/contracts/{contract}/balance")).json()
    assert (balance["floor"], balance["emergency"]) == (-500, 500)


async def test_a_hold_ends_by_two_people_alone(api, approver):
    contract = await new_contract(api)
    path = f"/v1/contracts/{contract}/supply"
    held = (await api.post(f"{path}/hold", json={"reason": "fire brigade"})).json()
    assert (held["state"], held["desired"]) == ("HOLD", "disconnected")
    await api.post(f"/v1/contracts/{contract}/topups", json={"amount_mu": 9}, headers=key())
    assert (await api.get(path)).json()["state"] == "HOLD", "credit does not undo it"
    on = {"meter": contract, "kind": "relay_on"}
    refused = await api.post("/v1/commands", json=on, headers=key())
    assert (refused.status_code, refused.json()["code"]) == (422, "held")
    headers = key()
    asked = await api.post(f"{path}/release", json={"reason": "over"}, headers=headers)
    assert asked.status_code in {403, 409, 422, 428}, asked.text
    assert (await api.get(path)).json()["hold"] is not None
    approval = f"/v1/approvals/{asked.json()['code']}"
    decided = await approver.post(approval, json={"approved": True})
    assert decided.status_code == 200, decided.text
    done = await api.post(f"{path}/release", json={"reason": "over"}, headers=headers)
    assert done.status_code == 200, done.text
    assert done.json()["hold"] is None


async def test_an_operators_order_on_an_account_with_credit_is_a_hold(api):
    contract = await new_contract(api)
    await api.post(f"/v1/contracts/{contract}/topups", json={"amount_mu": 9}, headers=key())
    off = {"meter": contract, "kind": "relay_off"}
    headers = key()
    made = await api.post("/v1/commands", json=off, headers=headers)
    again = await api.post("/v1/commands", json=off, headers=headers)
    assert (made.status_code, again.status_code) == (202, 200)
    supply = (await api.get(f"/v1/contracts/{contract}/supply")).json()
    assert (supply["state"], supply["reason"]) == ("HOLD", "hold")
    commands = (await api.get(f"/v1/commands?meter={contract}")).json()["items"]
    assert [(c["kind"], c["state"]) for c in commands] == [("relay_off", "queued")]


async def test_terms_say_what_is_wrong_and_an_unknown_pack_is_none(api):
    contract = await new_contract(api)
    path = f"/v1/contracts/{contract}/terms"
    for terms in ({"pack": "none-such"}, {"low_mu": 1.5}, {"x": 1}, {"reconnect_mu": -1}):
        answer = await api.put(path, json={"terms": terms})
        assert (answer.status_code, answer.json()["code"]) == (422, "terms"), answer.text
    assert (await api.put(path, json={"terms": {"pack": "gb-example"}})).status_code == 200


BLOCKS = {
    "id": "blocks",
    "valid_from": "2026-01-01T00:00:00Z",
    "tz": "Europe/London",
    "block_upto_wh": [1000, None],
    "price_mu_per_kwh": {"all": [10_000, 30_000]},
    "tax": [{"code": "vat", "bp": 1000}],
}


async def test_a_tariff_is_data_with_versions_and_can_be_tried_first(api):
    name = f"T{uuid.uuid4().hex[:8]}"
    content = {**BLOCKS, "id": name}
    intervals = [{"start": "2026-03-01T10:00:00Z", "minutes": 30, "wh": 1500}]
    tried = await api.post(
        "/v1/tariffs/simulate", json={"content": content, "intervals": intervals}
    )
    assert tried.json()["total_mu"] == 27_500, tried.text
    for expected in (1, 1):
        made = await api.post("/v1/tariffs/versions", json={"currency": "EUR", "content": content})
        assert (made.status_code, made.json()["version"]) == (201, expected), made.text
    later = {**content, "valid_from": "2026-06-01T00:00:00Z", "fixed_mu_per_day": 5}
    second = await api.post("/v1/tariffs/versions", json={"currency": "EUR", "content": later})
    assert second.json()["version"] == 2
    stored = await api.post("/v1/tariffs/simulate", json={"tariff": name, "intervals": intervals})
    assert stored.json()["total_mu"] == 27_500
    changed = {**content, "price_mu_per_kwh": {"all": [1, 1]}}
    conflict = await api.post("/v1/tariffs/versions", json={"currency": "EUR", "content": changed})
    assert conflict.status_code == 409
    bad = await api.post(
        "/v1/tariffs/versions", json={"currency": "EUR", "content": {**content, "tz": "Mars"}}
    )
    assert (bad.status_code, bad.json()["code"]) == (422, "tariff")


async def test_the_hours_of_a_pack_can_be_asked(api):
    """The Thursday before Easter, in the evening: not before Tuesday."""
    path = "/v1/policies/gb-example/may-disconnect"
    query = {"at": "2026-04-02T17:30:00Z", "zone": "Europe/London"}
    found = (await api.get(path, params=query)).json()
    assert (found["ok"], found["next_permitted"]) == (False, "2026-04-07T10:00:00Z")
    assert (await api.get(path, params={"zone": "No/Where"})).status_code == 422


def pan(number: int) -> str:
    drn = f"600727{number:010d}"
    body = drn[6:] + luhn_digit(drn[6:])
    return "600727" + body + luhn_digit("600727" + body)


async def test_a_paid_device_gets_days_for_money_once(api):
    contract = await new_contract(api)
    path, secret = f"/v1/meters/{contract}", "a29ab82edc5fbbc41ec9530f6dac86b1"
    await api.post(f"/v1/contracts/{contract}/topups", json={"amount_mu": 100}, headers=key())
    device = {"secret_hex": secret}
    for _ in range(2):
        made = await api.put(f"{path}/paygo-device", json=device)
        assert (made.status_code, made.json()) == (200, {"meter": contract, "vendor": "paygo"})
    wish, headers = {"kind": "add_time", "units": 30, "amount_mu": 40}, key()
    first = await api.post(f"{path}/tokens", json=wish, headers=headers)
    again = await api.post(f"{path}/tokens", json=wish, headers=headers)
    other = await api.post(f"{path}/tokens", json=wish | {"units": 31}, headers=headers)
    assert [a.status_code for a in (first, again, other)] == [201, 200, 409]
    assert first.json()["digits"] == again.json()["digits"]
    assert (await api.put(f"{path}/paygo-device", json=device)).is_success, "the count goes on"
    second = await api.post(f"{path}/tokens", json=wish, headers=key())
    poor = await api.post(f"{path}/tokens", json=wish, headers=key())
    assert (second.status_code, poor.json()["code"]) == (201, "insufficient_credit")
    taken = PaygoDevice.new()
    for made in (first, second):
        entry = enter(PaygoKey(secret), taken, made.json()["digits"])
        assert (entry.kind, entry.value) == (PaygoType.ADD_TIME, 30)
        taken = entry.device
    shown = await api.get(f"/v1/tokens/{first.json()['id']}")
    assert (shown.json()["digits"], shown.json()["state"]) == (first.json()["digits"], "issued")
    balance = (await api.get(f"/v1/contracts/{contract}/balance")).json()
    assert (balance["posted"], balance["pending"]) == (20, 0)
    lines = (await api.get(f"/v1/accounts/{contract}/transfers")).json()["items"]
    moved = [one for one in lines if one["step"] in {"posted", "post"}]
    signs = [(one["credit"] == "wallet") - (one["debit"] == "wallet") for one in moved]
    assert sum(s * one["amount_mu"] for s, one in zip(signs, moved, strict=True)) == 20
    assert {one["step"] for one in lines} == {"posted", "pending", "post"}
    page = (await api.get(f"/accounts/{contract}")).text
    nothing = '<td class="n"></td>'
    assert page.count(f"token reserved</th>{nothing}{nothing}") == 2, "a reservation moves nothing"
    assert page.count(f">token</th>{nothing}<td") == 2
    unread = await api.post(f"{path}/tokens/verify", json={"digits": "1" * 20})
    assert (unread.status_code, unread.json()["code"]) == (422, "token_reader")


async def test_a_top_up_number_is_made_for_test_devices_alone(api):
    contract = await new_contract(api)
    path = f"/v1/meters/{contract}"
    real = await api.put(f"{path}/utrn-device", json={"device": "90b3d50000000001"})
    assert (real.status_code, real.json()["code"]) == (422, "real_device")
    none = await api.post(f"{path}/tokens", json={"kind": "top_up_pence"}, headers=key())
    assert (none.status_code, none.json()["code"]) == (404, "unknown_token_meter")
    assert (await api.put(f"{path}/utrn-device", json={"device": "ffffff0000000001"})).is_success
    wish = {"kind": "top_up_pence", "units": 500}
    made = [await api.post(f"{path}/tokens", json=wish, headers=key()) for _ in range(2)]
    numbers = [TopUpToken.from_digits(m.json()["digits"]) for m in made]
    assert [(n.counter, n.value) for n in numbers] == [(1, 500), (2, 500)]
    wrong = await api.post(
        f"{path}/tokens", json={"kind": "electricity", "units": 1}, headers=key()
    )
    assert (wrong.status_code, wrong.json()["code"]) == (422, "token_kind")


async def test_a_token_is_vended_once_and_read_back(api):
    contract = await new_contract(api)
    await api.post(f"/v1/contracts/{contract}/topups", json={"amount_mu": 500}, headers=key())
    identity = {"pan": pan(int(uuid.uuid4()) % 10**9), "supply_group": "123457"}
    path = f"/v1/meters/{contract}"
    hook = {"url": "https://hooks.example.com/tokens", "kinds": ["token.issued"]}
    webhook = (await api.post("/v1/webhooks", json=hook)).json()["id"]
    assert (await api.put(f"{path}/token-identity", json=identity)).status_code == 200
    headers, body = key(), {"kind": "electricity", "units": 125, "amount_mu": 400}
    made = await api.post(f"{path}/tokens", json=body, headers=headers)
    again = await api.post(f"{path}/tokens", json=body, headers=headers)
    assert (made.status_code, again.status_code) == (201, 200), made.text
    assert made.json() == again.json()
    assert len(made.json()["digits"]) == 20
    told = (await api.get(f"/v1/webhooks/{webhook}/deliveries")).json()["items"]
    assert [d["kind"] for d in told] == ["token.issued"], "told once"
    await api.delete(f"/v1/webhooks/{webhook}")
    shown = (await api.get(f"/v1/tokens/{made.json()['id']}")).json()
    assert shown == made.json()
    read = await api.post(f"{path}/tokens/verify", json={"digits": made.json()["digits"]})
    assert (read.json()["kind"], read.json()["units"]) == ("electricity", 125)
    balance = (await api.get(f"/v1/contracts/{contract}/balance")).json()
    assert (balance["posted"], balance["pending"]) == (100, 0)
    poor = await api.post(f"{path}/tokens", json={**body, "amount_mu": 101}, headers=key())
    assert (poor.status_code, poor.json()["code"]) == (422, "insufficient_credit")
    second = await api.post(f"{path}/tokens", json={**body, "amount_mu": 1}, headers=key())
    assert second.json()["digits"] != made.json()["digits"]


async def test_money_buys_energy_block_by_block(api):
    """Published: R2000 buy 1240.44 kWh in these blocks; any split of the sum buys the same."""
    tariff = {
        "id": f"p{uuid.uuid4().hex[:8]}",
        "valid_from": "2020-01-01T00:00:00Z",
        "tz": "Africa/Johannesburg",
        "block_basis": "purchase",
        "block_upto_wh": [500_000, 1_000_000, 2_000_000, 3_000_000, None],
        "price_mu_per_kwh": {"all": [143_160, 169_540, 181_540, 204_180, 220_700]},
    }
    made = await api.post("/v1/tariffs/versions", json={"currency": "ZAR", "content": tariff})
    assert made.status_code == 201, made.text
    name = f"C-{uuid.uuid4().hex[:10]}"
    meter = {"meter": name, "profile": "nl_dsmr", "key_hex": "00" * 16}
    await api.post("/v1/meters", json=meter)
    body = {"account": name, "meter": name, "tariff": tariff["id"], "terms": {}}
    assert (await api.post("/v1/accounts", json=body)).status_code == 201
    topup = {"amount_mu": 200_000_000}
    await api.post(f"/v1/contracts/{name}/topups", json=topup, headers=key())
    identity = {"pan": pan(int(uuid.uuid4()) % 10**9), "supply_group": "123457"}
    await api.put(f"/v1/meters/{name}/token-identity", json=identity)
    units = []
    for amount in (60_000_000, 140_000_000):
        headers, wish = key(), {"amount_mu": amount}
        answers = [
            await api.post(f"/v1/meters/{name}/tokens", json=wish, headers=headers)
            for _ in range(2)
        ]
        assert [a.status_code for a in answers] == [201, 200], answers[0].text
        assert answers[0].json() == answers[1].json()
        units.append(answers[0].json()["units"])
    assert sum(units) in {12_405, 12_406}, "each token rounds up to a tenth of a kWh"
    flat = await new_contract(api)
    identity = {"pan": pan(int(uuid.uuid4()) % 10**9), "supply_group": "123457"}
    await api.put(f"/v1/meters/{flat}/token-identity", json=identity)
    none = await api.post(f"/v1/meters/{flat}/tokens", json={"amount_mu": 5}, headers=key())
    assert (none.status_code, none.json()["code"]) == (422, "block_basis")


async def test_the_test_module_refuses_real_supply_groups(api):
    contract = await new_contract(api)
    identity = {"pan": pan(7), "supply_group": "600727"}
    answer = await api.put(f"/v1/meters/{contract}/token-identity", json=identity)
    assert (answer.status_code, answer.json()["code"]) == (422, "real_supply_group")
    vend = await api.post(f"/v1/meters/{contract}/tokens", json={"units": 1}, headers=key())
    assert vend.status_code == 404


INWARD = (
    "http://example.com/hook",
    "https://127.0.0.1/hook",
    "https://localhost/hook",
    "https://10.1.2.3/x",
    "https://192.168.0.1/x",
    "https://[::1]/x",
    "https://[::ffff:10.0.0.1]/x",
    "https://169.254.169.254/latest/meta-data",
    "https://user:pass@example.com/x",
    "https://example.com:22/x",
    "https://intranet/x",
    "https://2130706433/x",
    "ftp://example.com/x",
    "https://example.com/x#y",
)


@pytest.mark.parametrize("url", INWARD)
async def test_a_webhook_leads_outward(api, url):
    answer = await api.post("/v1/webhooks", json={"url": url, "kinds": ["balance.low"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_url")


async def test_a_webhook_shows_its_secret_once(api):
    body = {"url": "https://hooks.example.com/ohmesh?x=1", "kinds": ["topup.booked"]}
    made = (await api.post("/v1/webhooks", json=body)).json()
    assert made["secret"].startswith("whsec_")
    listed = (await api.get("/v1/webhooks")).json()["items"]
    assert made["secret"] not in str(listed)
    contract = await new_contract(api)
    await api.post(f"/v1/contracts/{contract}/topups", json={"amount_mu": 5}, headers=key())
    sent = (await api.get(f"/v1/webhooks/{made['id']}/deliveries")).json()["items"]
    assert [d["kind"] for d in sent] == ["topup.booked"]
    assert (await api.delete(f"/v1/webhooks/{made['id']}")).status_code == 200
    assert (await api.delete(f"/v1/webhooks/{made['id']}")).status_code == 404


async def test_payments_are_exported_in_odysseys_fields(api):
    rows = (await api.get("/v1/exports/odyssey")).json()["items"]
    first = next(row for row in rows if row["customerId"] == "A-1")
    assert first["amount"] == "10.00"
    assert (first["currency"], first["serialNumber"]) == ("EUR", PREPAID)
    assert first["transactionType"] == "FULL_PAYMENT"


async def test_a_rating_anew_is_asked_for_and_looked_up(api):
    contract = await new_contract(api)
    path, today = f"/v1/contracts/{contract}/rerate", datetime.now(UTC).date()
    body = {"from_day": today.isoformat(), "reason": "tariff corrected"}
    asked = await api.post(path, json=body, headers=key("anew"))
    assert asked.status_code == 202, asked.text
    assert (asked.json()["state"], asked.json()["dry_run"]) == ("asked", True)
    assert (await api.get(f"/v1/rerates/{asked.json()['id']}")).json() == asked.json()
    again = await api.post(path, json=body, headers=key("anew"))
    assert again.json() == asked.json()
    old = body | {"from_day": (today - timedelta(days=500)).isoformat()}
    assert (await api.post(path, json=old, headers=key())).status_code == 422
    booking = f"/v1/rerates/{asked.json()['id']}/booking"
    assert (await api.post(booking, headers=key())).json()["type"] == "/problems/approval-needed"
