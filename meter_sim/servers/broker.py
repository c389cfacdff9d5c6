"""An MQTT 5 broker of our own, from the wheel `iotcore` (rumqttd), on loopback.

It runs as a child process, keeps sessions in memory only, may deliver a QoS 1 message twice, and
has no access control: right for a demo and for tests that a broker must not be trusted.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Self

from meter_sim.servers.mqtt import MqttServer
from meter_sim.servers.process import LOOPBACK

if TYPE_CHECKING:
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


class Broker(MqttServer):
    """One broker on one port; after a stop it starts empty on the same port."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: for its configuration and log, made when absent."""
        super().__init__(folder, "broker", "rumqttd.toml")

    def start(self) -> Self:
        """Start it and wait until it listens. Raises ServerError."""
        self._configuration.write_text(
            _CONFIGURATION.format(
                host=LOOPBACK, port=self.port, max_payload_bytes=MAX_PAYLOAD_BYTES
            )
        )
        argv = [sys.executable, "-c", _RUN, json.dumps(str(self._configuration))]
        return self._launch(argv, self._listens)
