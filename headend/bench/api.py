"""Benchmark of the API: answers over HTTP beside the same SQL through psycopg, in the same run.

The API runs in a process of its own on loopback, under its own database role; the database is on
the same machine, and so is who asks. The fleet's data is made in SQL: meters with a month of
quarter-hours for a few of them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from headend.api.services import SQL as API_SQL
from headend.bench.beside import beside
from headend.bench.pipeline.servers import home_of, servers
from headend.bench.serving import answered, cpu_s, loop_factory, serving_by
from headend.security.secrets import digest
from headend.store import db

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
END: Final = START + timedelta(days=31)
DEEP_METERS: Final = 90
EXPORTED: Final = DEEP_METERS * 31 * 96
CALLERS: Final = 16
_FILL: Final = (
    (
        "insert into ohmesh.meter (tenant_id, name, address, profile, interval_s)"
        " select 1, 'M' || to_char(n, 'FM000000'), 'M' || to_char(n, 'FM000000'), 'nl_dsmr', 900"
        " from generate_series(1, %s) n"
    ),
    (
        "insert into ohmesh.channel (name, obis, unit, scaler)"
        " values ('el.energy.import', '1-0:1.8.0', 'Wh', 0)"
    ),
    (
        "insert into bulk.rollup_day select m.id, c.id, d::date, 9000 + m.id, 96, 96, 300"
        " from (select id from ohmesh.meter order by name limit %s) m, ohmesh.channel c,"
        " generate_series(timestamp '2026-01-10', '2026-01-16', interval '1 day') d"
    ),
    (
        "insert into bulk.reading select m.id, c.id, t, (extract(epoch from t) / 9)::bigint, 0"
        " from (select id from ohmesh.meter order by name limit %s) m, ohmesh.channel c,"
        " generate_series(timestamptz '2026-01-01+00', '2026-01-31 23:45+00', interval '15 min') t"
    ),
)

KINDS: Final = (
    *("/v1/meters/{}", "/v1/meters/{}/registers"),
    *("/v1/meters?page_size=20", "/v1/events"),
)
_USAGE: Final = "/v1/usage/daily?first=2026-01-15&last=2026-01-15"


def api(
    meters: int, requests: int, streams: int, admin_url: str | None = None, workers: int = 1
) -> dict[str, Any]:
    """The benchmark's result; see `docs/benchmarks.md`."""
    with servers(admin_url, admin_url and "-") as lent:  # no broker is needed
        urls = home_of(lent)
        token, hostile, other = tokens = [secrets.token_urlsafe(32) for _ in range(3)]
        _fill(lent.database, meters, tokens)
        with serving_by(urls["api"], workers) as (port, pids):
            raw_s = _raw(urls["api"], requests)
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                measured = runner.run(_measure(port, token, pids, (requests, streams)))
        measured |= beside(urls["api"], (token, hostile, other), requests)
    raw = {"raw_month_p50_ms": _p_ms(raw_s, 0.5), "raw_month_p99_ms": _p_ms(raw_s)}
    sizes = {"meters": meters, "workers": workers}
    return {**sizes, **_headline(raw, measured), **raw, **measured}


def _headline(raw: dict[str, float], measured: dict[str, Any]) -> dict[str, Any]:
    """The four figures that stand for all; `p99_ms` is that of the mixed reads."""
    return {
        "requests_per_s": measured["mixed_requests_per_s"],
        "p99_ms": measured["mixed_p99_ms"],
        "ratio_to_sql": round(measured["month_p99_ms"] / raw["raw_month_p99_ms"], 2),
        "sse_clients": measured["streams"],
    }


def _fill(database_url: str, meters: int, tokens: Sequence[str]) -> None:
    """A fleet of one tenant, and keys: two of its own and one of another tenant."""
    url = database_url.rpartition("/")[0] + "/ohmesh_bench"
    with db.connect(url, name="bench", autocommit=True) as admin:
        for statement, count in zip(_FILL, (meters, None, meters, DEEP_METERS), strict=True):
            admin.execute(statement, None if count is None else (count,))
        other = admin.execute(
            "insert into ohmesh.tenant (name) values ('other') returning id"
        ).fetchall()[0]["id"]
        for number, (tenant, token) in enumerate(zip((1, 1, other), tokens, strict=True)):
            admin.execute(
                "insert into ohmesh.api_key (tenant_id, name, digest, scopes, person)"
                " values (%s, %s, %s, array['fleet:read'], 'bench')",
                (tenant, f"bench-{number}", digest(token)),
            )
        admin.execute("analyze")


