"""The servers and programs of a benchmark, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from headend.store import bootstrap
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_READY_S = 60


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses: of the database's superuser, and of the broker."""

    database: str
    broker: str
    folder: Path


@contextmanager
def servers(database: str | None, broker: str | None) -> Iterator[Servers]:
    """The servers that are given, else our own for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="ohmesh-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        if database and broker:
            yield Servers(database, broker, folder)
            return
        with Child([sys.executable, "-m", "meter_sim.servers", name]) as own:
            found = own.line()
            yield Servers(database or found["database"], broker or found["broker"], folder)


def home_of(lent: Servers) -> Mapping[str, str]:
    """A new head-end's database on a server, for a benchmark without a broker: URLs by role."""
    made = bootstrap.bootstrap(
        lent.database,
        database="ohmesh_bench",
        file=lent.folder / "headend.toml",
        broker_url="mqtt://127.0.0.1:1883",
        api_port=8080,
    )
    return made.urls


class Child:
    """A process that talks in JSON lines; it ends when its standard input ends."""

    def __init__(self, argv: list[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own programs
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(_READY_S)
        self._process.stdout.close()

    def tell(self, order: dict[str, Any]) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")

    def line(self) -> dict[str, Any]:
        """The next line. Raises ConfigError when the process ended instead."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            raise ConfigError(f"{self._process.args!s} ended early; its own lines say why")
        found: dict[str, Any] = json.loads(text)
        return found


@contextmanager
def ingest(config: Path, settings: dict[str, str]) -> Iterator[int]:
    """`ohmesh headend ingest` with settings from the environment; its process number."""
    log = config.with_suffix(".log")
    log.unlink(missing_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "ohmesh", "headend", "ingest", "--config", str(config)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=os.environ | {f"OHMESH_HEADEND__{k}": v for k, v in settings.items()},
        )
    try:
        deadline = time.monotonic() + _READY_S
        while b"connected" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConfigError(f"ingest did not start: {log.read_text()[-300:]}")
            time.sleep(0.05)
        time.sleep(0.5)  # the subscription is acknowledged without a word to us
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s() -> Mapping[str, float]:
    """Seconds of the processor that the programs of a benchmark have had since they began.

    By name, of all processes below this one; ingest's own name is `ingest`. From proc(5): name,
    parent, user time, system time are the fields 2, 4, 14 and 15 of stat.
    """
    told: dict[int, tuple[int, str, float]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            name, _, rest = file.read_text(encoding="utf-8", errors="replace").rpartition(") ")
            fields = rest.split()
            seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            if b"ingest" in file.with_name("cmdline").read_bytes().split(b"\0"):
                name = "(ingest"
            told[int(file.parent.name)] = int(fields[1]), name.partition("(")[2], seconds
    found: dict[str, float] = defaultdict(float)
    for pid, (_, name, seconds) in told.items():
        above = pid
        while above in told and above != os.getpid():
            above = told[above][0]
        if above == os.getpid():
            found[name] += seconds
    return found


def peak_mib(pid: int) -> int:
    """A process's largest resident size."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0
