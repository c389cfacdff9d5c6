"""`ohmesh bench ingest` and `ohmesh bench direct`: real broker, real database, programs apart.

The yardstick of the same run: the rows just stored, copied in binary into a table of the same
shape with the same primary key on the same server, one transaction per 10 000 rows.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from headend.bench.pipeline.servers import Child, Servers, cpu_s, ingest, peak_mib
from headend.bench.pipeline.traffic import START, Street, channels
from headend.store import bootstrap, db

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROW_BYTES, _HEADER_BYTES = 50, 19
_COPY_ROWS = 10_000
_PACED_BATCH = 50
_PACED_SHARE = 0.2
_PACED_S = 6.0
_REAL_TIME_PER_S = 300_000 * 4 / 900
"""Readings a second of 300 000 meters with four channels every quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is sent.

    Attributes:
        telegrams: of the common path, ten registers each.
        fleet: meters of the large fleet; a thirtieth of them is the small one.
        messages: of the direct path.
        modems: meters that send them.
        garbage: every how many-th of them is garbage, 0: none.
    """

    telegrams: int
    fleet: int
    messages: int
    modems: int
    garbage: int = 0


FULL = Sizes(telegrams=160_000, fleet=300_000, messages=100_000, modems=20_000)
QUICK = Sizes(telegrams=8_000, fleet=30_000, messages=20_000, modems=2_000)


@dataclass(frozen=True, slots=True)
class Home:
    """One database of a head-end with its configuration."""

    servers: Servers
    name: str
    config: Path

    @property
    def url(self) -> str:
        """The superuser's address of this database."""
        return self.servers.database.rpartition("/")[0] + f"/{self.name}"


def made(place: Servers, name: str, street: Street) -> Home:
    """A head-end's database with the gateways and meters of a street."""
    home = Home(place, name, place.folder / f"{name}.toml")
    bootstrap.bootstrap(
        place.database, database=name, file=home.config, broker_url=place.broker, api_port=0
    )
    with db.connect(home.url, name="bench", autocommit=True) as admin:
        admin.execute("set session_replication_role = replica")  # nobody listens: no triggers
        admin.execute(
            "insert into ohmesh.gateway (tenant_id, name)"
            " select 1, 'gw' || g from generate_series(0, %s) g",
            (street.gateways - 1,),
        )
        admin.execute(
            "insert into ohmesh.meter (tenant_id, name, address, profile, interval_s)"
            " select 1, 'M' || m, 'M' || m, %s, 900 from generate_series(0, %s) m",
            (street.profile, street.meters - 1),
        )
        admin.execute(  # a fleet that was heard before, not one that is seen for the first time
            "insert into ohmesh.meter_status (meter_id, gateway_id, last_seen)"
            " select m.id, g.id, %s from ohmesh.meter m join ohmesh.gateway g"
            " on g.name = 'gw' || substr(m.name, 2)::int %% %s",
            (START, street.gateways),
        )
        admin.execute("vacuum analyze")
    return home


@contextmanager
def traffic(street: Street) -> Iterator[Child]:
    """The gateways, ready to send."""
    with Child([sys.executable, "-m", "headend.bench.pipeline.traffic"]) as child:
        child.tell(asdict(street))
        child.line()
        yield child


def count(home: Home, table: str = "reading") -> int:
    """Rows of a bulk table."""
    with db.connect(home.url, name="bench") as admin:
        row = admin.execute(f"select count(*) as n from bulk.{table}").fetchone()  # noqa: S608 - our own names
        assert row is not None
        return int(row["n"])


class Drained(NamedTuple):
    """What a drain was: readings stored, seconds by the clock, peak memory of ingest in MiB.

    Attributes:
        cpu_us: of ingest and of the database, a reading.
    """

    readings: int
    seconds: float
    rss_mib: int
    cpu_us: dict[str, float]


