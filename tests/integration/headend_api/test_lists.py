"""Lists: pages without gap and without double, filters, ranges."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from api_site import OURS, client_of, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeding import CHANNELS, DAY, START, street

from headend.store import db

END = START + timedelta(days=1)


async def all_pages(client, path: str, params: list[tuple[str, str]]) -> list[dict]:
    """Follow the cursors to the end; a list that does not end fails."""
    found, cursor = [], None
    for _ in range(2000):
        more = [("cursor", cursor)] if cursor else []
        answer = await client.get(path, params=[*params, *more])
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        cursor = page["next"]
        assert ("link" in answer.headers) == (cursor is not None)
        if cursor is None:
            return found
    raise AssertionError("the list does not end")


_moments = st.integers(-40, 40 * 96).map(lambda n: START + timedelta(minutes=n))


@given(
    size=st.integers(1, 120),
    order=st.sampled_from(["asc", "desc"]),
    channels=st.sets(st.sampled_from([c[0] for c in CHANNELS])),
    bounds=st.tuples(_moments, _moments).map(sorted),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_readings_come_once_each_whatever_the_page(site, size, order, channels, bounds):
    """The pages together are the rows of the table, in order."""
    low, high = bounds
    params = [
        ("page_size", str(size)),
        ("order", order),
        ("period_from", low.isoformat()),
        ("period_to", high.isoformat()),
        *(("channel", name) for name in sorted(channels)),
    ]
    async with running(site) as app, client_of(app) as client:
        items = await all_pages(client, "/v1/meters/M0005/readings", params)
    with db.connect(site.admin_url, name="test") as connection:
        rows = connection.execute(
            "select c.name, r.ts, r.value from bulk.reading r"
            " join ohmesh.channel c on c.id = r.channel join ohmesh.meter m on m.id = r.meter_id"
            " where m.name = 'M0005' and r.ts >= %s and r.ts < %s"
            " and (%s or c.name = any(%s)) order by r.ts, r.channel",
            (low, high, not channels, list(channels)),
        ).fetchall()
    stored = [(r["name"], r["ts"].astimezone(UTC), r["value"]) for r in rows]
    shown = [(i["channel"], datetime.fromisoformat(i["time"]), i["value"]) for i in items]
    assert shown == (stored if order == "asc" else stored[::-1])


@pytest.mark.parametrize("size", [1, 7, 60, 1000])
async def test_meters_come_once_each(api, size):
    items = await all_pages(api, "/v1/meters", [("page_size", str(size)), ("prefix", "M0")])
    assert [i["meter"] for i in items] == [home.meter for home in street()]


async def test_rows_that_come_between_two_pages_make_no_double(site, api):
    """A keyset does not move when something is put before it."""
    first = (await api.get("/v1/events?page_size=1")).json()
    with db.connect(site.admin_url, name="test") as connection:
        connection.execute(
            "insert into ohmesh.event (tenant_id, at, kind) values (%s, now(), 'between')", (OURS,)
        )
        connection.commit()
    second = (await api.get("/v1/events", params={"page_size": 1, "cursor": first["next"]})).json()
    assert second["items"][0]["id"] < first["items"][0]["id"]


@pytest.mark.parametrize("name", ["gateways", "quarantine", "tariffs", "events", "accounts"])
async def test_other_lists_page_too(api, name):
    whole = (await api.get(f"/v1/{name}?page_size=1000")).json()["items"]
    assert len(whole) >= 1
    assert await all_pages(api, f"/v1/{name}", [("page_size", "1")]) == whole


async def test_a_reading_says_what_it_is(api):
    answer = await api.get(
        "/v1/meters/M0001/readings",
        params={"channel": "el.voltage.l1", "order": "desc", "page_size": 1},
    )
    assert answer.json()["items"] == [
        {
            "channel": "el.voltage.l1",
            "time": "2026-03-02T00:00:00Z",
            "value": 2290 + (95 * 7 + 1) % 40,
            "scaler": -1,
            "unit": "V",
            "quality": [],
        }
    ]


async def test_period_from_is_in_and_period_to_is_out(api):
    bounds = {"period_from": "2026-03-01T01:00:00Z", "period_to": "2026-03-01T02:00:00+00:00"}
    answer = await api.get(
        "/v1/meters/M0001/readings", params={**bounds, "channel": "el.energy.import"}
    )
    times = [i["time"][11:16] for i in answer.json()["items"]]
    assert times == ["01:00", "01:15", "01:30", "01:45"]


async def test_a_zone_is_heeded(api):
    local = {"period_from": "2026-03-01T02:00:00+01:00", "period_to": "2026-03-01T03:00:00+01:00"}
    utc = {"period_from": "2026-03-01T01:00:00Z", "period_to": "2026-03-01T02:00:00Z"}
    path = "/v1/meters/M0001/readings"
    answers = [(await api.get(path, params=p)).json()["items"] for p in (local, utc)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 4 * len(CHANNELS)


async def test_quality_flags_have_names(site, api):
    with db.connect(site.admin_url, name="test") as connection:
        connection.execute(
            "insert into bulk.reading select m.id, c.id, %s, 7, 9 from ohmesh.meter m,"
            " ohmesh.channel c where m.name = 'M0060' and c.name = 'el.power.import'",
            (START - timedelta(days=1),),
        )
        connection.commit()
    answer = await api.get("/v1/meters/M0060/readings?page_size=1")
    assert answer.json()["items"][0]["quality"] == ["clock_invalid", "estimated"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("page_size=0", "/query/page_size"),
        ("page_size=10001", "/query/page_size"),
        ("page_size=ten", "/query/page_size"),
        ("order=up", "/query/order"),
        ("period_from=yesterday", "/query/period_from"),
        ("period_from=2026-03-01T00:00:00", "/query/period_from"),
        ("period_from=0", "/query/period_from"),
        ("period_from=1e400", "/query/period_from"),
        ("period_to=0001-01-01T00:00:00%2B14:00", "/query/period_to"),
        ("period_to=9999-12-31T23:59:59-12:00", "/query/period_to"),
        ("channel=%00", "/query/channel/0"),
        ("channel=" + "x" * 81, "/query/channel/0"),
        ("limit=5", "/query/limit"),
    ],
)
async def test_a_wrong_query_is_named(api, query, pointer):
    answer = await api.get(f"/v1/meters/M0001/readings?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_thousand_years_are_a_short_question(api):
    """The cost follows the page, not the range."""
    bounds = {"period_from": "1900-01-01T00:00:00Z", "period_to": "2900-01-01T00:00:00Z"}
    answer = await api.get("/v1/meters/M0001/readings", params={**bounds, "page_size": 10_000})
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == DAY * len(CHANNELS)
    report = await api.get("/v1/reports/read-success", params=bounds)
    assert report.status_code == 422


@pytest.mark.parametrize("cursor", ["", "x", "A" * 512, "!!!", "%00", "W10", "ä"])
async def test_a_made_up_cursor_is_refused(api, cursor):
    answer = await api.get("/v1/meters", params={"cursor": cursor})
    if cursor:
        assert answer.status_code == 422
        assert answer.json()["type"] == "/problems/invalid-cursor"


async def test_a_cursor_belongs_to_its_filters(api):
    cursor = (await api.get("/v1/meters?page_size=2")).json()["next"]
    for other in ("/v1/meters?profile=nl_dsmr", "/v1/gateways", "/v1/accounts"):
        mark = "&" if "?" in other else "?"
        answer = await api.get(f"{other}{mark}cursor={cursor}")
        assert answer.status_code == 422, other


async def test_filters_of_meters(api):
    def ids(answer):
        return {i["meter"] for i in answer.json()["items"]}

    by_gateway = {
        g: ids(await api.get(f"/v1/meters?gateway={g}&page_size=1000")) for g in ("gw1", "gw2")
    }
    assert by_gateway["gw1"] | by_gateway["gw2"] == {home.meter for home in street()}
    assert not by_gateway["gw1"] & by_gateway["gw2"]
    assert ids(await api.get("/v1/meters?profile=no_han")) == set()
    silent = await api.get("/v1/meters?silent_since=2020-01-01T00:00:00Z&prefix=M0")
    assert ids(silent) == set()


async def test_the_mesh_hangs_together(api):
    """Every parent is a node of the picture and one hop nearer."""
    nodes = {n["node"]: n for n in (await api.get("/v1/topology")).json()["nodes"]}
    meters = [n for n in nodes.values() if n["kind"] == "meter" and n["parent"] is not None]
    assert len(meters) == 60
    for node in meters:
        assert nodes[node["parent"]]["hops"] == node["hops"] - 1
        assert node["x_m"] is not None
        assert node["behind"] == 0


@pytest.fixture
async def own_api(own_site):
    async with running(own_site) as app, client_of(app) as client:
        yield client


async def test_read_success_counts_what_is_due(own_api):
    """Six quarter-hours are missing at four meters; 1 of them is another utility's business."""
    report = (
        await own_api.get(
            "/v1/reports/read-success",
            params={"period_from": START.isoformat(), "period_to": END.isoformat()},
        )
    ).json()
    assert report["expected"] == 60 * DAY
    missing = {f"M{n:04d}" for n in range(1, 61) if n % 17 == 5}
    assert {w["meter"] for w in report["worst"]} == missing
    assert report["stored"] == report["expected"] - 6 * len(missing)
    assert report["ratio_ppm"] == report["stored"] * 1_000_000 // report["expected"]


