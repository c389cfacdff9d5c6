"""A database restored from a back-up: the gateways are asked again, and all comes back once."""

from __future__ import annotations

import json
import socket
import sys
import time

import pytest

from headend.store import db
from meter_sim.servers.process import free_port, spawn, stop


class Gateway:
    """`ohmesh gateway run` with its bench port."""

    def __init__(self, folder, url):
        self.port = free_port()
        self._folder = folder
        self._env = {
            "OHMESH_GATEWAY__GATEWAY": "gw1",
            "OHMESH_GATEWAY__BROKER__URL": url,
            "OHMESH_GATEWAY__BROKER__RECONNECT_CAP_S": "0.5",
            "OHMESH_GATEWAY__BENCH__ENABLED": "true",
            "OHMESH_GATEWAY__BENCH__PORT": str(self.port),
            "OHMESH_GATEWAY__OUTBOX__PATH": str(folder / "outbox.db"),
        }
        self._stream = None
        self.process = None

    def start(self):
        with (self._folder / "gateway.log").open("ab") as log:
            argv = [sys.executable, "-m", "ohmesh", "gateway", "run"]
            self.process = spawn(argv, log=log, cwd=self._folder, env=self._env)
        deadline = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as connection:
                    self._stream = connection.makefile("rwb")  # which keeps it open
            except OSError:
                assert time.monotonic() < deadline, "the gateway does not listen"
                time.sleep(0.05)
            else:
                return self

    def put(self, payloads):
        for payload in payloads:
            line = {"meter": "M1", "profile": "", "payload_hex": payload.hex()}
            self._stream.write(json.dumps(line).encode() + b"\n")
            self._stream.flush()
            assert json.loads(self._stream.readline())["ok"]

    def stop(self):
        self._stream.close()
        stop(self.process)


@pytest.fixture
def gateway(tmp_path, broker):
    made = Gateway(tmp_path, broker.url).start()
    yield made
    made.stop()


@pytest.fixture
def copy_database(database, store):
    """Copy one database to another name, as a back-up and its restoration do."""
    copies = []

    def copy(source, target):
        copies.append(target)
        with db.connect(database.admin_url, name="test", autocommit=True) as admin:
            admin.execute(f"drop database if exists {target} with (force)")
            admin.execute(f"create database {target} template {source} owner ohmesh_owner")
            for role in ("ingest", "worker", "api"):
                admin.execute(f"grant connect on database {target} to ohmesh_{role}")
            admin.execute(f"grant temporary on database {target} to ohmesh_ingest")

    yield copy
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        for name in copies:
            if name != store.name:
                admin.execute(f"drop database if exists {name} with (force)")


@pytest.mark.parametrize("saved", [40, 0], ids=["in mid epoch", "before the epoch"])
def test_what_a_back_up_lacks_comes_back_once(
    store, broker, kit, gateway, copy_database, until, saved
):
    """Whatever was committed after the back-up is still with the gateway, and goes up again."""
    store.gateway()
    store.meter(key=None)
    told = [kit.report(n) for n in range(110)]

    def stored(count):
        return lambda: store.counts()["readings"] == count

    def committed(first, last):
        with kit.running_ingest(store, broker.url, client_id="ingest"):
            gateway.put(told[first:last])
            until(stored(last), 40)
            until(lambda: through() == last, 10)

    def through():
        return store.value("select coalesce(max(upper(got)), 0) from ohmesh.gateway_progress")

    if saved:
        committed(0, saved)
    copy_database(store.name, "the_back_up")
    committed(saved, 100)
    copy_database("the_back_up", store.name)
    assert store.counts()["readings"] == saved
    with kit.running_ingest(store, broker.url, client_id="ingest"):
        gateway.put(told[100:])
        until(stored(110), 60)
        epochs = "select count(*) from ohmesh.gateway_progress"
        until(lambda: store.value(epochs) == 2, 10)
    counts = store.counts()
    assert (counts["readings"], counts["held"]) == (110, 0)
    # What told of the loss was stored before it was answered, and came up once more with the rest.
    assert 110 <= counts["telegrams"] <= 120
    values = store.rows("select value from bulk.reading order by ts")
    assert [row["value"] for row in values] == [n * 1000 for n in range(110)]
