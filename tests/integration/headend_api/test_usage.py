"""The fleet's usage by day is the sum of what each meter's totals say, and of our meters alone."""

from __future__ import annotations

import pytest
from api_site import OTHER, client_of, running

from headend.store import db

DAYS = {"first": "2026-01-01", "last": "2026-01-03"}


@pytest.fixture
async def app(own_site):
    with db.connect(own_site.urls["worker"], name="test", autocommit=True) as worker:
        worker.execute(
            "insert into bulk.rollup_day (meter_id, channel, day, total, intervals, measured, most)"
            " select m.id, c.id, d::date, m.id * 1000 + extract(day from d)::int, 96, 90, 1"
            " from ohmesh.meter m, ohmesh.channel c,"
            " generate_series(timestamp '2026-01-01', '2026-01-03', interval '1 day') d"
            " where c.name = 'el.energy.import' on conflict do nothing"
        )
    async with running(own_site) as made:
        yield made


async def meters_totals(client, meter):
    period = {"period_from": "2025-12-31T00:00:00Z", "period_to": "2026-01-05T00:00:00Z"}
    path = f"/v1/meters/{meter}/interval-totals"
    answer = await client.get(path, params=period | {"channel": "el.energy.import"})
    return [one for one in answer.json()["items"] if "2026-01-01" <= one["day"] <= "2026-01-03"]


@pytest.mark.parametrize("token", [None, OTHER], ids=["ours", "theirs"])
async def test_a_day_is_the_sum_of_its_meters(app, token):
    async with client_of(app, *([token] if token else [])) as client:
        days = (await client.get("/v1/usage/daily", params=DAYS)).json()["items"]
        meters = (await client.get("/v1/meters?page_size=1000")).json()["items"]
        each = [one for m in meters for one in await meters_totals(client, m["meter"])]
    assert {one["day"] for one in days} == {"2026-01-01", "2026-01-02", "2026-01-03"}
    for day in days:
        same = [one for one in each if (one["day"], one["scaler"]) == (day["day"], day["scaler"])]
        assert sum(d["day"] == day["day"] for d in days) == 1, "one channel of this name is used"
        assert day["meters"] == len(same) == len(meters)
        for field in ("total", "intervals", "measured"):
            assert day[field] == sum(one[field] for one in same)


@pytest.mark.parametrize(
    ("first", "last", "status"),
    [
        ("2026-01-01", "2026-01-31", 200),
        ("2026-01-01", "2026-02-01", 422),
        ("2026-01-02", "2026-01-01", 422),
        ("0001-01-01", "9999-12-31", 422),
        ("yesterday", "2026-01-01", 422),
    ],
)
async def test_no_more_than_a_month_is_asked(app, first, last, status):
    async with client_of(app) as client:
        answer = await client.get("/v1/usage/daily", params={"first": first, "last": last})
    assert answer.status_code == status
