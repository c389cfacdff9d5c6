"""Exports: all of it, once each, the caller's own, in every format the same."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from seeding import START

from headend.api.export import lists
from headend.api.routes import exports
from headend.store import db

PERIOD = {"period_from": START.isoformat(), "period_to": "2030-01-01T00:00:00Z"}


async def export(client, **query):
    answer = await client.get("/v1/readings", params={**PERIOD, **query})
    assert answer.status_code == 200, answer.text
    return answer


def stored(site, tenant: int) -> list[tuple]:
    with db.connect(site.admin_url, name="test") as connection:
        rows = connection.execute(
            "select m.name as meter, c.name as channel, r.ts, r.value, c.scaler"
            " from bulk.reading r join ohmesh.channel c on c.id = r.channel"
            " join ohmesh.meter m on m.id = r.meter_id"
            " where m.tenant_id = %s and r.ts >= %s order by m.name, r.channel, r.ts",
            (tenant, START),
        ).fetchall()
    return [(r["meter"], r["channel"], r["ts"], r["value"], r["scaler"]) for r in rows]


@pytest.mark.parametrize("meters_a_block", [1, 7, 5000])
async def test_a_file_holds_what_the_table_holds(site, api, monkeypatch, meters_a_block):
    monkeypatch.setattr(exports, "METERS_A_BLOCK", meters_a_block)
    truth = stored(site, 1)
    assert len(truth) > 5000
    found = pq.read_table(io.BytesIO((await export(api, format="parquet")).content)).to_pylist()
    assert [(r["meter"], r["channel"], r["time"], r["value"], r["scaler"]) for r in found] == truth
    stream = await export(api, format="arrow")
    assert pa.ipc.open_stream(stream.content).read_all().to_pylist() == found


async def test_a_csv_is_the_same_in_its_unit(site, api):
    answer = await export(api, delimiter=";", decimal=",", bom="true")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "readings.csv" in answer.headers["content-disposition"]
    lines = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=";")
    next(lines)
    assert [
        (meter, channel, datetime.fromisoformat(time), Decimal(value.replace(",", ".")))
        for meter, channel, time, value, _, _ in lines
    ] == [(m, c, t, Decimal(v).scaleb(scaler)) for m, c, t, v, scaler in stored(site, 1)]


async def test_another_utility_gets_its_own(site, neighbour):
    table = pq.read_table(io.BytesIO((await export(neighbour, format="parquet")).content))
    assert {name[:2] for name in table["meter"].to_pylist()} == {"B-"}
    assert table.num_rows == len(stored(site, 2)) > 0
    nothing = await export(neighbour, format="parquet", meter="M0005")
    assert pq.read_table(io.BytesIO(nothing.content)).num_rows == 0


async def test_filters_leave_the_rest_away(api):
    table = pq.read_table(
        io.BytesIO(
            (await export(api, format="parquet", prefix="M000", channel="el.energy.import")).content
        )
    )
    assert set(table["meter"].to_pylist()) == {f"M000{i}" for i in range(1, 10)}
    assert set(table["channel"].to_pylist()) == {"el.energy.import"}


@pytest.mark.parametrize(
    "query",
    [
        {"format": "json"},
        {"format": "pdf"},
        {"period_to": START.isoformat()},
        {"period_from": "1900-01-01T00:00:00Z", "period_to": "2900-01-01T00:00:00Z"},
        {"period_from": "yesterday"},
        {"delimiter": "|"},
        {"delimiter": ",", "decimal": ","},
        {"meter": "M'; drop table ohmesh.meter; --"},
        {"nonsense": "1"},
    ],
)
async def test_what_makes_no_sense_is_refused(api, query):
    answer = await api.get("/v1/readings", params={**PERIOD, **query})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


LISTS = (
    *("/v1/meters", "/v1/gateways", "/v1/quarantine", "/v1/commands", "/v1/events", "/v1/accounts"),
    *("/v1/accounts/A-1/transfers", "/v1/audit", "/v1/keys", "/v1/vee/exceptions"),
)


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_is_a_file_with_every_row(api, monkeypatch, path):
    monkeypatch.setattr(lists, "ROWS_A_PAGE", 7)
    listed = (await api.get(path, params={"page_size": 1000})).json()
    assert listed["next"] is None
    text = await api.get(path, params={"format": "csv"})
    assert text.status_code == 200, text.text
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert len(rows) == len(listed["items"])
    for row, item in zip(rows, listed["items"], strict=True):
        assert row.keys() == item.keys()
        empty = [k for k, v in item.items() if v is None or v == ""]
        assert empty == [k for k, v in row.items() if not v]
    book = await api.get(path, headers={"accept": lists.Format.XLSX.value})
    assert book.content.startswith(b"PK")
    with zipfile.ZipFile(io.BytesIO(book.content)) as parts:
        assert parts.read("xl/worksheets/sheet1.xml").count(b"<row ") == len(rows) + 1


async def test_a_list_as_a_file_keeps_filters_and_eyes(api, neighbour):
    found = (await api.get("/v1/meters?format=csv&prefix=M000")).text.splitlines()
    assert len(found) == 10
    theirs = (await neighbour.get("/v1/meters?format=csv")).text
    assert len(theirs.splitlines()) == 9
    assert all(line.startswith("B-") for line in theirs.splitlines()[1:])
    assert (await api.get("/v1/meters?format=pdf")).status_code == 422
