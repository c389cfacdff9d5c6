"""Gateways -> broker -> ingest -> database, against raw binary COPY of the same rows.

Real servers, ingest as its own process, end-to-end acknowledgements as the finishing line. The
yardstick runs in the same server afterwards: the rows just stored, copied in binary into a table
of the same shape with the same primary key, one transaction per 10 000 rows.

    python benchmarks/ingest.py --json [--quick] [--profile no_han] [--telegrams 40000]
"""

from __future__ import annotations

import argparse
import json
import queue
import signal
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from firmware_profiles import registry
from firmware_profiles.api import Report
from headend.mqtt import MqttClient
from headend.service.fleet import NewGateway, NewMeter, register_gateway, register_meter
from headend.store import bootstrap, db
from meter_sim.servers.broker import Broker
from meter_sim.servers.database import Database
from meter_sim.servers.process import spawn, stop
from ohmesh.model.errors import ProfileError
from ohmesh.model.ids import Address, GatewayId
from ohmesh.model.reading import Reading
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.uplink import decode_ack, encode_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAYS, METERS, BATCH = 4, 200, 500
START = datetime(2026, 1, 1, tzinfo=UTC)
ROW_BYTES, HEADER_BYTES = 50, 19
COPY_ROWS = 10_000
REGISTERS_WANTED = 10
SAMPLES = 60


def channels(profile: str) -> tuple[str, ...]:
    """Ten registers when the profile can send so many in one telegram, else what it reports."""
    spec = registry.load(profile).spec
    for count in range(len(spec.registers), len(spec.reported), -1):
        chosen = tuple(spec.registers)[: min(count, REGISTERS_WANTED)]
        try:
            telegram(profile, chosen, 0, 0)
        except ProfileError:
            continue
        return chosen
    return spec.reported


def telegram(profile: str, chosen: tuple[str, ...], meter: int, interval: int) -> Telegram:
    """One telegram of one meter."""
    found = registry.load(profile)
    at = START + timedelta(minutes=15 * (interval + 1))
    readings = tuple(
        Reading(found.spec.registers[name], 100 * interval + meter, at) for name in chosen
    )
    payload = found.encode(Report(f"M{meter}", at, readings))
    at_ms = int(at.timestamp() * 1000)
    return Telegram(TelegramKind.METER, "bench", Address(f"M{meter}"), profile, at_ms, payload)


