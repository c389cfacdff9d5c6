"""Processes killed, servers that go away and come back: nothing lost, nothing stored twice."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from headend.ingest import journal
from headend.ingest.loop import Ingest
from headend.ingest.source import MqttSource
from headend.ingest.writer import Writer
from headend.service.fleet import change_meter
from headend.store import bootstrap
from meter_sim.servers.broker import Broker
from meter_sim.servers.database import Database
from meter_sim.servers.mosquitto import Mosquitto
from meter_sim.servers.process import spawn, stop, wait_until

TELEGRAMS = 600


@pytest.fixture
def own_database(server_folder, request):
    """A database server of the test's own, to crash at will."""
    with Database(server_folder / request.node.name) as server:
        yield server


def slowly(gateway, telegrams):
    """Long enough for the faults to fall into the traffic; the tests assert that they do."""
    gateway.drain(telegrams, batch=5, pause_s=0.02)


def start_ingest(config, log):
    argv = [sys.executable, "-m", "ohmesh", "headend", "ingest", "--config", config]
    return spawn(argv, log=log)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [20, pytest.param(500, marks=pytest.mark.soak)])
def test_ingest_killed_in_mid_run_loses_and_doubles_nothing(
    store, broker, configured, kit, tmp_path, until, kills
):
    """Each kill comes when rows were just committed and more are under way."""
    store.gateway()
    store.meter()
    telegrams, over = [], threading.Event()

    def send(gateway):
        last = False
        while not last:  # traffic as long as there are kills, however fast it goes
            last = over.is_set()  # what is sent then, the last process has taken: it has begun
            known = len(telegrams)
            telegrams.extend(map(kit.telegram, range(known, known + 100)))
            gateway.drain(telegrams, through=known, batch=5, limit_s=3000)

    with (tmp_path / "log").open("wb") as log, kit.GatewaySide(broker.url) as gateway:
        process = start_ingest(configured, log)
        sender = threading.Thread(target=send, args=(gateway,))
        sender.start()
        try:
            for _ in range(kills):
                before = store.counts()["telegrams"]
                until(lambda: store.counts()["telegrams"] > before)  # noqa: B023 - called at once
                process.send_signal(signal.SIGKILL)
                process.wait()
                process = start_ingest(configured, log)
        finally:
            over.set()
            sender.join()
            code = stop(process)
    count = len(telegrams)
    assert code == 0
    assert store.counts() == {"readings": count, "telegrams": count, "held": 0}
    assert store.value("select got::text from ohmesh.gateway_progress") == f"{{[0,{count})}}"


def test_a_database_that_crashes_and_comes_back(own_database, shared_broker, kit, tmp_path, store):
    made = bootstrap.bootstrap(
        own_database.admin_url,
        database="crash",
        file=tmp_path / "headend.toml",
        broker_url="mqtt://127.0.0.1:1883",
        api_port=8080,
    )
    mine = replace(store, urls=made.urls, name="crash", connections=[])
    mine.gateway("gwc")
    mine.meter()
    telegrams = [kit.telegram(n) for n in range(TELEGRAMS)]
    url = shared_broker.url
    with kit.running_ingest(mine, url), kit.GatewaySide(url, "gwc") as gateway:
        sender = threading.Thread(target=slowly, args=(gateway, telegrams))
        sender.start()
        crashed_alive: list[bool] = []
        for _ in range(3):
            sender.join(0.4)
            crashed_alive.append(sender.is_alive())
            own_database.crash()
            sender.join(0.5)
            own_database.start()
        sender.join()
    assert crashed_alive[0], "the crash came after the traffic"
    assert mine.counts() == {"readings": TELEGRAMS, "telegrams": TELEGRAMS, "held": 0}


def test_a_table_that_is_locked_for_a_while_only_delays(store, shared_broker, kit):
    store.gateway("gwl")
    store.meter()
    telegrams = [kit.telegram(n) for n in range(100)]
    url = shared_broker.url
    owner = store.connect("owner")
    with kit.running_ingest(store, url), kit.GatewaySide(url, "gwl") as gateway:
        with owner.transaction():
            owner.execute("lock table bulk.reading in access exclusive mode")
            sender = threading.Thread(target=gateway.drain, args=(telegrams,))
            sender.start()
            sender.join(1.5)
            assert sender.is_alive()
            assert gateway.acks.empty(), "acknowledged before it was committed"
        sender.join()
    assert store.counts() == {"readings": 100, "telegrams": 100, "held": 0}


