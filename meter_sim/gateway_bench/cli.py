"""`ohmesh bench gateway`: a gateway process with simulated meters, a broker and a head-end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meter_sim.gateway_bench import mesh
from meter_sim.mqtt import AirClient
from meter_sim.servers.broker import Broker
from meter_sim.servers.mosquitto import Mosquitto, installed
from meter_sim.servers.process import LOOPBACK, free_port, listening, spawn, stop, wait_until
from ohmesh.usage import Parser
from ohmesh.wire import topics
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.uplink import decode_batch, encode_ack

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

_EXAMPLE: Final = """\
example: ohmesh bench gateway --json
Targets: 200 Modbus meters every 10 s in 25 % of a core, 1 000 meters of a mesh in 25 % of a core,
80 MiB of memory, 5 000 appends/s through the bench port, 20 000 telegrams/s to the head-end, the
first telegram within 3 s of the start.
"""
_OHMESH: Final = (sys.executable, "-m", "ohmesh")
_METERS: Final = 200
_PERIOD_S: Final = 10
_LINES: Final = 60
"""Connections to the bench port; each waits for the commit of its line."""
_PAYLOAD_BYTES: Final = 120
_WAIT_S: Final = 120.0
_MESH_METERS: Final = 1000
_MESH_REPORT_S: Final = 60.0
"""Fifteen times as often as a load profile of a quarter of an hour has it."""


class HeadEnd:
    """Acknowledges what it hears, when it is told to."""

    def __init__(self, broker: BrokerUrl) -> None:
        self.rows = 0
        self.first_at = self.last_at = 0.0
        hears = {topics.ALL_UPLINKS: 1}
        self.ready = asyncio.Event()
        self._client = AirClient(broker, hears, hear=self._hear, greet=self.ready.set)

    async def run(self) -> None:
        """Until cancelled."""
        await self._client.run()

    def _hear(self, _topic: str, octets: bytes) -> None:
        batch = decode_batch(octets)
        self.last_at = time.perf_counter()
        self.first_at = self.first_at or self.last_at
        self.rows = max(self.rows, batch.end_seq)
        self._client.send("ohmesh/v1/gw/gw1/ack", encode_ack(batch.epoch, batch.end_seq))


@contextmanager
def gateway(folder: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway process on the outbox of a folder."""
    environment = {
        "OHMESH_GATEWAY__OUTBOX__PATH": str(folder / "outbox.db"),
        "OHMESH_GATEWAY__OUTBOX__MAX_BYTES": str(2 << 30),
        **{f"OHMESH_GATEWAY__{name}": value for name, value in settings.items()},
    }
    argv = [*_OHMESH, "gateway", "run"]
    if (folder / "gateway.toml").exists():
        argv += ["--config", str(folder / "gateway.toml")]
    with (folder / "gateway.log").open("ab") as log:
        process = spawn(argv, log=log, env=environment)
    try:
        yield process
    finally:
        stop(process)


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def waiting(folder: Path) -> int:
    """Telegrams in the outbox, as the gateway last said."""
    with suppress(OSError, ValueError):
        return int(json.loads((folder / "outbox.db.status").read_text())["waiting"])
    return 0


def measure_modbus(folder: Path, seconds: int) -> dict[str, float]:
    """Meters on a line that are asked every ten seconds; nothing goes up meanwhile."""
    port, nowhere = free_port(), free_port()
    (folder / "gateway.toml").write_text(
        f'[[modbus]]\nname = "bus"\nline = "tcp://{LOOPBACK}:{port}"\nperiod_s = {_PERIOD_S}\n'
        f'meters = [{{ units = "1-{_METERS}", map = "eastron_sdm" }}]\n'
    )
    words = ("sim", "modbus", "--tcp", str(port), "--meters", str(_METERS))
    with (folder / "meters.log").open("wb") as log:
        meters = spawn([*_OHMESH, *words], log=log)
    try:
        wait_until(lambda: listening(port), meters, folder / "meters.log")
        begin = time.perf_counter()
        with gateway(folder, BROKER__URL=f"mqtt://{LOOPBACK}:{nowhere}") as process:
            wait_until(lambda: waiting(folder) > 0, process, folder / "gateway.log")
            started_s = time.perf_counter() - begin
            time.sleep(_PERIOD_S)
            before, rows, begin = cpu_s(process.pid), waiting(folder), time.perf_counter()
            time.sleep(seconds)
            elapsed = time.perf_counter() - begin
            share = (cpu_s(process.pid) - before) / elapsed
            asked = (waiting(folder) - rows) / elapsed
            memory = rss_mib(process.pid)
    finally:
        stop(meters)
    return {
        "modbus_meters": _METERS,
        "modbus_telegrams_per_s": round(asked, 1),
        "modbus_cpu_share": round(share, 3),
        "start_to_first_telegram_s": round(started_s, 2),
        "rss_mib": memory,
    }