def batches(profile: str, gateway: int, telegrams: int) -> list[tuple[int, bytes]]:
    """(end, message) of one gateway's outbox."""
    chosen = channels(profile)
    mine = [m for m in range(METERS) if m % GATEWAYS == gateway]
    rows = [
        telegram(profile, chosen, mine[n % len(mine)], n // len(mine)) for n in range(telegrams)
    ]
    return [
        (
            min(first + BATCH, len(rows)),
            encode_batch(f"gw{gateway}", 1, first, rows[first : first + BATCH]),
        )
        for first in range(0, len(rows), BATCH)
    ]


def seed(url: str, profile: str) -> None:
    """Register gateways and meters."""
    with db.connect(url, name="bench") as connection, connection.transaction():
        connection.execute("select set_config('ohmesh.tenant', '1', true)")
        for gateway in range(GATEWAYS):
            db.run(connection, register_gateway(1, NewGateway(GatewayId(f"gw{gateway}"))))
        for meter in range(METERS):
            name = Address(f"M{meter}")
            db.run(connection, register_meter(1, NewMeter(name, name, profile, 900)))


class Gateways:
    """The senders and the acknowledgements that they have heard."""

    def __init__(self, url: str) -> None:
        self.acks: queue.Queue[tuple[str, int]] = queue.Queue()
        names = [GatewayId(f"gw{n}") for n in range(GATEWAYS)]
        self._client = MqttClient(
            url,
            client_id="bench-gateways",
            subscriptions=[topics.gateway_topic(name, "ack") for name in names],
            receive=self._heard,
        )

    def __enter__(self) -> Self:
        self._client.start()
        assert self._client.wait_connected(10)
        time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop()

    def _heard(self, delivery: object) -> None:
        topic, payload = delivery.topic, delivery.payload  # type: ignore[attr-defined]
        self.acks.put((topics.gateway_of(topic), decode_ack(payload).through))

    def send(self, gateway: str, message: bytes) -> None:
        """QoS 1, as a gateway does."""
        self._client._client.publish(  # noqa: SLF001 - the head-end itself publishes QoS 0 only
            topics.gateway_topic(GatewayId(gateway), "up"), message, qos=1
        )

    def wait(self, ends: dict[str, int]) -> None:
        """Wait until each gateway's outbox is acknowledged up to its end."""
        through = dict.fromkeys(ends, 0)
        while any(through[name] < end for name, end in ends.items()):
            name, value = self.acks.get(timeout=120)
            through[name] = max(through[name], value)


@contextmanager
def ingest(config: Path, log: Path) -> Iterator[int]:
    """`ohmesh headend ingest` as a process; its number."""
    with log.open("wb") as stream:
        argv = [sys.executable, "-m", "ohmesh", "headend", "ingest", "--config", config]
        process = spawn(argv, log=stream)
        while b"connected" not in log.read_bytes():
            time.sleep(0.05)
        time.sleep(0.5)
        try:
            yield process.pid
        finally:
            stop(process, sig=signal.SIGTERM)


def peak_mib(pid: int) -> int:
    """The process's largest resident size."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


def copy_per_s(admin_url: str) -> tuple[int, float]:
    """Rows in the store, and how many of them a second raw COPY takes."""
    with db.connect(admin_url, name="bench", autocommit=True) as connection:
        with connection.cursor().copy("copy bulk.reading to stdout (format binary)") as source:
            stream = b"".join(bytes(part) for part in source)
        connection.execute("create table yardstick (like bulk.reading including all)")
        rows = (len(stream) - HEADER_BYTES - 2) // ROW_BYTES
        header, body = stream[:HEADER_BYTES], stream[HEADER_BYTES:-2]
        begin = time.perf_counter()
        for first in range(0, rows, COPY_ROWS):
            part = body[first * ROW_BYTES : (first + COPY_ROWS) * ROW_BYTES]
            with connection.cursor().copy("copy yardstick from stdin (format binary)") as target:
                target.write(header + part + b"\xff\xff")
        return rows, rows / (time.perf_counter() - begin)


def latency_p99_ms(gateways: Gateways, profile: str, begin: int) -> float:
    """From the publish of ten telegrams to their acknowledgement, on an idle head-end."""
    chosen, taken = channels(profile), []
    for sample in range(SAMPLES):
        rows = [telegram(profile, chosen, m, 100_000 + sample) for m in range(0, 40, 4)]
        first = begin + 10 * sample
        started = time.perf_counter()
        gateways.send("gw0", encode_batch("gw0", 1, first, rows))
        gateways.wait({"gw0": first + 10})
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.quantiles(taken, n=100)[98]


def drain_s(gateways: Gateways, prepared: dict[str, list[tuple[int, bytes]]]) -> float:
    """Seconds from the first publish to the last acknowledgement."""
    begin = time.perf_counter()
    for parts in zip(*prepared.values(), strict=True):
        for name, (_, message) in zip(prepared, parts, strict=True):
            gateways.send(name, message)
    gateways.wait({name: parts[-1][0] for name, parts in prepared.items()})
    return time.perf_counter() - begin


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder that the servers' user can reach."""
    with tempfile.TemporaryDirectory(prefix="ohmesh-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def measure(profile: str, telegrams: int) -> dict[str, object]:
    """One run."""
    prepared = {f"gw{g}": batches(profile, g, telegrams // GATEWAYS) for g in range(GATEWAYS)}
    with (
        server_folder() as folder,
        Database(folder / "database") as server,
        Broker(folder / "broker") as broker,
    ):
        made = bootstrap.bootstrap(
            server.admin_url,
            database="bench",
            file=folder / "headend.toml",
            broker_url=broker.url,
            api_port=0,
        )
        seed(made.urls["api"], profile)
        with (
            ingest(folder / "headend.toml", folder / "ingest.log") as pid,
            Gateways(broker.url) as gateways,
        ):
            elapsed = drain_s(gateways, prepared)
            rss_mib = peak_mib(pid)
            rows, yardstick = copy_per_s(server.admin_url.rpartition("/")[0] + "/bench")
            p99_ms = latency_p99_ms(gateways, profile, telegrams // GATEWAYS)
    return {
        "profile": profile,
        "telegrams": telegrams,
        "readings": rows,
        "readings_per_s": round(rows / elapsed),
        "copy_per_s": round(yardstick),
        "ratio_to_copy": round(rows / elapsed / yardstick, 3),
        "rss_mib": rss_mib,
        "p99_ms": round(p99_ms, 1),
    }


def main(argv: list[str]) -> int:
    """Print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="nothing but the last line")
    parser.add_argument("--quick", action="store_true", help="under 30 s")
    parser.add_argument("--profile", default="no_han")
    parser.add_argument("--telegrams", type=int, default=40_000)
    arguments = parser.parse_args(argv)
    telegrams = 8_000 if arguments.quick else arguments.telegrams
    print(json.dumps(measure(arguments.profile, telegrams)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