@pytest.mark.parametrize(
    ("when", "status"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), 0),
        (datetime.now(UTC), 2),
        (datetime(2099, 1, 1, tzinfo=UTC), 0),
    ],
)
async def test_one_wrong_clock_does_not_move_the_fleet_s(site, api, when, status):
    """A stamp of the past, of the gateway or of the far future: the window stays where it was."""
    before = (await api.get("/v1/reports/read-success")).json()
    assert before["newest"] == "2026-03-02T00:00:00Z"
    with db.connect(site.admin_url, name="test", autocommit=True) as connection:
        row = connection.execute(
            "insert into ohmesh.meter (tenant_id, name, address, profile, interval_s)"
            " values (%s, 'Clock', 'Clock', 'nl_dsmr', 900) returning id",
            (OURS,),
        ).fetchone()
        connection.execute(
            "insert into bulk.reading select %s, id, %s, 1, %s from ohmesh.channel"
            " where name = 'el.energy.import'",
            (row["id"], when, status),
        )
        after = (await api.get("/v1/reports/read-success")).json()
        connection.execute("delete from bulk.reading where meter_id = %s", (row["id"],))
        connection.execute("delete from ohmesh.meter where id = %s", (row["id"],))
    assert {**after, "meters": 0, "meters_not_counted": 0} == {
        **before,
        "meters": 0,
        "meters_not_counted": 0,
    }


async def test_read_success_of_half_a_day_counts_half_the_slots(own_api):
    middle = START + timedelta(hours=12)
    halves = [
        (
            await own_api.get("/v1/reports/read-success", params={"period_from": a, "period_to": b})
        ).json()
        for a, b in itertools.pairwise((START.isoformat(), middle.isoformat(), END.isoformat()))
    ]
    assert sum(h["expected"] for h in halves) == 60 * DAY
    assert halves[0]["stored"] + halves[1]["stored"] == 60 * DAY - 6 * 4


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/reports/read-success?channel=el.energy.imprt", "/v1/channels"),
        ("/v1/topology?at=2026-03-01T12:00:00+01:00", "%2B"),
        ("/v1/topology?at=2026-03-01T12:00:00.5+0100", "%2B"),
    ],
)
async def test_a_question_that_cannot_be_meant_is_refused_with_what_to_do(api, path, said):
    answer = await api.get(path)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


async def test_a_body_that_is_called_a_form_is_told_its_content_type(api):
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await api.post("/v1/gateways", content=b'{"gateway": "gw-form"}', headers=form)
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["detail"]
    assert (await api.get("/v1/gateways/gw-form")).status_code == 404
