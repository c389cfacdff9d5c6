"""Commands with parameters, and the firmware they offer, over HTTP."""

from __future__ import annotations

import base64

import pytest
from test_writes import key, new_meter

from ohmesh.tokens.acceptance import Verdict
from ohmesh.wire.commandbody import VERDICTS
from ohmesh.wire.firmware import sign_image

IMAGE = base64.b64encode(sign_image(bytes(32), 3, b"program")).decode()
TARIFF = {"version": 1, "switches": [{"minute": 0, "rate": 1}, {"minute": 420, "rate": 2}]}
PERIOD = {"period_from": "2026-01-01T00:00:00Z", "period_to": "2026-01-02T00:00:00Z"}


def test_verdicts_are_the_same_on_the_wire_and_in_the_meter():
    assert tuple(Verdict) == VERDICTS


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "load_profile_read", **PERIOD},
        {"kind": "tariff_set", "tariff": TARIFF},
        {"kind": "token_enter", "token": "1234 5678 9012 3456 7890"},
        {"kind": "key_change"},
        {"kind": "clock_set"},
    ],
    ids=lambda change: change["kind"],
)
async def test_each_kind_is_taken_once_and_a_repeat_is_the_same(api, change):
    meter, mine = await new_meter(api), key()
    body = {"meter": meter, "valid_s": 600, **change}
    first = await api.post("/v1/commands", json=body, headers=mine)
    again = await api.post("/v1/commands", json=body, headers=mine)
    assert (first.status_code, again.status_code) == (202, 200), first.text
    assert first.json() == again.json()
    shown = (await api.get(f"/v1/commands/{first.json()['id']}")).json()
    assert (shown["kind"], shown["state"], shown["read_back"]) == (change["kind"], "queued", "")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "load_profile_read"},
        {"kind": "load_profile_read", "period_from": PERIOD["period_from"]},
        {
            "kind": "load_profile_read",
            "period_from": PERIOD["period_to"],
            "period_to": PERIOD["period_from"],
        },
        {"kind": "tariff_set"},
        {"kind": "tariff_set", "tariff": {"version": 1, "switches": []}},
        {"kind": "tariff_set", "tariff": {"version": 1, "switches": [{"minute": 15, "rate": 1}]}},
        {"kind": "tariff_set", "tariff": {"version": 1, "switches": [{"minute": 0, "rate": 9}]}},
        {"kind": "token_enter"},
        {"kind": "token_enter", "token": "1234"},
        {"kind": "token_enter", "token": "1" * 21},
        {"kind": "relay_off", "token": "1" * 20},
        {"kind": "key_change", "firmware": "fw"},
        {"kind": "clock_set", "argument": 5},
        {"kind": "firmware_block"},
        {"kind": "firmware"},
    ],
)
async def test_parameters_that_do_not_fit_are_refused(api, change):
    meter = await new_meter(api)
    answer = await api.post("/v1/commands", json={"meter": meter, **change}, headers=key())
    assert answer.status_code == 422, answer.text
    assert (await api.get(f"/v1/commands?meter={meter}")).json()["items"] == []


async def test_firmware_is_kept_once_and_offered_by_name(api):
    meter = await new_meter(api)
    new = {"firmware": "fw3", "image_base64": IMAGE}
    first = await api.post("/v1/firmware", json=new)
    again = await api.post("/v1/firmware", json=new)
    assert (first.status_code, again.status_code) == (201, 200), first.text
    assert first.json()["version"] == 3
    other = base64.b64encode(sign_image(bytes(32), 4, b"program")).decode()
    clash = await api.post("/v1/firmware", json={**new, "image_base64": other})
    assert clash.status_code == 409
    assert [one["firmware"] for one in (await api.get("/v1/firmware")).json()["items"]] == ["fw3"]
    ask = {"meter": meter, "kind": "firmware", "firmware": "fw3"}
    assert (await api.post("/v1/commands", json=ask, headers=key())).status_code == 202
    unknown = await api.post("/v1/commands", json={**ask, "firmware": "no"}, headers=key())
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_firmware")


@pytest.mark.parametrize("image", ["%%%", "AAAA", base64.b64encode(b"x" * 200).decode()])
async def test_what_is_no_image_is_refused(api, image):
    new = {"firmware": "bad", "image_base64": image}
    answer = await api.post("/v1/firmware", json=new)
    assert answer.status_code == 422, answer.text
