"""A real TimescaleDB: PostgreSQL 17 of the Debian 13 folder that deploy/timescaledb makes.

The server runs under chroot, so it needs root; data lie inside that folder and are removed at the
end.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Self

from meter_sim.servers.database import PostgresServer
from meter_sim.servers.process import ServerError

_BIN = "/usr/lib/postgresql/17/bin"


def installed(root: Path) -> bool:
    """True when the folder holds PostgreSQL 17 with TimescaleDB."""
    libraries = root / "usr/lib/postgresql/17/lib"
    return any(libraries.glob("timescaledb-*.so"))


class TimescaleDatabase(PostgresServer):
    """One server with shared_preload_libraries = timescaledb; the same face as `Database`."""

    def __init__(self, root: Path) -> None:
        """Args: root: the Debian folder. Raises ServerError when TimescaleDB is not in it."""
        if not installed(root):
            raise ServerError(
                f"no TimescaleDB in {root}; run deploy/timescaledb/install.sh as root"
            )
        self._root = root.resolve()
        self._home = Path("/var/tmp") / f"ohmesh-{secrets.token_hex(4)}"  # noqa: S108 - in the chroot
        super().__init__(self._inside(self._home).with_suffix(".log"))

    def start(self) -> Self:
        """Make the data folder the first time, then start the server. Raises ServerError."""
        if not self._inside(self._home).exists():
            self._initialise()
        flags = self._flags(
            {
                "shared_preload_libraries": "timescaledb",
                "timescaledb.telemetry_level": "off",
                "dynamic_shared_memory_type": "mmap",  # the chroot has no /dev/shm
            }
        )
        argv: list[str | Path] = [
            *self._as_postgres(),
            f"{_BIN}/postgres",
            "-D",
            self._home / "data",
            *flags,
        ]
        return self._launch(argv, self._ready_since)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
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
