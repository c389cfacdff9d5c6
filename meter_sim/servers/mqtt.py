"""What both brokers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meter_sim.servers.process import LOOPBACK, listening
from meter_sim.servers.server import Server

if TYPE_CHECKING:
    from pathlib import Path


class MqttServer(Server):
    """A broker; every session and message that it holds is lost when it stops."""

    def __init__(self, folder: Path, name: str, configuration: str) -> None:
        """Args: folder: for its configuration and log, made when absent. name: of its log."""
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / f"{name}.log")
        self._configuration = folder / configuration

    @property
    def url(self) -> str:
        """Its address for our programs."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    def _listens(self, _: int) -> bool:
        return listening(self.port)
