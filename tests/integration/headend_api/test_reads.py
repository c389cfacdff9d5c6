"""Read success over HTTP: the report and the list of misses agree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from api_site import OTHER, client_of, running

from headend.store import db
from headend.vee.pump import Validator
from headend.watch import Watch

DAYS = {"first": "2026-03-01", "last": "2026-03-01"}


@pytest.fixture
async def own_api(own_site):
    async with running(own_site) as app, client_of(app) as client:
        yield client


@pytest.fixture
async def own_neighbour(own_site):
    async with running(own_site) as app, client_of(app, OTHER) as client:
        yield client


async def test_the_report_and_the_misses_agree(own_site, own_api, own_neighbour):
    url = own_site.urls["worker"]
    await own_api.post("/v1/meters", json={"meter": "R-1", "profile": "nl_dsmr"})
    with db.connect(own_site.urls["ingest"], name="test", autocommit=True) as ingest:
        ingest.execute(  # the clock of the data moves past the deadline of the seeded day
            "insert into bulk.reading select m.id, c.id, t, 1, 0"
            " from ohmesh.meter m, ohmesh.channel c, "
            " unnest(array['2026-03-02T06:00Z', '2026-03-02T06:15Z']::timestamptz[]) t"
            " where m.name = 'R-1' and c.name = 'el.energy.import' and c.obis = '1-0:1.8.0'"
        )
        ingest.execute(
            "insert into bulk.touched (meter_id, from_ts, to_ts)"
            " select meter_id, min(ts), max(ts) from bulk.reading group by meter_id"
        )
    with db.connect(url, name="test", autocommit=True) as worker:
        validator, watch = Validator(url=url), Watch(url=url)
        while validator.step(worker):
            pass
        for _ in range(3):
            watch.step(worker)
    report = (await own_api.get("/v1/reports/read-success/days", params=DAYS)).json()
    assert report["expected"] >= 60 * 90
    assert report["expected"] - report["on_time"] == sum(report["causes"].values())
    assert [line["limit_ppm"] for line in report["lines"]] == [980_000, 998_000]
    assert sum(g["expected"] for g in report["gateways"]) == report["expected"]
    missed, cursor = 0, {}
    while cursor is not None:
        page = await own_api.get("/v1/reports/read-success/misses", params=DAYS | cursor)
        missed += sum(item["intervals"] for item in page.json()["items"])
        cursor = {"cursor": page.json()["next"]} if page.json()["next"] else None
    assert missed == report["expected"] - report["on_time"]
    theirs = (await own_neighbour.get("/v1/reports/read-success/days", params=DAYS)).json()
    assert theirs["meters"] <= 8


async def test_a_meter_that_falls_silent_is_overdue(site, api, neighbour):
    """A tenth of an outage: the others move on, one does not."""
    start = datetime(2026, 7, 1, tzinfo=UTC)
    for name, slots in (("S-1", 8), ("S-2", 5)):
        await api.post("/v1/meters", json={"meter": name, "profile": "nl_dsmr"})
        with db.connect(site.urls["ingest"], name="test", autocommit=True) as ingest:
            ingest.execute(
                "insert into bulk.reading"
                " select m.id, c.id, %s::timestamptz + s * interval '15 minutes', s, 0"
                " from ohmesh.meter m, ohmesh.channel c, generate_series(0, %s) s"
                " where m.name = %s and c.name = 'el.energy.import' and c.obis = '1-0:1.8.0'",
                (start, slots, name),
            )
            ingest.execute(
                "insert into bulk.touched (meter_id, from_ts, to_ts)"
                " select id, %s, %s from ohmesh.meter where name = %s",
                (start, start + timedelta(hours=3), name),
            )
    validator = Validator(url=site.urls["worker"])
    with db.connect(site.urls["worker"], name="test", autocommit=True) as worker:
        while validator.step(worker):
            pass
    items = (await api.get("/v1/reports/read-success/overdue?page_size=1000")).json()["items"]
    found = {item["meter"]: item["missing"] for item in items}
    assert found["S-2"] == 3
    assert "S-1" not in found
    theirs = (await neighbour.get("/v1/reports/read-success/overdue")).json()["items"]
    assert theirs == [] or all(item["meter"].startswith("B-") for item in theirs)


async def test_what_is_missing_now_is_listed_by_page_and_filter(own_site, own_api, own_neighbour):
    for name in ("G-1", "G-2", "G-3"):
        await own_api.post("/v1/meters", json={"meter": name, "profile": "nl_dsmr"})
    with db.connect(own_site.urls["worker"], name="test", autocommit=True) as worker:
        worker.execute(
            "insert into bulk.read_gap (meter_id, from_ts, to_ts, intervals, cause, found_at)"
            " select id, '2026-07-02Z', '2026-07-02T01:00Z', 4,"
            " case name when 'G-3' then 'meter' else 'broker' end, '2026-07-02T00:25Z'"
            " from ohmesh.meter where name in ('G-1', 'G-2', 'G-3')"
        )
    address = "/v1/reports/read-success/gaps"
    found, query = [], {"page_size": 2}
    while query:
        page = (await own_api.get(address, params=query)).json()
        found += [(item["meter"], item["intervals"]) for item in page["items"]]
        query = {"page_size": 2, "cursor": page["next"]} if page["next"] else None
    assert sorted(found) == [("G-1", 4), ("G-2", 4), ("G-3", 4)]
    alone = (await own_api.get(address, params={"cause": "meter"})).json()["items"]
    assert [item["meter"] for item in alone] == ["G-3"]
    assert (await own_neighbour.get(address)).json()["items"] == []


async def test_days_that_are_none_are_refused(api):
    for query in ("first=2026-03-02&last=2026-03-01", "first=2020-01-01&last=2026-01-01"):
        answer = await api.get(f"/v1/reports/read-success/days?{query}")
        assert answer.status_code == 422, query
        assert answer.json()["errors"][0]["pointer"] == "/query/first"
