"""The servers and programs of the demo, each a child process with a log of its own."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from meter_sim.demo import audit
from meter_sim.servers.broker import Broker
from meter_sim.servers.database import Database
from meter_sim.servers.process import LOOPBACK, ServerError, free_port, spawn, stop, tail
from ohmesh.wire import joining
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.meshkeys import write_mesh_keys
from ohmesh.wire.release import KEY_BYTES, public_key

if TYPE_CHECKING:
    from meter_sim.demo.options import Options
    from meter_sim.roster import Roster

_OHMESH = (sys.executable, "-m", "ohmesh")
# Each program is one busy thread here; a pool of native threads in it would only fight for cores.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Stack:
    """Everything that runs beside the demo itself; a context manager that leaves nothing behind."""

    def __init__(
        self,
        options: Options,
        roster: Roster,
        *,
        mesh: bool = True,
        outbox_bytes: int | None = None,
    ) -> None:
        """Describe it; `start` starts it.

        Args:
            options: the command line.
            roster: meters, gateways and street.
            mesh: False is without radio and fleet: telegrams come by the bench ports alone.
            outbox_bytes: size at which a gateway takes no more; None keeps its own bound.
        """
        self._options = options
        self._mesh = mesh
        self._outbox = {} if outbox_bytes is None else {"max_bytes": outbox_bytes}
        self.roster = roster
        self.folder = Path(tempfile.mkdtemp(prefix="ohmesh-demo-"))
        self.folder.chmod(0o755)  # the database's user must reach its folder below
        self.truth = options.truth or self.folder / "truth.jsonl"
        self.api_port = free_port()
        self.bench_ports = {gateway.gateway: free_port() for gateway in roster.gateways}
        self.database = None if options.database else Database(self.folder / "database")
        self.broker = None if options.broker else Broker(self.folder / "broker")
        self._commands: dict[str, tuple[str | Path, ...]] = {}
        self._programs: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def admin_url(self) -> str:
        """The database superuser's address: for bootstrap and for the audit."""
        return self.database.admin_url if self.database else str(self._options.database)

    @property
    def audit_url(self) -> str:
        """The head-end's own database, as its superuser: for the audit only."""
        name = urlsplit(self.headend_settings["database"]["owner_url"]).path
        return urlsplit(self.admin_url)._replace(path=name).geturl()

    @property
    def broker_url(self) -> str:
        """The broker of air and backhaul."""
        return self.broker.url if self.broker else str(self._options.broker)

    @property
    def api_url(self) -> str:
        """The head-end's address."""
        return f"http://{LOOPBACK}:{self.api_port}"

    @property
    def bench_port(self) -> int:
        """The first gateway's port for test benches."""
        return next(iter(self.bench_ports.values()))

    @property
    def headend_settings(self) -> dict[str, dict[str, str]]:
        """The head-end's configuration, as bootstrap wrote it."""
        with self._headend_file.open("rb") as stream:
            return tomllib.load(stream)

    @property
    def token(self) -> str:
        """The API token that bootstrap made."""
        return Path(self.headend_settings["api"]["token_file"]).read_text(encoding="utf-8").strip()

    def start(self) -> Self:
        """Servers first, then the field, then the head-end; the mesh forms while that starts."""
        for server in (self.broker, self.database):
            if server:
                server.start()
        probe(BrokerUrl.parse(self.broker_url))
        audit.clear(self.admin_url)
        self._write_roster()
        self._gate_key = self._make_gate_key()
        if self._mesh:
            air = ("--roster", self._roster_file, "--air", self.broker_url)
            self._run("ether", "sim", "ether", *air)
            self._start_fleet()
        for gateway in self.roster.gateways:
            self._start_gateway(gateway.gateway, gateway.node)
        self._bootstrap()
        self._run("headend", "headend", "serve", "--config", self._headend_file)
        return self

    def check(self) -> None:
        """Raises ServerError when a program has ended by itself."""
        for name, process in self._programs.items():
            if process.poll() is not None:
                raise ServerError(f"{name} ended with {process.returncode}: {tail(self.log(name))}")

    def kill(self, name: str) -> None:
        """SIGKILL a program, as a power cut does: `headend`, `ether`, `fleet` or a gateway."""
        program = self._programs.pop(name)
        program.kill()
        program.wait()

    def restart(self, name: str) -> None:
        """Start a program again."""
        with self.log(name).open("ab") as log:
            self._programs[name] = spawn(
                [*_OHMESH, *self._commands[name]], log=log, env=_ENVIRONMENT
            )

    def renew(self, name: str) -> None:
        """End a program in good order and start it again."""
        stop(self._programs.pop(name))
        self.restart(name)

    def log(self, name: str) -> Path:
        """Where a program writes its log."""
        return self.folder / f"{name}.log"

    def stop(self) -> None:
        """End all programs, newest first, then the servers; then remove the folder."""
        for process in reversed(self._programs.values()):
            stop(process)
        for server in (self.broker, self.database):
            if server:
                server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _roster_file(self) -> Path:
        return self.folder / "roster.json"

    @property
    def _keys_file(self) -> Path:
        return self.folder / "mesh-keys.json"

    @property
    def _headend_file(self) -> Path:
        return self.folder / "headend.toml"

    def _run(self, name: str, *words: str | Path) -> None:
        self._commands[name] = words
        self.restart(name)

    def _write_roster(self) -> None:
        self._roster_file.touch(mode=0o600)  # it holds the meters' keys
        self._roster_file.write_bytes(self.roster.to_json())
        if self.roster.closed:
            keys = self.roster.mesh_keys(secrets.token_bytes(joining.KEY_BYTES))
            write_mesh_keys(self._keys_file, keys)

    def _make_gate_key(self) -> str:
        """The public half; bootstrap keeps the private one that it finds."""
        key, file = secrets.token_bytes(KEY_BYTES), self._headend_file.with_name("gate.key")
        file.touch(mode=0o600)
        file.write_text(key.hex() + "\n", encoding="ascii")
        return public_key(key).hex()

    def _start_fleet(self) -> None:
        words = ("--roster", self._roster_file, "--air", self.broker_url, "--truth", self.truth)
        self._run("fleet", "sim", "fleet", *words, "--state-dir", self.folder / "fleet")

    def _start_gateway(self, gateway: str, node: int) -> None:
        file = self.folder / f"{gateway}.toml"
        settings: dict[str, dict[str, object]] = {
            "": {"gateway": gateway},
            # A demo is over before a field gateway would try for the tenth time.
            "broker": {"url": self.broker_url, "reconnect_cap_s": 3.0},
            "outbox": {"path": str(self.folder / f"{gateway}.db"), **self._outbox},
            "mesh": {
                "enabled": self._mesh,
                "node": node,
                "net": self.roster.net,
                "air_url": self.broker_url,
                "timer_divisor": self.roster.timer_divisor,
                **self._closed(),
            },
            "bench": {
                "enabled": True,
                "host": LOOPBACK,
                "port": self.bench_ports[gateway],
            },
            "limiter": {"gate_keys": [self._gate_key]},
        }
        file.write_text(_toml(settings), encoding="utf-8")
        file.chmod(0o600)
        self._run(gateway, "gateway", "run", "--config", file)

    def _closed(self) -> dict[str, object]:
        """Where a gateway of a closed network finds its keys."""
        return {"keys_file": str(self._keys_file)} if self.roster.closed else {}

    def _bootstrap(self) -> None:
        words = ("--admin-url", self.admin_url, "--database", audit.DATABASE)
        place = (
            "--write",
            self._headend_file,
            "--broker-url",
            self.broker_url,
            "--api-port",
            self.api_port,
        )
        argv = [*_OHMESH, "headend", "bootstrap", "--open-reads", *map(str, words + place)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        if done.returncode != 0:
            raise ServerError(f"bootstrap failed: {done.stderr.strip()}")


def probe(broker: BrokerUrl) -> None:
    """Raises ServerError when nothing listens at the broker's address."""
    try:
        socket.create_connection((broker.host, broker.port), timeout=5).close()
    except OSError as error:
        raise ServerError(f"no broker at {broker.host}:{broker.port}: {error}") from None


def _toml(tables: dict[str, dict[str, object]]) -> str:
    """Flat tables of strings, integers and truth values, whose JSON form is TOML too."""
    lines = []
    for table, settings in tables.items():
        lines += [f"[{table}]"] if table else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"
