"""Validated intervals over HTTP: lists, versions, totals, exceptions and edits."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from headend.store import db
from headend.vee.pump import Validator

START = datetime(2026, 5, 1, tzinfo=UTC)
STEP = timedelta(minutes=15)
PERIOD = {"period_from": "2026-05-01T00:00:00Z", "period_to": "2026-05-02T00:00:00Z"}


class Bench:
    """A meter of the test's own with registers, and validation over them."""

    def __init__(self, site, api, name):
        self.site, self.api, self.name = site, api, name

    def run(self, sql, role, *params):
        with db.connect(self.site.urls[role], name="test", autocommit=True) as connection:
            return connection.execute(sql, params).rowcount

    def read(self, registers):
        times = [START + slot * STEP for slot in registers]
        self.run(
            "insert into bulk.reading select m.id, c.id, t, v, 0 from ohmesh.meter m,"
            " ohmesh.channel c, unnest(%s::timestamptz[], %s::bigint[]) u(t, v)"
            " where m.name = %s and c.name = 'el.energy.import' and c.obis = '1-0:1.8.0'",
            "ingest",
            times,
            list(registers.values()),
            self.name,
        )
        self.touch(min(times), max(times))
        self.validate()

    def touch(self, low, high):
        self.run(
            "insert into bulk.touched (meter_id, from_ts, to_ts)"
            " select id, %s, %s from ohmesh.meter where name = %s",
            "ingest",
            low,
            high,
            self.name,
        )

    def validate(self):
        validator = Validator(url=self.site.urls["worker"])
        with db.connect(self.site.urls["worker"], name="test", autocommit=True) as connection:
            while validator.step(connection):
                pass

    async def get(self, what, **query):
        answer = await self.api.get(f"/v1/meters/{self.name}/{what}", params=PERIOD | query)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def edit(self, kind, first, last, key, **more):
        body = {
            "meter": self.name,
            "kind": kind,
            "period_from": (START + first * STEP).isoformat(),
            "period_to": (START + last * STEP).isoformat(),
            "reason": "the technician's note",
            **more,
        }
        answer = await self.api.post("/v1/vee/edits", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code in {200, 202}, answer.text
        self.validate()
        done = await self.api.get("/v1/vee/edits", params={"id": answer.json()["id"]})
        return done.json()["items"][0]


@pytest.fixture
async def bench(site, api, request):
    name = f"V-{abs(hash(request.node.name)) % 10**8}"
    made = await api.post("/v1/meters", json={"meter": name, "profile": "nl_dsmr"})
    assert made.status_code == 201, made.text
    return Bench(site, api, name)


async def test_intervals_versions_and_totals(bench):
    bench.read({0: 0, 1: 10, 2: 25, 8: 85})
    items = await bench.get("intervals")
    assert [i["value"] for i in items] == [10, 15, 10, 10, 10, 10, 10, 10]
    assert items[0]["time"] == "2026-05-01T00:15:00Z"
    assert items[0] | {"made_at": ""} == {
        "channel": "el.energy.import",
        "time": "2026-05-01T00:15:00Z",
        "length_s": 900,
        "value": 10,
        "scaler": 0,
        "unit": "Wh",
        "quality": [],
        "failed": [],
        "method": "difference",
        "version": 1,
        "made_at": "",
        "author": None,
        "replaced_at": None,
    }
    assert items[4]["quality"] == ["estimated"]
    assert items[4]["method"] == "linear_scaled"
    bench.read({4: 40})
    versions = await bench.get("interval-versions")
    of_fourth = [v for v in versions if v["time"] == "2026-05-01T01:00:00Z"]
    assert [(v["version"], v["value"], v["replaced_at"] is None) for v in of_fourth] == [
        (1, 10, False),
        (2, 8, True),
    ]
    days = await bench.get("interval-totals", by="day")
    assert [(d["day"], d["total"], d["intervals"]) for d in days] == [("2026-05-01", 85, 8)]
    hours = await bench.get("interval-totals", by="hour")
    assert [h["total"] for h in hours] == [40, 45]
    months = await bench.get("interval-totals", by="month")
    assert [m["begin"] for m in months] == ["2026-05-01T00:00:00Z"]


@pytest.mark.parametrize("what", ["intervals", "interval-versions", "interval-totals"])
async def test_validated_values_are_kept_by_callers_and_come_as_files(bench, what):
    bench.read({0: 0, 1: 10, 2: 25})
    path = f"/v1/meters/{bench.name}/{what}"
    first = await bench.api.get(path, params=PERIOD)
    held = {"If-None-Match": first.headers["etag"]}
    again = await bench.api.get(path, params=PERIOD, headers=held)
    assert (again.status_code, again.content) == (304, b"")
    items = first.json()["items"]
    for named in ({"params": PERIOD | {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}):
        asked = {"params": PERIOD} | named
        answer = await bench.api.get(path, **asked)
        assert answer.headers["content-type"].startswith("text/csv")
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        field = "total" if what == "interval-totals" else "value"
        assert [int(line[field]) for line in lines] == [item[field] for item in items]
    bench.read({3: 40})
    late = await bench.api.get(path, params=PERIOD, headers=held)
    assert late.status_code == 200
    assert late.headers["etag"] != held["If-None-Match"]


async def test_pages_of_intervals_hold_each_once(bench):
    bench.read({slot: slot * slot for slot in range(50)})
    found, cursor = [], None
    while True:
        query = PERIOD | {"page_size": 7} | ({"cursor": cursor} if cursor else {})
        page = (await bench.api.get(f"/v1/meters/{bench.name}/intervals", params=query)).json()
        found += [item["value"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == [2 * slot - 1 for slot in range(1, 50)]


async def test_a_persons_value_stands_until_it_is_taken_back(bench):
    bench.read({slot: 10 * slot for slot in range(8)})
    done = await bench.edit("set", 2, 4, "set-1" + bench.name, values=[77, 78])
    assert (done["state"], done["intervals"]) == ("done", 2)
    bench.read({8: 80})
    items = await bench.get("intervals")
    assert [i["value"] for i in items] == [10, 10, 77, 78, 10, 10, 10, 10]
    assert (items[2]["author"], items[2]["quality"], items[2]["version"]) == (
        "operator",
        ["edited"],
        2,
    )
    bench.touch(START, START + 8 * STEP)
    bench.validate()
    assert [i["value"] for i in await bench.get("intervals")][2:4] == [77, 78]
    taken = await bench.edit("revert", 2, 4, "revert-1" + bench.name)
    assert taken["intervals"] == 2
    items = await bench.get("intervals")
    assert [i["value"] for i in items] == [10] * 8
    assert (items[2]["author"], items[2]["quality"]) == (None, [])
    versions = await bench.get("interval-versions")
    assert [v["value"] for v in versions if v["time"] == items[2]["time"]] == [10, 77, 77, 10]
    days = await bench.get("interval-totals", by="day")
    assert days[0]["total"] == 80


async def test_an_estimate_in_a_persons_name_keeps_the_sum(bench):
    bench.read({0: 0, 1: 10, 2: 200, 3: 210, 4: 220})
    done = await bench.edit("estimate", 1, 3, "estimate-1" + bench.name)
    assert done["state"] == "done"
    items = await bench.get("intervals")
    assert [i["value"] for i in items] == [10, 100, 100, 10]
    assert items[1]["quality"] == ["estimated", "edited"]
    assert items[1]["method"] == "linear_scaled"


async def test_exceptions_are_listed_and_accepted(bench):
    bench.read({0: 0, 1: 10, 5: 50, 6: 60})
    query = {"meter": bench.name, "state": "open"}
    found = (await bench.api.get("/v1/vee/exceptions", params=query)).json()["items"]
    assert [(e["rule"], e["period_from"], e["period_to"]) for e in found] == [
        ("gap", "2026-05-01T00:15:00Z", "2026-05-01T01:15:00Z")
    ]
    done = await bench.edit("accept", 0, 8, "accept-1" + bench.name)
    assert done["intervals"] == 1
    query = {"meter": bench.name, "rule": "gap"}
    found = (await bench.api.get("/v1/vee/exceptions", params=query)).json()["items"]
    assert [(e["state"], e["settled_by"]) for e in found] == [("accepted", "operator")]


@pytest.mark.parametrize(
    ("kind", "first", "last", "more", "why"),
    [
        ("set", 0, 2, {"values": [1]}, "2 values are needed"),
        ("set", 0.5, 1.5, {"values": [1]}, "begin and end on the meter's 900 s"),
        ("estimate", 0, 2, {"channel": "water.volume"}, "no intervals of water.volume"),
    ],
)
async def test_an_edit_that_cannot_be_done_says_why(bench, kind, first, last, more, why):
    bench.read({slot: 10 * slot for slot in range(4)})
    done = await bench.edit(kind, first, last, f"bad-{first}-{kind}-{bench.name}", **more)
    assert done["state"] == "refused"
    assert why in done["detail"]
    assert [i["value"] for i in await bench.get("intervals")] == [10, 10, 10]


async def test_an_exchange_mends_what_ran_backwards(bench):
    bench.read({0: 5000, 1: 5010, 2: 4, 3: 9})
    assert [i["value"] for i in await bench.get("intervals")] == [10, 5]
    body = {"at": (START + 1.5 * STEP).isoformat(), "old_close": 5013, "new_open": 0}
    for status in (201, 200):
        answer = await bench.api.post(f"/v1/meters/{bench.name}/swaps", json=body)
        assert answer.status_code == status
    bench.validate()
    assert [i["value"] for i in await bench.get("intervals")] == [10, 7, 5]
    query = {"meter": bench.name, "rule": "negative"}
    found = (await bench.api.get("/v1/vee/exceptions", params=query)).json()["items"]
    assert [e["state"] for e in found] == ["gone"]
    other = await bench.api.post(f"/v1/meters/{bench.name}/swaps", json=body | {"old_close": 6000})
    assert other.status_code == 409


async def test_the_same_key_with_another_wish_is_a_conflict(bench):
    bench.read({slot: 10 * slot for slot in range(4)})
    await bench.edit("set", 0, 1, "same" + bench.name, values=[5])
    body = {
        "meter": bench.name,
        "kind": "set",
        "period_from": START.isoformat(),
        "period_to": (START + STEP).isoformat(),
        "reason": "x",
        "values": [6],
    }
    answer = await bench.api.post(
        "/v1/vee/edits", json=body, headers={"Idempotency-Key": "same" + bench.name}
    )
    assert answer.status_code == 409
