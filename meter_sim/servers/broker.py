"""An MQTT 5 broker of our own, from the wheel `iotcore` (rumqttd), on loopback.

It runs as a child process, keeps sessions in memory only, may deliver a QoS 1 message twice, and
has no access control: right for a demo and for tests that a broker must not be trusted.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Self

from meter_sim.servers.process import LOOPBACK, free_port, listening, spawn, stop, wait_until

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

MAX_PAYLOAD_BYTES = 10 * 1024 * 1024
_CONFIGURATION = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 500
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload_bytes}
max_inflight_count = 200
dynamic_filters = true
"""
_RUN = """\
import json, logging, sys
from iotcore.iotcore import IotCoreBroker
logging.basicConfig(level="WARNING")
logging.getLogger("rumqttd").setLevel("CRITICAL")  # it logs its spans of every packet as errors
IotCoreBroker(config_path=json.loads(sys.argv[1]), listen="127.0.0.1", port=0).run_forever()
"""


class Broker:
    """One broker on one port; after a stop it starts empty on the same port."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: for its configuration and log, made when absent."""
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "broker.log"
        self._configuration = folder / "rumqttd.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its address for our programs."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        """Start it and wait until it listens."""
        self._configuration.write_text(
            _CONFIGURATION.format(
                host=LOOPBACK, port=self.port, max_payload_bytes=MAX_PAYLOAD_BYTES
            )
        )
        argv = [sys.executable, "-c", _RUN, json.dumps(str(self._configuration))]
        with self._log.open("ab") as log:
            self._process = spawn(argv, log=log)
        wait_until(lambda: listening(self.port), self._process, self._log)
        return self

    def stop(self) -> None:
        """End it; every session and message that it holds is lost."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
