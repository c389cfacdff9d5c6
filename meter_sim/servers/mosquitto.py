"""Debian's Mosquitto on loopback, where it is installed: the broker that most people run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Self

from meter_sim.servers.process import (
    LOOPBACK,
    ServerError,
    free_port,
    listening,
    spawn,
    stop,
    wait_until,
)

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def installed() -> str | None:
    """Where it is; None without it."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Mosquitto:
    """One broker with its default limits, open to loopback; memory only."""

    def __init__(self, folder: Path, *, queued_max: int = 1000) -> None:
        """Args: folder: for its configuration and log, made when absent.

        queued_max: messages that it keeps for one client, dropping what is beyond; 0: all.
        """
        self._queued_max = queued_max
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "mosquitto.log"
        self._configuration = folder / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its address for our programs."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """Of its process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until it listens. Raises ServerError."""
        program = installed()
        if program is None:
            raise ServerError("mosquitto is not installed (Debian package mosquitto)")
        self._configuration.write_text(
            f"listener {self.port} {LOOPBACK}\nallow_anonymous true\nsys_interval 1\n"
            f"max_queued_messages {self._queued_max}\n"
        )
        with self._log.open("ab") as log:
            self._process = spawn([program, "-c", self._configuration], log=log)
        wait_until(lambda: listening(self.port), self._process, self._log)
        return self

    def stop(self) -> None:
        """End it; what it holds is lost."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
