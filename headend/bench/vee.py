"""Benchmark of validation: intervals a minute from raw readings to roll-ups, and each rule's cost.

A fleet's registers stand in the database as ingest left them, half a percent missing; the clock
runs from the first look to the last roll-up. Then every meter tells one quarter-hour more at a
time, as a fleet does in the field. The cost of a rule is its share of what ingest costs in the
same process for the same number of readings: decoded, archived, committed.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from firmware_profiles import registry
from firmware_profiles.api import Report
from headend.bench.pipeline.servers import home_of, servers
from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.keystore import Keystore
from headend.mqtt import Delivery
from headend.service.fleet import NewGateway, NewMeter, register_gateway, register_meter
from headend.store import db
from headend.vee import parts, registers, rules, run, store
from headend.vee.grid import snap, take, trusted
from headend.vee.pump import Rulebook, Validator, micros
from ohmesh.model.ids import Address, GatewayId, MeterId
from ohmesh.model.reading import Reading
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.uplink import encode_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from headend.store.db import Connection

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
PROFILE: Final = "nl_dsmr"
CHANNELS: Final = ("el.energy.import", "el.energy.export")
DAYS, LIVE_ROUNDS, REPEATS = 3, 4, 5
TELEGRAMS: Final = 3000
CLASSES: Final = ((5, "0-5"), (20, "5-20"))


def vee(meters: int, admin_url: str | None = None) -> dict[str, Any]:
    """The benchmark's result; see `docs/benchmarks.md`."""
    with servers(admin_url, admin_url and "-") as lent:  # no broker is needed
        urls = home_of(lent)
        with db.connect(urls["api"], name="bench") as api, api.transaction():
            api.execute("select set_config('ohmesh.tenant', '1', true)")
            _register(api, meters)
        with (
            db.connect(urls["ingest"], name="bench", autocommit=True) as ingest,
            db.connect(urls["worker"], name="bench", autocommit=True) as worker,
        ):
            per_reading_s = _ingest(ingest, Writer(Keystore.from_file(lent.folder / "kek")), meters)
            _drain(worker, urls["worker"])
            _fill(ingest, meters)
            bulk = _drain(worker, urls["worker"])
            rates = _live(ingest, worker, urls["worker"], meters)
            costs = _costs(worker, per_reading_s)
            sizes = _bytes(worker)
    return {
        "intervals": bulk[0],
        "intervals_per_min": bulk[1],
        "live_intervals_per_min": min(rates),
        "ingest_us_per_reading": round(per_reading_s * 1e6, 2),
        "rules": costs,
        **sizes,
    }


def _register(api: Connection, meters: int) -> None:
    db.run(api, register_gateway(1, NewGateway(GatewayId("gw"))))
    for number in range(meters):
        name = f"M{number}"
        db.run(api, register_meter(1, NewMeter(MeterId(name), Address(name), PROFILE, 900)))