def _raw(url: str, requests: int) -> list[float]:
    """Seconds of the question for a month of one meter, straight from the database."""
    taken = []
    with db.connect(url, name="bench", autocommit=True) as role:
        for i in range(requests):
            began = time.perf_counter()
            with db.tenant(role, 1):
                meter = db.rows(
                    role, API_SQL("find_meter_id", tenant_id=1, name=_name(i % DEEP_METERS))
                )[0]
                channels = [row["id"] for row in db.rows(role, API_SQL("channels"))]
                statement = API_SQL(
                    "readings_up",
                    tenant_id=1,
                    meter_id=meter["id"],
                    channels=channels,
                    from_ts=START,
                    to_ts=END,
                    after_channel=-1,
                    limit=10_001,
                )
                role.execute(statement.sql, statement.params, binary=True).fetchall()
            taken.append(time.perf_counter() - began)
    return taken


def _name(number: int) -> str:
    return f"M{number + 1:06d}"


def _month(number: int) -> str:
    return (
        f"/v1/meters/{_name(number % DEEP_METERS)}/readings?page_size=10000"
        "&period_from=2026-01-01T00:00:00Z&period_to=2026-02-01T00:00:00Z"
    )


async def _measure(
    port: int, token: str, pids: list[int], sizes: tuple[int, int]
) -> dict[str, Any]:
    requests, streams = sizes
    limits = httpx.Limits(max_connections=streams + CALLERS)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
        limits=limits,
    ) as client:
        for i in range(10):  # connections and caches, on both sides as in a running system
            await _timed(client, _month(i))
        month = [await _timed(client, _month(i)) for i in range(requests)]
        page = [await _timed(client, "/v1/meters?page_size=100") for _ in range(requests)]
        mixed_s, mixed = await _mixed(port, token, _paths(KINDS, requests * 10))
        cpu = {
            f"cpu_ms_{kind}": await _cpu_ms(port, token, pids, _paths((path,), requests * 5))
            for kind, path in zip(("meter", "registers", "page", "events"), KINDS, strict=True)
        }
        usage = [await _timed(client, _USAGE) for _ in range(3)]
        await _export(client)  # the first one loads pyarrow
        exports = [await _export(client) for _ in range(5)]
        memory = await _streams(client, pids, streams)
    return {
        "month_p50_ms": _p_ms(month, 0.5),
        "month_p99_ms": _p_ms(month),
        "meter_page_p99_ms": _p_ms(page),
        "mixed_requests_per_s": round(len(mixed) / mixed_s),
        "mixed_p99_ms": _p_ms(mixed),
        **cpu,
        "usage_of_fleet_day_ms": _p_ms(usage, 0.5),
        "parquet_rows_per_s": round(EXPORTED / sorted(exports)[2]),
        **memory,
    }


async def _timed(client: httpx.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await client.get(path)
    answer.raise_for_status()
    return time.perf_counter() - began


async def _mixed(port: int, token: str, paths: Iterator[str]) -> tuple[float, list[float]]:
    """Seconds of all and of each, CALLERS at a time.

    A client library costs more than the server that it asks: here octets go and come.
    """
    head = f"HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"

    async def caller() -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        taken = [await answered(reader, writer, f"GET {path} {head}".encode()) for path in paths]
        writer.close()
        return taken

    began = time.perf_counter()
    taken = await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return time.perf_counter() - began, [one for part in taken for one in part]


async def _cpu_ms(port: int, token: str, pids: list[int], paths: Iterator[str]) -> float:
    """Milliseconds that the servers compute for each request."""
    before_s = sum(map(cpu_s, pids))
    _, taken = await _mixed(port, token, paths)
    return round((sum(map(cpu_s, pids)) - before_s) * 1000 / len(taken), 2)


def _paths(kinds: Sequence[str], requests: int) -> Iterator[str]:
    """Of a meter, its registers, a page of meters, events: by turns."""
    for i in range(requests):
        yield kinds[i % len(kinds)].format(_name(i % DEEP_METERS))


async def _export(client: httpx.AsyncClient) -> float:
    return await _timed(
        client,
        "/v1/readings?format=parquet&prefix=M0000"
        "&period_from=2026-01-01T00:00:00Z&period_to=2026-02-01T00:00:00Z",
    )


async def _streams(client: httpx.AsyncClient, pids: list[int], streams: int) -> dict[str, int]:
    """Kilobytes that each listener costs, and how much more after some seconds of listening."""
    before = _resident_kb(pids)
    opened = [
        await client.send(client.build_request("GET", "/v1/stream"), stream=True)
        for _ in range(streams)
    ]
    await asyncio.sleep(2)
    first = _resident_kb(pids)
    await asyncio.sleep(5)
    later = _resident_kb(pids)
    for one in opened:
        await one.aclose()
    return {
        "streams": streams,
        "stream_kb_each": round((first - before) / max(1, streams)),
        "stream_kb_later": later - first,
    }


def _resident_kb(pids: Sequence[int]) -> int:
    texts = (Path(f"/proc/{pid}/status").read_text(encoding="ascii") for pid in pids)
    return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in texts)


def _p_ms(taken: list[float], part: float = 0.99) -> float:
    return round(sorted(taken)[int(len(taken) * part)] * 1000, 2)
