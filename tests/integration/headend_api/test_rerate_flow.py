"""A wrong price is corrected over HTTP, and the worker rates anew what it had charged."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, time, timedelta

import pytest
from api_site import EVERYTHING, OURS, client_of, running
from test_contracts import SECOND, approved, key

from headend.security.secrets import digest
from headend.store import db
from headend.worker import Worker

BEGIN = datetime.combine(datetime.now(UTC).date() - timedelta(days=1), time(), UTC)
HOURLY_WH = 100_000


@pytest.fixture
async def shop(own_site):
    """A client, a second person's, a superuser's connection, and the worker's step."""
    with db.connect(own_site.admin_url, name="test", autocommit=True) as admin:
        admin.execute(
            "insert into ohmesh.api_key (tenant_id, name, digest, scopes, person)"
            " values (%s, 'second', %s, %s, 'second')",
            (OURS, digest(SECOND), EVERYTHING),
        )
        worker = Worker(
            url=own_site.urls["worker"], keystore=own_site.keystore, publish=lambda *_: True
        )
        with db.connect(own_site.urls["worker"], name="worker", autocommit=True) as connection:
            async with (
                running(own_site) as app,
                client_of(app) as api,
                client_of(app, SECOND) as second,
            ):
                yield api, second, admin, lambda: worker.step(connection)


async def a_charged_day(api, admin) -> str:
    """A contract whose meter used 100 kWh an hour yesterday, at 0.30."""
    name = f"R-{uuid.uuid4().hex[:10]}"
    price = {"tariff": name, "currency": "EUR", "price_mu_per_kwh": 30_000}
    assert (await api.post("/v1/tariffs", json=price)).is_success
    meter = {"meter": name, "profile": "nl_dsmr", "key_hex": "00" * 16}
    assert (await api.post("/v1/meters", json=meter)).is_success
    admin.execute(
        "insert into bulk.reading (meter_id, channel, ts, value, status)"
        " select m.id, c.id, %s + n * interval '1 hour', n * %s, 0"
        " from ohmesh.meter m, ohmesh.channel c, generate_series(0, 24) n"
        " where m.name = %s and c.name = 'el.energy.import'",
        (BEGIN, HOURLY_WH, name),
    )
    body = {"account": name, "meter": name, "tariff": name, "rated_from": BEGIN.isoformat()}
    assert (await api.post("/v1/accounts", json=body)).is_success
    return name


async def balance(api, name: str) -> int:
    return (await api.get(f"/v1/contracts/{name}/balance")).json()["posted"]


async def test_a_corrected_price_is_weighed_booked_by_two_people_and_paid_back_once(shop):
    api, second, admin, step = shop
    name = await a_charged_day(api, admin)
    step()
    assert await balance(api, name) == -24 * 100 * 30_000
    cheaper = {
        "tariff": name,
        "currency": "EUR",
        "price_mu_per_kwh": 20_000,
        "valid_from": (BEGIN + timedelta(hours=6)).isoformat(),
    }
    assert (await api.post("/v1/tariffs", json=cheaper)).is_success
    wish = {"from_day": BEGIN.date().isoformat(), "reason": "wrong price", "dry_run": False}
    asked = await api.post(f"/v1/contracts/{name}/rerate", json=wish, headers=key())
    assert asked.status_code == 202, asked.text
    path = f"/v1/rerates/{asked.json()['id']}"
    step()
    weighed = (await api.get(path)).json()
    back_mu = 18 * 100 * 10_000
    assert (weighed["state"], weighed["difference_mu"], weighed["days"]) == ("weighed", -back_mu, 1)
    assert await balance(api, name) == -24 * 100 * 30_000, "it waits for two people"
    booked = await approved(api, second, f"{path}/booking", None)
    assert booked.is_success, booked.text
    for _ in range(2):
        step()
        assert (await api.get(path)).json()["state"] == "booked"
        assert await balance(api, name) == -24 * 100 * 30_000 + back_mu
    lines = (await api.get(f"/v1/contracts/{name}/statement")).json()["items"]
    assert [line["wallet_mu"] for line in lines if line["wallet_mu"] > 0] == [back_mu]
