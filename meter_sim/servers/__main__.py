"""A database and a broker for another program: `python -m meter_sim.servers FOLDER`.

Prints one JSON line with their addresses, and stops both when its standard input ends. The broker
is Mosquitto where it is installed, and drops nothing.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

from meter_sim.servers.broker import Broker
from meter_sim.servers.database import Database
from meter_sim.servers.mosquitto import Mosquitto, installed


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    with ExitStack() as running:
        database = running.enter_context(Database(folder / "database"))
        place = folder / "broker"
        broker: Mosquitto | Broker = (
            Mosquitto(place, queued_max=0) if installed() else Broker(place)
        )
        running.enter_context(broker)
        urls = {"database": database.admin_url, "broker": broker.url}
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