async def measure_mesh(folder: Path, seconds: int) -> dict[str, float]:
    """A mesh on real MQTT, with all its timers and reports faster than in the field."""
    with Broker(folder / "broker") as broker:
        street = mesh.Street(BrokerUrl.parse(broker.url), _MESH_METERS, report_s=_MESH_REPORT_S)
        task = asyncio.create_task(street.run(), name="street")
        settings = {
            "BROKER__URL": f"mqtt://{LOOPBACK}:{free_port()}",
            "MESH__ENABLED": "true",
            "MESH__NODE": str(mesh.ROOT),
            "MESH__NET": str(mesh.NET),
            "MESH__AIR_URL": broker.url,
            "MESH__TIMER_DIVISOR": str(mesh.DIVISOR),
        }
        try:
            with gateway(folder, **settings) as process:
                async with asyncio.timeout(_WAIT_S):
                    while street.joined < _MESH_METERS:  # noqa: ASYNC110 - meters have no events
                        await asyncio.sleep(0.5)
                await asyncio.sleep(_PERIOD_S)
                before, rows, begin = cpu_s(process.pid), waiting(folder), time.perf_counter()
                await asyncio.sleep(seconds)
                elapsed = time.perf_counter() - begin
                share = (cpu_s(process.pid) - before) / elapsed
                taken = (waiting(folder) - rows) / elapsed
                memory = rss_mib(process.pid)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return {
        "mesh_meters": _MESH_METERS,
        "mesh_telegrams_per_s": round(taken, 1),
        "mesh_cpu_share": round(share, 3),
        "mesh_rss_mib": memory,
    }


async def measure_outbox(folder: Path, telegrams: int) -> dict[str, float | str]:
    """Fill through the bench port while there is no broker; then drain to a head-end."""
    port, broker_port = free_port(), free_port()
    settings = {"BENCH__ENABLED": "true", "BENCH__PORT": str(port)}
    with gateway(folder, BROKER__URL=f"mqtt://{LOOPBACK}:{broker_port}", **settings) as process:
        wait_until(lambda: listening(port), process, folder / "gateway.log")
        begin = time.perf_counter()
        await asyncio.gather(*(_fill(port, telegrams // _LINES) for _ in range(_LINES)))
        appended_s = time.perf_counter() - begin
    size = (folder / "outbox.db").stat().st_size
    total = telegrams // _LINES * _LINES
    kind = Mosquitto if installed() else Broker
    with kind(folder / "broker") as broker:
        head_end = HeadEnd(BrokerUrl.parse(broker.url))
        task = asyncio.create_task(head_end.run(), name="head-end")
        await head_end.ready.wait()
        with gateway(folder, BROKER__URL=broker.url):
            async with asyncio.timeout(_WAIT_S):
                while head_end.rows < total:  # noqa: ASYNC110 - it is told by the client's thread
                    await asyncio.sleep(0.05)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    row_bytes = size / total
    return {
        "telegrams": total,
        "append_per_s": round(total / appended_s),
        "drain_per_s": round(total / max(1e-3, head_end.last_at - head_end.first_at)),
        "drain_broker": kind.__name__.lower(),
        "bytes_stored_per_telegram": round(row_bytes, 1),
        "days_of_1000_meters_in_2_gb": round(2e9 / (row_bytes * 1000 * 96), 1),
    }


async def _fill(port: int, count: int) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    for number in range(count):
        payload = os.urandom(_PAYLOAD_BYTES).hex()
        line = {"meter": f"M{number % 1000}", "profile": "", "payload_hex": payload}
        writer.write(json.dumps(line).encode() + b"\n")
        answer = json.loads(await reader.readline())
        if not answer["ok"]:
            raise SystemExit(f"ohmesh bench gateway: {answer['error']}")
    writer.close()
    await writer.wait_closed()


def main(argv: list[str]) -> int:
    """Measure; `pass` says whether every target was met."""
    parser = Parser(
        prog="ohmesh bench gateway",
        description=__doc__,
        epilog=_EXAMPLE,
    )
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--json", action="store_true", help="print the last line only")
    options = parser.parse_args(argv)
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="ohmesh-bench-", dir="/var/tmp") as name:
        for part in ("modbus", "mesh", "outbox"):
            (Path(name) / part).mkdir()
        seconds = 10 if options.quick else 60
        found |= measure_modbus(Path(name) / "modbus", seconds)
        found |= asyncio.run(measure_mesh(Path(name) / "mesh", seconds))
        count = 6_000 if options.quick else 60_000
        found |= asyncio.run(measure_outbox(Path(name) / "outbox", count))
    print(json.dumps({**found, "pass": _is_met(found)}))
    return 0


def _is_met(found: dict[str, object]) -> bool:
    most = {
        "modbus_cpu_share": 0.25,
        "mesh_cpu_share": 0.25,
        "rss_mib": 80,
        "mesh_rss_mib": 80,
        "start_to_first_telegram_s": 3,
    }
    least = {"append_per_s": 5000, "drain_per_s": 20_000, "days_of_1000_meters_in_2_gb": 10}
    return all(float(str(found[name])) <= limit for name, limit in most.items()) and all(
        float(str(found[name])) >= limit for name, limit in least.items()
    )