def test_a_connection_that_the_server_ends_is_made_again(store, shared_broker, kit):
    store.gateway("gwt")
    store.meter()
    telegrams = [kit.telegram(n) for n in range(200)]
    url = shared_broker.url
    kill = (
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where usename = 'ohmesh_ingest' and datname = current_database()"
    )
    with kit.running_ingest(store, url), kit.GatewaySide(url, "gwt") as gateway:
        sender = threading.Thread(target=slowly, args=(gateway, telegrams))
        sender.start()
        ended = 0
        for _ in range(3):
            sender.join(0.2)
            ended += store.as_admin(kill)
        sender.join()
    assert ended >= 1
    assert store.counts() == {"readings": 200, "telegrams": 200, "held": 0}


def test_a_broker_that_restarts_empty(store, tmp_path, kit):
    store.gateway()
    store.meter()
    telegrams = [kit.telegram(n) for n in range(TELEGRAMS)]
    broker = Broker(tmp_path / "broker")
    with (
        broker,
        kit.running_ingest(store, broker.url),
        kit.GatewaySide(broker.url) as gateway,
    ):
        sender = threading.Thread(target=slowly, args=(gateway, telegrams))
        sender.start()
        for _ in range(2):
            sender.join(0.3)
            assert sender.is_alive(), "the restart came after the traffic"
            broker.stop()
            broker.start()
        sender.join()
    assert store.counts() == {"readings": TELEGRAMS, "telegrams": TELEGRAMS, "held": 0}


def test_two_ingest_processes_share_the_uplinks(store, broker, kit):
    """`$share`: any number of workers, and the counts stay exact."""
    store.gateway()
    store.meter()
    telegrams = [kit.telegram(n) for n in range(TELEGRAMS)]
    with (
        kit.running_ingest(store, broker.url, client_id="one", shared=True) as one,
        kit.running_ingest(store, broker.url, client_id="two", shared=True) as two,
        kit.GatewaySide(broker.url) as gateway,
    ):
        gateway.drain(telegrams, batch=5)
        shares = (one.totals["telegrams"], two.totals["telegrams"])
    assert sum(shares) == TELEGRAMS
    assert store.counts() == {"readings": TELEGRAMS, "telegrams": TELEGRAMS, "held": 0}


@pytest.mark.parametrize(
    ("role", "ready"),
    [("ingest", b"connected"), ("worker", b"connected"), ("serve", b"startup complete")],
)
def test_the_head_end_ends_on_sigterm(configured, tmp_path, role, ready):
    log_file = tmp_path / "log"
    with log_file.open("wb") as log:
        argv = [sys.executable, "-m", "ohmesh", "headend", role, "--config", configured]
        process = spawn(argv, log=log)
    wait_until(lambda: ready in log_file.read_bytes(), process, log_file)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0, log_file.read_text()