def _ingest(connection: Connection, writer: Writer, meters: int) -> float:
    """Seconds of ingest a reading; leaves the channels in the dictionary."""
    profile = registry.load(PROFILE)
    telegrams = []
    for number in range(TELEGRAMS):
        at = START - timedelta(minutes=15 * (number // meters + 1))
        readings = tuple(Reading(profile.spec.registers[name], 0, at) for name in CHANNELS)
        payload = profile.encode(Report("x", at, readings))
        name = Address(f"M{number % meters}")
        at_ms = int(at.timestamp() * 1000)
        telegrams.append(Telegram(TelegramKind.METER, "bench", name, PROFILE, at_ms, payload))
    spent_s, readings_count = 0.0, 0
    for first in range(0, TELEGRAMS, 500):
        message = encode_batch("gw", 1, first, telegrams[first : first + 500])
        begun = time.perf_counter()
        work, _ = sort([Delivery("ohmesh/v1/gw/gw/up", message)], 10**6)
        stored = writer.store(connection, work, now_ms=0)
        spent_s += time.perf_counter() - begun
        readings_count += stored.readings
    return spent_s / readings_count


def _fill(connection: Connection, meters: int) -> None:
    """Registers of some days as ingest leaves them, one in two hundred missing."""
    connection.execute(
        "insert into bulk.reading"
        " select m, c.id, %s::timestamptz + slot * interval '15 minutes',"
        " slot * (50 + m %% 7) + (slot * 37 + m) %% 40, 0"
        " from generate_series(1, %s) m, ohmesh.channel c, generate_series(0, %s) slot"
        " where (slot * 31 + m * 7) %% 200 <> 0 and c.name = any(%s) order by 1, 2, 3",
        (START, meters, DAYS * 96, list(CHANNELS)),
    )
    connection.execute(
        "insert into bulk.touched (meter_id, from_ts, to_ts)"
        " select m, d, d + interval '23 hours 45 minutes'"
        " from generate_series(%s::timestamptz, %s, interval '1 day') d, generate_series(1, %s) m",
        (START, START + timedelta(days=DAYS), meters),
    )


def _drain(connection: Connection, url: str) -> tuple[int, int]:
    """Until nothing is left to do: intervals made, and a minute's worth of them."""
    validator = Validator(url=url, now=lambda: NOW)
    before = _count(connection)
    begun = time.perf_counter()
    while validator.step(connection):
        pass
    spent_s = time.perf_counter() - begun
    made = _count(connection) - before
    return made, int(made / spent_s * 60)


def _count(connection: Connection) -> int:
    rows = connection.execute("select count(*) as n from bulk.interval").fetchall()
    return int(rows[0]["n"])


def _live(ingest: Connection, worker: Connection, url: str, meters: int) -> list[int]:
    rates = []
    for slot in range(DAYS * 96 + 1, DAYS * 96 + 1 + LIVE_ROUNDS):
        at = START + slot * timedelta(minutes=15)
        ingest.execute(
            "insert into bulk.reading select m, c.id, %s, %s * (60 + m %% 7), 0"
            " from generate_series(1, %s) m, ohmesh.channel c where c.name = any(%s)",
            (at, slot, meters, list(CHANNELS)),
        )
        ingest.execute(
            "insert into bulk.touched (meter_id, from_ts, to_ts)"
            " select m, %s, %s from generate_series(1, %s) m",
            (at, at, meters),
        )
        rates.append(_drain(worker, url)[1])
    return rates


def _costs(connection: Connection, per_reading_s: float) -> dict[str, dict[str, Any]]:
    """Each step's and rule's share of ingest."""
    book = Rulebook()
    asked = [
        store.Stretch(meter, micros(START), micros(START + timedelta(days=DAYS)), closes=False)
        for meter in range(1, 301)
    ]
    loaded = store.load(connection, asked, book.limits)
    readings, series, now_us = loaded.readings, loaded.series, micros(NOW)
    anchors, on_grid = snap(readings, series, book.limits)
    outcome = run.derive(readings, series, [], book.limits, now_us)
    intervals = outcome.intervals
    steps: dict[str, Callable[[], object]] = {
        "clock": lambda: take(readings, trusted(readings, now_us, run.AHEAD_US)),
        "grid": lambda: snap(readings, series, book.limits),
        "registers": lambda: registers.intervals(anchors, on_grid, series, []),
        "size": lambda: rules.size(anchors, series),
        "sum_and_phase": lambda: parts.judge(intervals, loaded, book.limits),
    }
    for named in rules.RULES:
        steps[named.check.name.lower()] = _bound(named.rule, intervals, series, book)
    total_s = per_reading_s * len(readings.series)
    return {name: _share(step, total_s) for name, step in steps.items()}


def _bound(rule: Any, intervals: Any, series: Any, book: Rulebook) -> Callable[[], object]:
    return lambda: rule(intervals, series, book.limits)


def _share(step: Callable[[], object], total_s: float) -> dict[str, Any]:
    """The best of some runs: what the step costs when nobody else is at work."""
    spent = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        step()
        spent.append(time.perf_counter() - begun)
    percent = 100 * min(spent) / total_s
    return {
        "percent": round(percent, 3),
        "class": next((name for limit, name in CLASSES if percent <= limit), ">20"),
    }


def _bytes(connection: Connection) -> dict[str, float]:
    found: dict[str, float] = {}
    for table in ("reading", "interval"):
        rows = connection.execute(
            "select (select sum(pg_total_relation_size(relid))"  # noqa: S608 - names of ours
            f" from pg_partition_tree(%s)) as bytes, (select count(*) from bulk.{table}) as n",
            (f"bulk.{table}",),
        ).fetchall()
        found[f"bytes_per_{table}"] = round(float(rows[0]["bytes"]) / rows[0]["n"], 1)
    return found
