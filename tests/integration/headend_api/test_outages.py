"""Alarms, service points and routes over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headend.store import db
from headend.watch import Watch


def look(site):
    now = datetime.now(UTC) + timedelta(seconds=10)
    watch = Watch(url=site.urls["worker"], now=lambda: now)
    with db.connect(site.urls["worker"], name="test", autocommit=True) as worker:
        while watch.step(worker):
            pass


async def test_an_alarm_is_acknowledged_and_closed(site, api, neighbour):
    for name in ("O-1", "O-2"):
        body = {"meter": name, "profile": "nl_dsmr", "service_point": name}
        assert (await api.post("/v1/meters", json=body)).status_code == 201
        put = await api.put(f"/v1/service-points/{name}", json={"transformer": "TX", "feeder": "F"})
        assert put.json() | {"zone": ""} == {
            "service_point": name,
            "zone": "",
            "x_m": None,
            "y_m": None,
            "transformer": "TX",
            "feeder": "F",
            "area": None,
            "meters": 1,
        }
    found = (await api.get("/v1/service-points?transformer=TX")).json()["items"]
    assert [place["service_point"] for place in found] == ["O-1", "O-2"]
    with db.connect(site.urls["ingest"], name="test", autocommit=True) as ingest:
        ingest.execute(
            "insert into ohmesh.event (tenant_id, meter_id, at, kind)"
            " select tenant_id, id, now(), 'last_gasp' from ohmesh.meter where name like 'O-_'"
        )
    look(site)
    alarm = (await api.get("/v1/alarms?state=open")).json()["items"][0]
    assert (alarm["element_kind"], alarm["element"]) == ("transformer", "TX")
    assert (alarm["dark"], alarm["lit"], alarm["meters"]) == (2, 0, ["O-1", "O-2"])
    number = alarm["alarm"]
    for _ in range(2):
        answer = await api.post(f"/v1/alarms/{number}/acknowledge", json={"note": "van 7"})
        assert answer.status_code == 200
        assert (answer.json()["state"], answer.json()["acknowledged_by"]) == (
            "acknowledged",
            "operator",
        )
    theirs = await neighbour.post(f"/v1/alarms/{number}/close", json={})
    assert theirs.status_code == 404
    assert (await neighbour.get("/v1/alarms")).json()["items"] == []
    closed = await api.post(f"/v1/alarms/{number}/close", json={"note": "done"})
    assert (closed.json()["state"], closed.json()["closed_by"]) == ("closed", "operator")
    again = await api.post(f"/v1/alarms/{number}/acknowledge", json={})
    assert again.status_code == 409


async def test_the_mesh_then_and_now(site, api):
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        row = admin.execute(
            "select m.name, h.node, h.parent, h.from_ts from ohmesh.route_history h"
            " join ohmesh.meter m on m.address = 'mesh-' || lpad(to_hex(h.node), 8, '0')"
            " where m.tenant_id = 1 order by h.node limit 1"
        ).fetchone()
    changes = (await api.get(f"/v1/meters/{row['name']}/routes")).json()["items"]
    assert (changes[0]["parent"], changes[0]["until"]) == (row["parent"], None)
    at = row["from_ts"] + timedelta(seconds=1)
    then = (await api.get("/v1/topology", params={"at": at.isoformat()})).json()["nodes"]
    assert {n["node"]: n["parent"] for n in then}[row["node"]] == row["parent"]
    before = row["from_ts"] - timedelta(days=1)
    earlier = (await api.get("/v1/topology", params={"at": before.isoformat()})).json()["nodes"]
    assert {n["kind"] for n in earlier} <= {"gateway"}
