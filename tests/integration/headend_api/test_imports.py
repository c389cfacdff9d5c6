"""Files of meters and of history: what goes in, what is refused, what changes nothing."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from api_site import OTHER, READER, client_of
from seeding import HOSTILE

from headend.store import db

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
DAY = datetime(2026, 2, 1, tzinfo=UTC)


async def send(client, what, content, kind=CSV, **query):
    if isinstance(content, str):
        content = content.encode()
    return await client.post(
        f"/v1/imports/{what}", content=content, params=query, headers={"Content-Type": kind}
    )


def parquet(table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def sums(report):
    return report["lines"], report["added"], report["unchanged"], report["refused"]


METERS = """meter;profile;interval_s;node;key_hex;service_point;zone;x_m;y_m;transformer;feeder;area
IMP-1;nl_dsmr;900;4001;000102030405060708090a0b0c0d0e0f;IMP-SP1;Europe/Rome;12.5;40;TR-9;F-9;A-9
IMP-2;nl_dsmr;1800;;;IMP-SP1;;;;;;
IMP-3;no_such_profile;900;;;;;;;;;
IMP-1;nl_dsmr;900;4002;;;;;;;;
IMP-4;nl_dsmr;900;4001;;;;;;;;
=cmd|x;nl_dsmr;900;;;;;;;;;
IMP-5;nl_dsmr;fast;;;;;;;;;
IMP-6;nl_dsmr;900;;;;Mars/Olympus;;;;;
IMP-7;nl_dsmr
THEIRS;nl_dsmr;900;;;;;;;;;
"""


async def test_meters_of_a_file(api, neighbour):
    theirs = (await neighbour.get("/v1/meters")).json()["items"][0]["meter"]
    text = METERS.replace("THEIRS", theirs)
    dry = (await send(api, "meters", text, dry_run=True)).json()
    assert (await api.get("/v1/meters/IMP-1")).status_code == 404
    answer = await send(api, "meters", text)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert sums(report) == (10, 2, 0, 8)
    assert {**dry, "dry_run": False} == report
    assert [one["line"] for one in report["faults"]] == list(range(4, 12))
    words = "\n".join(one["detail"] for one in report["faults"])
    for word in ("no_such_profile", "line 2 already", "interval_s", "zone", "2 fields", "exists"):
        assert word in words, words
    one = (await api.get("/v1/meters/IMP-1")).json()
    assert (one["address"], one["sealed"], one["zone"]) == (
        "mesh-00000fa1",
        True,
        "Europe/Rome",
    )
    assert (one["x_m"], one["y_m"]) == (12.5, 40)
    points = (await api.get("/v1/service-points?feeder=F-9")).json()["items"]
    assert [(p["service_point"], p["transformer"], p["area"], p["meters"]) for p in points] == [
        ("IMP-SP1", "TR-9", "A-9", 2)
    ]
    again = (await send(api, "meters", text)).json()
    assert sums(again) == (10, 0, 2, 8)


async def test_meters_as_parquet(api):
    table = pa.table(
        {
            "meter": ["IMP-P1", "IMP-P2", HOSTILE],
            "profile": ["nl_dsmr"] * 3,
            "node": pa.array([4100, None, 4102], pa.int64()),
            "x_m": [1.0, None, 2.0],
        }
    )
    report = (await send(api, "meters", parquet(table), PARQUET)).json()
    assert sums(report) == (3, 2, 0, 1)
    assert report["faults"][0]["line"] == 3
    assert sums((await send(api, "meters", parquet(table), PARQUET)).json()) == (3, 0, 2, 1)


def stored(site, meter):
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        return admin.execute(
            "select c.name, r.ts, r.value, r.status from bulk.reading r"
            " join ohmesh.meter m on m.id = r.meter_id join ohmesh.channel c on c.id = r.channel"
            " where m.name = %s order by 1, 2",
            (meter,),
        ).fetchall()


async def test_history_of_a_file(api, site):
    await send(api, "meters", "meter,profile\nIMP-H1,nl_dsmr\n")
    text = "meter,channel,time,value,unit,quality\n" + "".join(
        f"IMP-H1,el.energy.import,{DAY + timedelta(minutes=15 * i):%Y-%m-%dT%H:%M:%SZ},"
        f"{1 + i / 1000:.3f},kWh,{'estimated|edited' if i == 3 else ''}\n"
        for i in range(96)
    )
    bad = (
        f"IMP-H1,el.energy.import,{DAY:%Y-%m-%dT%H:%M:%SZ},9,kWh,\n"
        "IMP-H1,el.energy.import,2026-02-01T00:00:00,9,kWh,\n"
        "IMP-H1,el.energy.import,2999-02-01T00:00:00Z,9,kWh,\n"
        "IMP-H1,el.energy.import,2026-02-03T00:00:00Z,1e99,kWh,\n"
        "IMP-H1,el.energy.import,2026-02-03T00:00:00Z,0.0001,Wh,\n"
        "IMP-H1,el.energy.import,2026-02-03T00:00:00Z,1,V,\n"
        "IMP-H1,el.energy.import,2026-02-03T00:00:00Z,1,Wh,dubious\n"
        "IMP-H1,no.such.channel,2026-02-03T00:00:00Z,1,Wh,\n"
        "THEIRS,el.energy.import,2026-02-03T00:00:00Z,1,Wh,\n"
        "IMP-NONE,el.energy.import,2026-02-03T00:00:00Z,1,Wh,\n"
    )
    dry = (await send(api, "readings", text + bad, dry_run=True)).json()
    assert stored(site, "IMP-H1") == []
    report = (await send(api, "readings", text + bad)).json()
    assert sums(report) == (106, 96, 0, 10), report
    assert report == {**dry, "dry_run": False}
    rows = stored(site, "IMP-H1")
    assert [row["value"] for row in rows] == [1000 + i for i in range(96)]
    assert [row["status"] for row in rows if row["status"]] == [24]
    assert sums((await send(api, "readings", text + bad)).json()) == (106, 0, 96, 10)
    other = (await send(api, "readings", text.replace(",1.001,", ",7.5,"))).json()
    assert sums(other) == (96, 0, 95, 1)
    assert other["faults"] == [{"line": 3, "detail": "there is another value: 1001"}]
    assert stored(site, "IMP-H1") == rows


async def test_history_is_validated_and_rated_as_if_it_had_been_read(api, site):
    await send(api, "meters", "meter,profile\nIMP-H2,nl_dsmr\n")
    line = "meter,channel,time,value\nIMP-H2,el.energy.import,2026-02-01T10:15:00Z,5\n"
    await send(api, "readings", line)
    with db.connect(site.admin_url, name="test", autocommit=True) as admin:
        found = admin.execute(
            "select t.from_ts, t.to_ts, t.closes from ohmesh.meter m"
            " join bulk.touched t on t.meter_id = m.id where m.name = 'IMP-H2'"
        ).fetchall()
    at = datetime(2026, 2, 1, 10, 15, tzinfo=UTC)
    assert found == [{"from_ts": at, "to_ts": at, "closes": True}]


@pytest.mark.parametrize(("form", "kind"), [("csv", CSV), ("parquet", PARQUET)])
async def test_what_was_exported_goes_in_again(api, site, form, kind):
    query = "period_from=2020-01-01T00:00:00Z&period_to=2029-01-01T00:00:00Z&meter=M0003"
    file = (await api.get(f"/v1/readings?{query}&format={form}")).content
    count = len(stored(site, "M0003"))
    report = (await send(api, "readings", file, kind)).json()
    assert count > 90
    assert sums(report) == (count, 0, count, 0)


async def test_history_into_another_meter_equals_the_first(api, site):
    await send(api, "meters", "meter,profile\nIMP-COPY,nl_dsmr\n")
    query = "period_from=2020-01-01T00:00:00Z&period_to=2029-01-01T00:00:00Z&meter=M0004"
    file = (await api.get(f"/v1/readings?{query}&format=csv&delimiter=;&decimal=,")).text
    report = await send(api, "readings", file.replace("M0004", "IMP-COPY"), decimal=",")
    assert report.json()["refused"] == 0, report.text
    assert stored(site, "IMP-COPY") == stored(site, "M0004")


@pytest.mark.parametrize(
    ("content", "kind", "status", "word"),
    [
        (b"", CSV, 422, "lacks"),
        (b"\xff\xfe\x00", CSV, 422, "UTF-8"),
        (b"meter,profil\n", CSV, 422, "did you mean profile"),
        (b"meter,meter,profile\n", CSV, 422, "twice"),
        (b"x" * 100_000, CSV, 422, "no column"),
        (b"meter,profile\n", "application/json", 415, "text/csv"),
        (b"PAR1 no", PARQUET, 422, "no Parquet"),
        (b"", PARQUET, 422, "no Parquet"),
    ],
)
async def test_what_no_file_is(api, content, kind, status, word):
    answer = await send(api, "meters", content, kind)
    assert answer.status_code == status, answer.text
    assert word in answer.json()["detail"]


async def test_a_broken_line_harms_no_other(api):
    text = 'meter,profile\nIMP-B1,nl_dsmr\n"IMP"B2,nl_dsmr\n\nIMP-B3,nl_dsmr\n"IMP-B4,nl_dsmr\n'
    report = (await send(api, "meters", text)).json()
    assert (await api.get("/v1/meters/IMP-B1")).status_code == 200
    assert (await api.get("/v1/meters/IMP-B3")).status_code == 200
    assert report["added"] == 2
    assert report["refused"] >= 1


async def test_who_may_not(app):
    async with client_of(app, READER) as reader:
        for what in ("meters", "readings"):
            assert (await send(reader, what, "meter,profile\nX,nl_dsmr\n")).status_code == 403
    async with client_of(app, OTHER) as neighbour:
        line = "meter,channel,time,value\nM0001,el.energy.import,2026-02-01T10:15:00Z,5\n"
        report = (await send(neighbour, "readings", line)).json()
        assert sums(report) == (1, 0, 0, 1)
        assert report["faults"][0]["detail"] == "no meter 'M0001'"


def test_the_one_function_refuses_meters_of_others(site):
    """The API's own role, straight in SQL."""
    with db.connect(site.urls["api"], name="test") as role:
        ours = "select id from ohmesh.meter where name = 'M0001'"
        role.execute("select set_config('ohmesh.tenant', '1', true)")
        number = role.execute(ours).fetchone()["id"]
        role.execute("select set_config('ohmesh.tenant', '2', true)")
        with pytest.raises(Exception, match="somebody else"):
            role.execute(
                "select * from api.add_readings(array[%s], array[1], array[now()],"
                " array[1::bigint], array[0])",
                (number,),
            )


async def test_a_file_of_many_goes_in_and_again(api, site):
    """Above the gate's limit of a body; counts alone decide."""
    count = 9_000
    text = "meter,profile,address,key_hex\n" + "".join(
        f"BULK-{i:06d},nl_dsmr,{'x' * 58}{i:06d},{i:032x}\n" for i in range(count)
    )
    assert len(text) > 1 << 20
    try:
        assert sums((await send(api, "meters", text)).json()) == (count, count, 0, 0)
        assert sums((await send(api, "meters", text)).json()) == (count, 0, count, 0)
    finally:
        with db.connect(site.admin_url, name="test", autocommit=True) as admin:
            admin.execute("delete from ohmesh.meter where name like 'BULK-%'")


async def test_a_file_above_its_limit(api, monkeypatch):
    monkeypatch.setattr("headend.api.routes.imports.FILE_BYTES_MAX", 100)
    answer = await send(api, "meters", "meter,profile\n" + "IMP-L,nl_dsmr\n" * 20)
    assert answer.status_code == 413
