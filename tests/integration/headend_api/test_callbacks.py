"""Payments that their provider signs: true ones once, all else never."""

from __future__ import annotations

import json
import random
import time
import uuid

import pytest
from test_contracts import new_contract

from headend.webhooks import signing

FORGED = 1000


@pytest.fixture
async def channel(api):
    """A channel's name and secret."""
    name = f"bank-{uuid.uuid4().hex[:8]}"
    made = await api.put(f"/v1/payment-channels/{name}")
    assert made.status_code == 200, made.text
    return name, signing.secret_of(made.json()["secret"])


def called(contract: str, amount_mu: int) -> bytes:
    body = {"contract": contract, "amount_mu": amount_mu, "currency": "EUR"}
    return json.dumps(body).encode()


async def send(api, name: str, headers: dict[str, str], body: bytes):
    path = f"/v1/payment-channels/{name}/payments"
    return await api.post(path, content=body, headers=headers)


async def wallet(api, contract: str) -> int:
    return (await api.get(f"/v1/contracts/{contract}/balance")).json()["posted"]


async def test_a_signed_payment_is_booked_once_however_often_it_is_told(api, channel):
    name, secret = channel
    contract, now_s = await new_contract(api), int(time.time())
    body, codes = called(contract, 500), []
    for at_s in (now_s, now_s, now_s - 200):  # repeated as it was, and signed again
        signed = signing.headers(secret, "pay-1", at_s, body)
        codes.append((await send(api, name, signed, body)).status_code)
    assert codes == [201, 200, 200]
    other = called(contract, 600)
    again = await send(api, name, signing.headers(secret, "pay-1", now_s, other), other)
    assert again.status_code == 409
    lost = called("nobody-of-this-name", 7)
    waits = await send(api, name, signing.headers(secret, "pay-2", now_s, lost), lost)
    assert (waits.status_code, waits.json()["state"]) == (202, "suspense")
    assert await wallet(api, contract) == 500


async def test_of_a_thousand_false_ones_none_is_credited(api, channel):
    name, secret = channel
    contract, dice = await new_contract(api), random.Random(7)
    codes = set()
    for number in range(FORGED):
        wrong, headers, body = false_one(dice, secret, contract, number)
        answer = await send(api, name, headers, body)
        codes.add((wrong, answer.status_code, answer.json()["code"]))
    assert codes == {
        ("forged", 422, "signature"),
        ("amount", 422, "signature"),
        ("contract", 422, "signature"),
        ("named anew", 422, "signature"),
        ("late", 422, "signature_late"),
        ("early", 422, "signature_late"),
        ("dated anew", 422, "signature"),
        ("cut", 422, "signature"),
    }
    assert await wallet(api, contract) == 0


def false_one(dice, secret: bytes, contract: str, number: int):
    """What an attacker without the secret can make of a true message, or an old one."""
    now_s, body = int(time.time()), called(contract, 100)
    wrong = dice.choice(
        ("forged", "amount", "contract", "named anew", "late", "early", "dated anew", "cut")
    )
    at_s = {"late": now_s - 302 - dice.randrange(10**6), "early": now_s + 330}.get(wrong, now_s)
    by = dice.randbytes(32) if wrong == "forged" else secret
    headers = signing.headers(by, f"false-{number}", at_s, body)
    if wrong == "amount":
        body = called(contract, 101 + number)
    elif wrong == "contract":
        body = called("thief", 100)
    elif wrong == "named anew":
        headers["webhook-id"] += "x"
    elif wrong == "dated anew":
        headers["webhook-timestamp"] = str(at_s - 1 - dice.randrange(200))
    elif wrong == "cut":
        headers["webhook-signature"] = headers["webhook-signature"][: dice.randrange(46)]
    return wrong, headers, body


async def test_a_new_secret_ends_the_one_before_and_channels_are_apart(api, neighbour, channel):
    name, secret = channel
    contract = await new_contract(api)
    body = called(contract, 5)
    signed = signing.headers(secret, "pay-1", int(time.time()), body)
    theirs = await send(neighbour, name, signed, body)
    assert (theirs.status_code, theirs.json()["code"]) == (404, "unknown_channel")
    await neighbour.put(f"/v1/payment-channels/{name}")
    assert (await send(neighbour, name, signed, body)).json()["code"] == "signature"
    assert (await api.put(f"/v1/payment-channels/{name}")).is_success
    assert (await send(api, name, signed, body)).json()["code"] == "signature"
    assert await wallet(api, contract) == 0
