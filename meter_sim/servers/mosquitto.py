"""Debian's Mosquitto on loopback, where it is installed: the broker that most people run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Self

from meter_sim.servers.mqtt import MqttServer
from meter_sim.servers.process import LOOPBACK, ServerError

if TYPE_CHECKING:
    from pathlib import Path


def installed() -> str | None:
    """Where it is; None without it."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Mosquitto(MqttServer):
    """One broker with its default limits, open to loopback; memory only."""

    def __init__(self, folder: Path, *, queued_max: int = 1000) -> None:
        """Args: folder: for its configuration and log, made when absent.

        queued_max: messages that it keeps for one client, dropping what is beyond; 0: all.
        """
        super().__init__(folder, "mosquitto", "mosquitto.conf")
        self._queued_max = queued_max

    def start(self) -> Self:
        """Start it and wait until it listens. Raises ServerError."""
        program = installed()
        if program is None:
            raise ServerError("mosquitto is not installed (Debian package mosquitto)")
        self._configuration.write_text(
            f"listener {self.port} {LOOPBACK}\nallow_anonymous true\nsys_interval 1\n"
            "set_tcp_nodelay true\n"  # as `ohmesh headend mqtt-config` writes it
            f"max_queued_messages {self._queued_max}\n"
        )
        return self._launch([program, "-c", self._configuration], self._listens)