def test_a_bug_in_storing_holds_one_message_and_stops_nobody(
    store, shared_broker, kit, monkeypatch, until
):
    """What cannot be stored goes to quarantine whole; without the bug it is decoded."""
    store.gateway("gwb")
    store.meter("M1")
    store.meter("M2")
    write, broken = journal.write, [True]

    def fail_for_m2(connection, effects):
        if broken[0] and any(counter >= 1000 for _, counter in effects.counters):
            raise RuntimeError("a bug")
        write(connection, effects)

    monkeypatch.setattr(journal, "write", fail_for_m2)
    url = shared_broker.url
    with kit.running_ingest(store, url), kit.GatewaySide(url, "gwb") as gateway:
        for n in range(6):
            bad = n == 3
            one = kit.telegram(n, meter="M2" if bad else "M1", counter=n + 1000 * bad)
            gateway.send(n, [one])
        gateway.wait_ack(6)
        assert store.counts() == {"readings": 5, "telegrams": 6, "held": 1}
        held = store.rows("select reason, message from bulk.telegram_quarantine")[0]
        assert held == {"reason": "store", "message": "a bug"}
        store.ask(change_meter(1, "M2", interval_s=1800))
        until(lambda: store.value("select meter_version from bulk.telegram_quarantine") == 2)
        assert store.counts()["held"] == 1
        broken[0] = False
        store.ask(change_meter(1, "M2", interval_s=900))
        until(lambda: store.counts()["held"] == 0)
    assert store.counts() == {"readings": 6, "telegrams": 6, "held": 0}


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.mark.parametrize("stall_s", [4, pytest.param(60, marks=pytest.mark.soak)])
def test_a_database_that_stalls_is_waited_for(
    own_database, shared_broker, kit, tmp_path, store, stall_s
):
    """Every process of the server stands still, as behind a storage that hangs."""
    made = bootstrap.bootstrap(
        own_database.admin_url,
        database="stall",
        file=tmp_path / "headend.toml",
        broker_url="mqtt://127.0.0.1:1883",
        api_port=8080,
    )
    mine = replace(store, urls=made.urls, name="stall", connections=[])
    mine.gateway("gws")
    mine.meter()
    telegrams = [kit.telegram(n) for n in range(200)]
    url = shared_broker.url
    server = own_database._process.pid
    with kit.running_ingest(mine, url), kit.GatewaySide(url, "gws") as gateway:
        sender = threading.Thread(
            target=gateway.drain, args=(telegrams,), kwargs={"batch": 5, "limit_s": 200}
        )
        stopped = children_of(server)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        sender.start()
        sender.join(stall_s)
        assert sender.is_alive()
        assert gateway.acks.empty(), "acknowledged while the database stood still"
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        sender.join()
    assert mine.counts() == {"readings": 200, "telegrams": 200, "held": 0}


@pytest.mark.mosquitto
def test_a_slow_database_is_felt_by_the_senders_and_not_by_memory(store, tmp_path, kit):
    """While a table is locked ingest holds what the broker may have under way, and no more."""
    batches, receive_maximum, senders = 120, 16, 4
    for number in range(senders):
        store.gateway(f"gw{number}")
    store.meter("M2", key=None)
    owner = store.connect("owner")
    each = batches // senders
    broker = Mosquitto(tmp_path / "broker")
    source = MqttSource(
        broker.start().url,
        client_id="slow",
        shared=False,
        receive_maximum=receive_maximum,
        lanes=2,
    )
    lanes = [
        Ingest(
            url=store.urls["ingest"],
            source=lane,
            writer=Writer(store.keystore),
            publish=source.client.publish,
            batch_messages=4,
            batch_telegrams=20,
            batch_wait_ms=0,
            requeues=False,
        )
        for lane in source.lanes
    ]
    stop = threading.Event()
    threads = [threading.Thread(target=lane.run, args=(stop,)) for lane in lanes]
    source.start()
    assert source.client.wait_connected(10)
    for thread in threads:
        thread.start()
    taken = []
    enqueue = source.client._receive
    source.client._receive = lambda deliveries: (taken.extend(deliveries), enqueue(deliveries))
    try:
        with ExitStack() as sides:
            gateways = [
                sides.enter_context(kit.GatewaySide(broker.url, f"gw{n}")) for n in range(senders)
            ]
            with owner.transaction():
                owner.execute("lock table bulk.reading in access exclusive mode")
                for number in range(each):
                    for n, gateway in enumerate(gateways):
                        one = kit.telegram(number * senders + n, meter="M2", key=None)
                        gateway.send(number, [one])
                wait_until_still(taken)
                assert len(taken) == receive_maximum
                assert all(gateway.acks.empty() for gateway in gateways)
            for gateway in gateways:
                gateway.wait_ack(each)
        assert len(taken) == batches
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
        source.stop()
        broker.stop()
    assert store.counts() == {"readings": batches, "telegrams": batches, "held": 0}


def wait_until_still(taken: list) -> None:
    """Wait until nothing more arrives."""
    before = -1
    while len(taken) != before:
        before = len(taken)
        time.sleep(1.0)