def drained(home: Home, street: Street, **settings: str) -> Drained:
    """Send all of a street, until all is acknowledged."""
    with ingest(home.config, settings) as pid, traffic(street) as gateways:
        before = cpu_s()
        gateways.tell({"do": "drain"})
        seconds = gateways.line()["seconds"]
        spent, readings = cpu_s(), count(home)
        cpu_us = {
            name: round(1e6 * (spent[name] - before[name]) / readings, 2)
            for name in ("ingest", "postgres")
        }
        return Drained(readings, seconds, peak_mib(pid), cpu_us)


def copied(home: Home) -> tuple[float, float]:
    """Rows a second that a raw binary COPY of the stored readings takes, and the CPU of one, us."""
    with db.connect(home.url, name="bench", autocommit=True) as admin:
        with admin.cursor().copy(
            "copy (select meter_id, channel, ts, value, status from bulk.reading)"
            " to stdout (format binary)"
        ) as source:
            stream = b"".join(bytes(part) for part in source)
        admin.execute("create table yardstick (like bulk.reading including all)")
        rows = (len(stream) - _HEADER_BYTES - 2) // _ROW_BYTES
        header, body = stream[:_HEADER_BYTES], stream[_HEADER_BYTES:-2]
        begin, before = time.perf_counter(), cpu_s()
        for first in range(0, rows, _COPY_ROWS):
            part = body[first * _ROW_BYTES : (first + _COPY_ROWS) * _ROW_BYTES]
            with admin.cursor().copy("copy yardstick from stdin (format binary)") as target:
                target.write(header + part + b"\xff\xff")
        seconds = time.perf_counter() - begin
        return rows / seconds, 1e6 * (cpu_s()["postgres"] - before["postgres"]) / rows


def bytes_per_reading(home: Home) -> tuple[float, float]:
    """Bytes on disk for each reading: of the readings with their key, and of the archive."""
    with db.connect(home.url, name="bench") as admin:
        row = admin.execute(
            "select (select sum(pg_total_relation_size(relid))"
            "        from pg_partition_tree('bulk.reading'))::float as r,"
            " (select sum(pg_total_relation_size(relid))"
            "  from pg_partition_tree('bulk.telegram'))::float as t,"
            " (select count(*) from bulk.reading) as n"
        ).fetchone()
        assert row is not None
        return row["r"] / row["n"], row["t"] / row["n"]


def paced_p99_ms(place: Servers, base: Street, readings_per_s: float) -> float:
    """The delay from publish to acknowledgement at a fifth of the load that was reached."""
    registers = len(channels(base.profile, base.registers))
    batches_per_s = max(1.0, _PACED_SHARE * readings_per_s / registers / _PACED_BATCH)
    intervals = max(2, int(batches_per_s * _PACED_S))
    street = Street(
        place.broker, base.profile, base.registers, 1, _PACED_BATCH, intervals, _PACED_BATCH, 2
    )
    home = made(place, "paced", street)
    with ingest(home.config, {}), traffic(street) as gateways:
        gateways.tell({"do": "pace", "batches_per_s": batches_per_s})
        delays_ms: list[float] = gateways.line()["delays_ms"]
    return statistics.quantiles(delays_ms, n=100)[98]


