"""Channels, registers, groups, feeders, service points; changes on the newest version alone."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest

from headend.store import db

PAST = "period_from=2020-01-01T00:00:00Z&period_to=2021-01-01T00:00:00Z"


async def test_channels_say_what_values_mean(api):
    items = (await api.get("/v1/channels?page_size=1000")).json()["items"]
    own = {one["channel"]: one for one in items}
    assert own["el.voltage.l1"] == {
        "channel": "el.voltage.l1",
        "obis": "1-0:32.7.0",
        "unit": "V",
        "scaler": -1,
    }
    first = (await api.get("/v1/channels?page_size=1")).json()
    second = (await api.get(f"/v1/channels?page_size=1000&cursor={first['next']}")).json()
    assert first["items"] + second["items"] == items


async def test_registers_as_they_stood(api):
    rows = (await api.get("/v1/meters/M0005/readings?order=asc&page_size=10000")).json()["items"]
    of_one = [row for row in rows if row["channel"] == "el.energy.import"]
    middle = of_one[len(of_one) // 2]
    at = datetime.fromisoformat(middle["time"]) + timedelta(seconds=1)
    answer = await api.get("/v1/meters/M0005/registers", params={"at": at.isoformat()})
    found = {one["channel"]: one for one in answer.json()["registers"]}
    assert found["el.energy.import"] == middle
    newest = (await api.get("/v1/meters/M0005/registers")).json()["registers"]
    assert {one["channel"]: one for one in newest}["el.energy.import"] == of_one[-1]
    before = await api.get("/v1/meters/M0005/registers?at=1999-01-01T00:00:00Z")
    assert before.json()["registers"] == []
    assert (await api.get("/v1/meters/absent/registers")).status_code == 404


async def test_a_group_is_what_was_said_last(api, neighbour):
    for meters in (["M0001", "M0002"], ["M0002", "M0003"], ["M0002", "M0003"]):
        answer = await api.put("/v1/groups/street", json={"meters": meters})
        assert answer.json()["meters"] == 2, answer.text
    listed = (await api.get("/v1/meters?group=street")).json()["items"]
    assert [one["meter"] for one in listed] == ["M0002", "M0003"]
    assert (await neighbour.get("/v1/meters?group=street")).json()["items"] == []
    assert (await neighbour.get("/v1/groups")).json()["items"] == []
    wrong = await api.put("/v1/groups/street", json={"meters": ["M0002", "absent"]})
    assert wrong.status_code == 422
    assert "absent" in wrong.json()["detail"]
    assert (await neighbour.delete("/v1/groups/street")).status_code == 404
    assert (await api.delete("/v1/groups/street")).status_code == 204
    assert (await api.delete("/v1/groups/street")).status_code == 404
    assert (await api.get("/v1/meters?group=street")).json()["items"] == []


async def test_a_service_point_from_adding_to_its_feeder(api):
    point = {"service_point": "SPX-1", "zone": "Asia/Seoul", "x_m": 10.123, "feeder": "FX-1"}
    made = await api.post("/v1/service-points", json=point)
    assert made.status_code == 201, made.text
    assert (await api.post("/v1/service-points", json=point)).status_code == 200
    other = await api.post("/v1/service-points", json=point | {"zone": "UTC"})
    assert other.status_code == 409
    address = "/v1/service-points/SPX-1"
    tag = (await api.get(address)).headers["etag"]
    changed = await api.patch(address, json={"transformer": "TX-1"}, headers={"If-Match": tag})
    assert changed.json()["transformer"] == "TX-1"
    tag = changed.headers["etag"]
    changed = await api.patch(address, json={"area": "AREA-1"}, headers={"If-Match": tag})
    assert (changed.json()["area"], changed.json()["transformer"]) == ("AREA-1", "TX-1")
    assert (await api.patch(address, json={"area": "a" * 65})).status_code == 422
    assert changed.json()["zone"] == "Asia/Seoul"
    late = await api.patch(address, json={"feeder": None}, headers={"If-Match": tag})
    assert late.status_code == 412
    assert late.json()["type"] == "/problems/changed-meanwhile"
    now = {"If-Match": changed.headers["etag"]}
    assert (await api.patch(address, json={}, headers=now)).headers["etag"] == now["If-Match"]
    feeders = {f["feeder"]: f for f in (await api.get("/v1/feeders")).json()["items"]}
    assert feeders["FX-1"] == {
        "feeder": "FX-1",
        "transformers": 1,
        "service_points": 1,
        "meters": 0,
    }
    assert (await api.patch(address, json={"zone": "Mars/Base"})).status_code == 422
    assert (await api.patch("/v1/service-points/absent", json={})).status_code == 404


async def test_a_meter_is_changed_on_its_newest_version_alone(api):
    await api.post("/v1/meters", json={"meter": "CHG-1", "profile": "nl_dsmr"})
    await api.post("/v1/service-points", json={"service_point": "SPX-2"})
    address = "/v1/meters/CHG-1"
    first = await api.get(address)
    tag = {"If-Match": first.headers["etag"]}
    change = {"interval_s": 1800, "service_point": "SPX-2", "key_hex": "0f" * 16}
    answer = await api.patch(address, json=change, headers=tag)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["interval_s"], body["service_point"], body["sealed"]) == (1800, "SPX-2", True)
    assert body["version"] == first.json()["version"] + 1
    again = await api.patch(address, json=change)
    assert again.headers["etag"] == answer.headers["etag"]
    late = await api.patch(address, json={"interval_s": 900}, headers=tag)
    assert late.status_code == 412
    assert (await api.get(address)).json()["interval_s"] == 1800
    anybody = await api.patch(address, json={"interval_s": 900}, headers={"If-Match": "*"})
    assert anybody.json()["interval_s"] == 900
    for wrong in ({"profile": "no_such"}, {"service_point": "absent"}, {"meter": "CHG-2"}):
        assert (await api.patch(address, json=wrong)).status_code == 422, wrong
    assert (await api.patch("/v1/meters/absent", json={})).status_code == 404


async def test_a_period_that_is_over_is_sent_once(api):
    end = datetime.now(UTC) - timedelta(hours=2)
    period = {"period_from": "2020-01-01T00:00:00Z", "period_to": end.isoformat()}
    first = await api.get("/v1/meters/M0006/readings", params=period)
    tag = {"If-None-Match": first.headers["etag"]}
    second = await api.get("/v1/meters/M0006/readings", params=period, headers=tag)
    assert (second.status_code, second.content) == (304, b"")
    other = await api.get(
        "/v1/meters/M0006/readings", params=period | {"page_size": 1}, headers=tag
    )
    assert other.status_code == 200
    still_open = {"period_to": (end + timedelta(days=2)).isoformat()}
    running = await api.get("/v1/meters/M0006/readings", params=still_open)
    assert "etag" not in running.headers


async def test_one_meters_readings_as_a_spreadsheet(api):
    answer = await api.get("/v1/meters/M0006/readings?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    listed = (await api.get("/v1/meters/M0006/readings?page_size=10000")).json()["items"]
    assert len(rows) == len(listed) > 200
    assert [int(row["value"]) for row in rows] == [one["value"] for one in listed]


@pytest.mark.parametrize(
    ("query", "count"),
    [("gateway=gw1&kind=gateway_online", 1), ("gateway=absent", 0), (PAST, 0)],
)
async def test_events_by_gateway_and_time(api, query, count):
    assert len((await api.get(f"/v1/events?{query}")).json()["items"]) == count


async def test_green_button_has_what_is_stored(api, site, neighbour):
    start = datetime(2026, 1, 5, tzinfo=UTC)
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        admin.execute(
            "insert into bulk.interval select m.id, c.id, %s + n * interval '15 minutes', n, 900,"
            " case n when 7 then 8 else 0 end, 0, 0, 1, now(), null"
            " from ohmesh.meter m, ohmesh.channel c, generate_series(1, 96) n"
            " where m.name = 'M0008' and c.name = 'el.energy.import' on conflict do nothing",
            (start,),
        )
    period = {"period_from": "2026-01-05T00:00:00Z", "period_to": "2026-01-06T00:00:00Z"}
    answer = await api.get("/v1/greenbutton/meters/M0008", params=period)
    assert answer.headers["content-type"] == "application/atom+xml", answer.text
    space = "{http://naesb.org/espi}"
    root = ET.fromstring(answer.content)
    values = [int(r.find(f"{space}value").text) for r in root.iter(f"{space}IntervalReading")]
    assert values == list(range(1, 97))
    quality = [int(q.text) for q in root.iter(f"{space}quality")]
    assert (quality[6], quality.count(17)) == (8, 95)
    assert next(root.iter(f"{space}dstStartRule")).text == "3E0E2000"
    assert (await neighbour.get("/v1/greenbutton/meters/M0008")).status_code == 404
    long = await api.get("/v1/greenbutton/meters/M0008?period_from=1990-01-01T00:00:00Z")
    assert long.status_code == 422
