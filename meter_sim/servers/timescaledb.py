"""A real TimescaleDB: PostgreSQL 17 of the Debian 13 folder that deploy/timescaledb makes.

The server runs under chroot, so it needs root; data lie inside that folder and are removed at the
end.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from meter_sim.servers.process import LOOPBACK, ServerError, free_port, spawn, stop, wait_until

_BIN = "/usr/lib/postgresql/17/bin"
_READY = "database system is ready to accept connections"


def installed(root: Path) -> bool:
    """True when the folder holds PostgreSQL 17 with TimescaleDB."""
    libraries = root / "usr/lib/postgresql/17/lib"
    return any(libraries.glob("timescaledb-*.so"))


class TimescaleDatabase:
    """One server with shared_preload_libraries = timescaledb; the same face as `Database`."""

    def __init__(self, root: Path) -> None:
        """Args: root: the Debian folder. Raises ServerError when TimescaleDB is not in it."""
        if not installed(root):
            raise ServerError(
                f"no TimescaleDB in {root}; run deploy/timescaledb/install.sh as root"
            )
        self._root = root.resolve()
        self._home = Path("/var/tmp") / f"ohmesh-{secrets.token_hex(4)}"  # noqa: S108 - in the chroot
        self._log = self._inside(self._home).with_suffix(".log")
        self._password = secrets.token_urlsafe(18)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def admin_url(self) -> str:
        """The superuser's address: for bootstrap only."""
        return f"postgresql://postgres:{self._password}@{LOOPBACK}:{self.port}/postgres"

    def start(self) -> Self:
        """Make the data folder the first time, then start the server."""
        if not self._inside(self._home).exists():
            self._initialise()
        offset = self._log.stat().st_size if self._log.exists() else 0
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",
            "shared_preload_libraries": "timescaledb",
            "timescaledb.telemetry_level": "off",
            "dynamic_shared_memory_type": "mmap",  # the chroot has no /dev/shm
        }
        flags = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with self._log.open("ab") as log:
            self._process = spawn(
                [*self._as_postgres(), f"{_BIN}/postgres", "-D", self._home / "data", *flags],
                log=log,
                death_signal=signal.SIGINT,
            )
        wait_until(lambda: self._ready_since(offset), self._process, self._log)
        return self

    def stop(self) -> None:
        """Fast shutdown."""
        if self._process is not None:
            stop(self._process, sig=signal.SIGINT)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._inside(self._home), ignore_errors=True)
        self._log.unlink(missing_ok=True)

    def _inside(self, path: Path) -> Path:
        return self._root / path.relative_to("/")

    def _as_postgres(self) -> list[str]:
        return ["chroot", "--userspec=postgres:postgres", str(self._root)]

    def _initialise(self) -> None:
        self._run("install", "-d", "-m", "700", str(self._home))
        secret = self._inside(self._home) / "password"
        secret.write_text(self._password)
        secret.chmod(0o644)  # its folder is closed to others
        options = ("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
        data = ("-D", str(self._home / "data"), f"--pwfile={self._home / 'password'}")
        self._run(f"{_BIN}/initdb", *data, *options, "--no-sync")
        secret.unlink()

    def _run(self, *argv: str) -> None:
        done = subprocess.run(  # noqa: S603 - our own words
            [*self._as_postgres(), *argv], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ServerError(f"{argv[0]} failed: {done.stdout} {done.stderr}")

    def _ready_since(self, offset: int) -> bool:
        with self._log.open("rb") as log:
            log.seek(offset)
            return _READY in log.read().decode(errors="replace")