def batched(place: Servers, sizes: Sizes, profile: str) -> dict[str, Any]:
    """The path of gateways: against raw COPY, with and without the archive."""
    meters = 400
    street = Street(place.broker, profile, 10, 4, meters, sizes.telegrams // meters, 500)
    home = made(place, "batched", street)
    full = drained(home, street)
    copy_per_s, copy_us = copied(home)
    on_disk, archived = bytes_per_reading(home)
    bare = drained(made(place, "bare", street), street, INGEST__ARCHIVE="false")
    per_s = full.readings / full.seconds
    return {
        "profile": profile,
        "registers": len(channels(profile, 10)),
        "telegrams": sizes.telegrams,
        "readings": full.readings,
        "readings_per_s": round(per_s),
        "copy_per_s": round(copy_per_s),
        "ratio_to_copy": round(per_s / copy_per_s, 3),
        "ratio_archive_off": round(bare.readings / bare.seconds / copy_per_s, 3),
        "cpu_us": full.cpu_us | {"copy": round(copy_us, 2)},
        "cpu_us_archive_off": bare.cpu_us,
        "rss_mib": full.rss_mib,
        "p99_ms": round(paced_p99_ms(place, street, per_s), 1),
        "bytes_per_reading": round(on_disk, 1),
        "archive_bytes_per_reading": round(archived, 1),
    }


def fleets(place: Servers, sizes: Sizes, profile: str) -> dict[str, Any]:
    """A backlog of a large fleet, and what a reading costs there and in a thirtieth of it."""
    few = sizes.fleet // 30
    # A gateway for a thousand meters, and no meter twice in a transaction.
    large = Street(place.broker, profile, 4, sizes.fleet // 1000, sizes.fleet, 2, 500, window=2)
    small = Street(place.broker, profile, 4, max(1, few // 1000), few, 6, 500, window=2)
    before = drained(made(place, "small", small), small)
    after = drained(made(place, "large", large), large)
    growth = (after.seconds / after.readings) / (before.seconds / before.readings) - 1
    cpu_growth = sum(after.cpu_us.values()) / sum(before.cpu_us.values()) - 1
    per_s = after.readings / after.seconds
    return {
        "fleet_meters": sizes.fleet,
        "fleet_readings_per_s": round(per_s),
        "fleet_cost_growth": round(growth, 3),
        "fleet_cpu_growth": round(cpu_growth, 3),
        "fleet_rss_mib": after.rss_mib,
        "backlog_times_real_time": round(per_s / _REAL_TIME_PER_S, 1),
    }


def direct(place: Servers, sizes: Sizes, profile: str) -> dict[str, Any]:
    """One reading a message, of meters with their own modem."""
    street = Street(
        *(place.broker, profile, 4, 1, sizes.modems, 0, 500),
        direct=sizes.messages,
        garbage=sizes.garbage,
    )
    home = made(place, "direct", street)
    many = {"BROKER__RECEIVE_MAXIMUM": "2000"}  # small messages: a transaction takes more of them
    with ingest(home.config, many) as pid, traffic(street) as sender:
        begin, before = time.perf_counter(), cpu_s()
        sender.tell({"do": "direct"})
        stored, held = taken_in_time(home, sizes.messages)
        seconds = time.perf_counter() - begin
        spent, rss_mib = cpu_s(), peak_mib(pid)
        sender_s = sender.line()["cpu_s"]
    took_s = {name: spent[name] - before[name] for name in ("ingest", "postgres", "mosquitto")}
    took_s["sender"] = sender_s
    return {
        "messages": sizes.messages,
        "meters": sizes.modems,
        "stored": stored,
        "held": held,
        "messages_per_s": round((stored + held) / seconds),
        "cpu_us": {name: round(1e6 * s / sizes.messages, 1) for name, s in took_s.items()},
        "rss_mib": rss_mib,
    }


def taken_in_time(home: Home, wanted: int) -> tuple[int, int]:
    """Wait for so many messages, two minutes at most: readings stored, messages in quarantine."""
    end = time.monotonic() + 120
    with db.connect(home.url, name="bench", autocommit=True) as admin:
        while True:
            (row,) = admin.execute(
                "select (select count(*) from bulk.reading) as stored,"
                " (select count(*) from bulk.telegram_quarantine) as held"
            ).fetchall()
            if row["stored"] + row["held"] >= wanted or time.monotonic() > end:
                return row["stored"], row["held"]
            time.sleep(0.1)


def run_ingest(place: Servers, sizes: Sizes, profile: str) -> dict[str, Any]:
    """All of `ohmesh bench ingest`."""
    return batched(place, sizes, profile) | fleets(place, sizes, profile)
