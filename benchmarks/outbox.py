"""The gateway: outbox, drain to a head-end through a real broker, memory, start.

The yardstick of the disk runs in the same folder: appends of 4 KiB, each synced.

    python benchmarks/outbox.py --json [--quick] [--telegrams 50000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aiomqtt

from gateway.outbox import Outbox, OutboxSettings
from meter_sim.servers.broker import Broker
from meter_sim.servers.process import spawn, stop
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.uplink import decode_batch, encode_ack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOURCES = 400
PAYLOAD_BYTES = 120
MAX_BYTES = 4 << 30
SYNCS = 200


def telegram(number: int) -> Telegram:
    """As long as a sealed load profile entry; no two are alike."""
    payload = number.to_bytes(8, "big") + os.urandom(PAYLOAD_BYTES - 8)
    address = Address(f"mesh-{number % 1000:08x}")
    return Telegram(TelegramKind.METER, "mesh", address, "", time.time_ns() // 10**6, payload)


def syncs_per_s(folder: Path) -> float:
    """Synced appends of one page."""
    begin = time.perf_counter()
    with (folder / "yardstick").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            os.fsync(file.fileno())
    return SYNCS / (time.perf_counter() - begin)


def bytes_written() -> int:
    """What this process has handed to write calls."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("wchar"):
            return int(line.split()[1])
    return 0


@asynccontextmanager
async def outbox(path: Path) -> AsyncIterator[Outbox]:
    """One outbox that commits."""
    settings = OutboxSettings(path, MAX_BYTES, keep_ms=0)
    made = await Outbox.open(settings, clock_ms=lambda: time.time_ns() // 10**6)
    task = asyncio.create_task(made.run(), name="outbox")
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await made.close()


async def fill(path: Path, count: int) -> dict[str, float]:
    """Appends by many sources at once, each waiting for its commit."""
    waits_ms: list[float] = []
    rows = [telegram(number) for number in range(count)]

    async def source(made: Outbox, first: int) -> None:
        for row in rows[first::SOURCES]:
            begin = time.perf_counter()
            await made.append([row])
            waits_ms.append((time.perf_counter() - begin) * 1000)

    async with outbox(path) as made:
        written, begin = bytes_written(), time.perf_counter()
        await asyncio.gather(*(source(made, first) for first in range(SOURCES)))
        elapsed = time.perf_counter() - begin
        written = bytes_written() - written
        stored = made.state.used_bytes
    return {
        "append_per_s": round(count / elapsed),
        "append_p99_ms": round(statistics.quantiles(waits_ms, n=100)[98], 1),
        "bytes_written_ratio": round(written / count / PAYLOAD_BYTES, 2),
        "bytes_stored_per_telegram": round(stored / count, 1),
    }


class HeadEnd:
    """Acknowledges all that it hears, as ingest does after its commit."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.end = 0
        self.first_s = 0.0
        self.ready = asyncio.Event()

    async def run(self, count: int) -> None:
        """Until `count` telegrams have come."""
        async with aiomqtt.Client(
            "127.0.0.1", self.port, protocol=aiomqtt.ProtocolVersion.V5
        ) as client:
            await client.subscribe(topics.ALL_UPLINKS, qos=1)
            self.ready.set()
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                batch = decode_batch(message.payload)
                self.first_s = self.first_s or time.perf_counter()
                if batch.first_seq <= self.end:
                    self.end = max(self.end, batch.end_seq)
                await client.publish("ohmesh/v1/gw/gw1/ack", encode_ack(batch.epoch, self.end))
                if self.end >= count:
                    return


def memory_mib(pid: int, name: str) -> float:
    """VmRSS or VmHWM of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


async def drain(folder: Path, path: Path, count: int) -> dict[str, float]:
    """A real gateway with a full outbox, a broker, and a head-end that keeps up."""
    with Broker(folder / "broker") as broker:
        head_end = HeadEnd(broker.port)
        task = asyncio.create_task(head_end.run(count), name="head-end")
        await head_end.ready.wait()
        begin = time.perf_counter()
        with (folder / "gateway.log").open("wb") as log:
            process = spawn(
                [sys.executable, "-m", "ohmesh", "gateway", "run"],
                log=log,
                env={
                    "OHMESH_GATEWAY__BROKER__URL": broker.url,
                    "OHMESH_GATEWAY__OUTBOX__PATH": str(path),
                    "OHMESH_GATEWAY__OUTBOX__MAX_BYTES": str(MAX_BYTES),
                    "OHMESH_GATEWAY__MESH__ENABLED": "true",
                },
            )
        await task
        elapsed = time.perf_counter() - head_end.first_s
        await asyncio.sleep(1)
        peak, rss = (memory_mib(process.pid, name) for name in ("VmHWM", "VmRSS"))
        stop(process)
    return {
        "drain_per_s": round(count / elapsed),
        "start_to_first_batch_s": round(head_end.first_s - begin, 2),
        "rss_mib": rss,
        "rss_peak_mib": peak,
    }


async def measure(count: int) -> dict[str, float]:
    """One run in a folder on disk."""
    with tempfile.TemporaryDirectory(prefix="ohmesh-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        path = folder / "outbox.db"
        yardstick = syncs_per_s(folder)
        filled = await fill(path, count)
        drained = await drain(folder, path, count)
    return {"telegrams": count, **filled, **drained, "syncs_per_s": round(yardstick)}


def main(argv: list[str]) -> int:
    """Print one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="nothing but the last line")
    parser.add_argument("--quick", action="store_true", help="under 30 s")
    parser.add_argument("--telegrams", type=int, default=100_000)
    arguments = parser.parse_args(argv)
    count = 20_000 if arguments.quick else arguments.telegrams
    print(json.dumps(asyncio.run(measure(count))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
