"""A database restored from a back-up: the gateways are asked again, and all comes back once."""

from __future__ import annotations

import json
import os
import socket
import sys
import time

import pytest
from utility import Utility

from headend.ops import backup
from headend.store import db
from meter_sim.servers.database import wheel_install
from meter_sim.servers.process import free_port, spawn, stop

ROWS = int(os.environ.get("OHMESH_ROWS", "10000000"))
"""Readings in the back-up of the soak."""
GATEWAYS, METERS, SLOTS = 4, 200, 2 * 96
"""Whose outboxes of 48 hours come again."""
RESTORE_S_MAX = 15 * 60
LINES_AT_ONCE = 200


class Gateway:
    """`ohmesh gateway run` with its bench port."""

    def __init__(self, folder, url, name="gw1"):
        self.port = free_port()
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._env = {
            "OHMESH_GATEWAY__GATEWAY": name,
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

    def put(self, payloads, meter="M1"):
        for first in range(0, len(payloads), LINES_AT_ONCE):
            part = payloads[first : first + LINES_AT_ONCE]
            for payload in part:
                line = {"meter": meter, "profile": "", "payload_hex": payload.hex()}
                self._stream.write(json.dumps(line).encode() + b"\n")
            self._stream.flush()
            assert all(json.loads(self._stream.readline())["ok"] for _ in part)

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


@pytest.fixture
def gateways(tmp_path, broker):
    made = [Gateway(tmp_path / f"gw{n}", broker.url, f"gw{n}") for n in range(1, GATEWAYS + 1)]
    for gateway in made:
        gateway.start()
    yield made
    for gateway in made:
        gateway.stop()


def history(store):
    """So many readings of the years before, on a channel of their own."""
    store.as_admin_all(
        "insert into ohmesh.channel (name, obis, unit, scaler) values ('c', '1-0:1.8.0', 'Wh', 0)"
    )
    store.as_admin_all(
        "insert into bulk.reading select m.id, c.id, timestamptz '2026-01-01+00'"
        " - n * interval '15 min', n, 0 from ohmesh.meter m, ohmesh.channel c,"
        f" generate_series(1, {ROWS // METERS}) n where m.name like 'R%'"
    )
    assert store.counts()["readings"] == ROWS // METERS * METERS


def content(store):
    """The history and the ledger, as sums that a lost, doubled or changed row moves."""
    return store.rows(
        "select (select count(*) from bulk.reading r join ohmesh.channel c on c.id = r.channel"
        "        where c.name = 'c') as rows,"
        " (select sum(hashtextextended(r::text, 0)) from bulk.reading r"
        "  join ohmesh.channel c on c.id = r.channel where c.name = 'c') as content,"
        " (select count(*) from ohmesh.transfer) as transfers,"
        " (select sum(debits_mu - credits_mu) from ohmesh.account_balance) as balance",
        "owner",
    )


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_large_back_up_is_back_in_time_and_two_days_of_outboxes_after_it(
    store, headend_base, database, broker, kit, gateways, tmp_path, until, capsys
):
    """OHMESH_ROWS readings are back within 15 minutes; then 48 hours come again, each once."""
    utility = Utility(store, kit)
    utility.homes(3)
    for number in range(2, GATEWAYS + 1):
        store.gateway(f"gw{number}")
    for number in range(METERS):
        store.meter(f"R{number}", key=None)
    history(store)
    before, known = content(store), store.counts()["readings"]

    file, tools = tmp_path / "ohmesh.dump", wheel_install() / "bin"
    begin = time.monotonic()
    size = backup.back_up(store.admin_url, file, tools=tools)
    saved_s = time.monotonic() - begin

    def stored(count):
        return lambda: store.counts()["readings"] == known + count

    def tell(slots):
        for number in range(METERS):
            meter = f"R{number}"
            told = [kit.report(n, meter=meter) for n in slots]
            gateways[number % GATEWAYS].put(told, meter)

    with kit.running_ingest(store, broker.url, client_id="ingest"):
        tell(range(SLOTS))
        until(stored(METERS * SLOTS), 600)
    for connection in store.connections:
        connection.close()
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute(f"drop database {store.name} with (force)")
    begin = time.monotonic()
    config = headend_base[1] / "headend.toml"
    backup.restore(file, database.admin_url, store.name, config, tools=tools)
    restored_s = time.monotonic() - begin
    assert content(store) == before
    assert store.counts()["readings"] == known

    begin = time.monotonic()
    with kit.running_ingest(store, broker.url, client_id="ingest"):
        tell(range(SLOTS, SLOTS + 1))  # from which the gateways hear that it was restored
        until(stored(METERS * (SLOTS + 1)), 600)
    again_s = time.monotonic() - begin
    assert content(store) == before
    sums = store.rows(
        "select count(*) as n, sum(value) as wh from bulk.reading r join ohmesh.channel c"
        " on c.id = r.channel where c.name <> 'c' group by meter_id"
    )
    each = {"n": SLOTS + 1, "wh": 1000 * sum(range(SLOTS + 1))}
    assert sums == [each] * METERS
    assert store.counts()["held"] == 0
    figures = {"rows": known, "MiB": size >> 20, "backup_s": saved_s, "restore_s": restored_s}
    with capsys.disabled():
        sys.stdout.write(json.dumps(figures | {"sent_again_s": again_s}) + "\n")
    assert restored_s <= RESTORE_S_MAX
