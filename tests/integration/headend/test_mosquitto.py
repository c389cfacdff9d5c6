"""The same on Mosquitto, with its default limits: what it drops or forgets is not missed."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from headend.service.commands import NewCommand, create_command
from meter_sim.servers.process import LOOPBACK, free_port, listening, spawn, stop, wait_until
from ohmesh.model.command import CommandKind

pytestmark = pytest.mark.mosquitto
TELEGRAMS = 600


class Mosquitto:
    """One broker without persistence, killed and started at will."""

    def __init__(self, folder, *, queue_limit):
        self.port = free_port()
        self.url = f"mqtt://{LOOPBACK}:{self.port}"
        self.log = folder / "mosquitto.log"
        self.config = folder / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} {LOOPBACK}\nallow_anonymous true\n"
            f"max_queued_messages {queue_limit}\nmax_inflight_messages 20\n"
        )
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = spawn(["/usr/sbin/mosquitto", "-c", self.config], log=log)
        wait_until(lambda: listening(self.port), self.process, self.log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        stop(self.process)


@pytest.mark.parametrize(
    "kills", [10, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_a_broker_that_is_killed_and_forgets_loses_and_doubles_nothing(store, kit, tmp_path, kills):
    store.gateway()
    store.meter()
    telegrams, over = [], threading.Event()
    with (
        Mosquitto(tmp_path, queue_limit=10) as broker,
        kit.running_ingest(store, broker.url),
        kit.GatewaySide(broker.url) as gateway,
    ):

        def send():
            while not over.is_set():  # traffic as long as there are kills, however fast it goes
                known = len(telegrams)
                telegrams.extend(map(kit.telegram, range(known, known + 150)))
                gateway.drain(telegrams, through=known, batch=5, pause_s=0.02, limit_s=1500)

        sender = threading.Thread(target=send)
        sender.start()
        for _ in range(kills):
            time.sleep(0.3)
            broker.kill()
            broker.start()
            time.sleep(1.5)
        over.set()
        sender.join()
    count = len(telegrams)
    assert store.counts() == {"readings": count, "telegrams": count, "held": 0}


def test_every_command_ends_although_the_broker_forgets(store, kit, tmp_path, until):
    """Commands, results and acknowledgements are all lost at times; the table settles it."""
    store.gateway()
    store.meter()
    meter, outbox, over = kit.Meter(kit.KEY), [kit.telegram(0)], threading.Event()

    def live(gateway):
        """A gateway with its meter: takes what comes down, and sends its outbox until acked."""
        while not over.is_set():
            gateway.try_send(0, list(outbox))
            with contextlib.suppress(queue.Empty):
                outbox.append(meter.obey(gateway.downs.get(timeout=0.2)))

    def state(value):
        sql = "select state from ohmesh.command order by sequence desc"
        return lambda: store.value(sql) == value

    with (
        Mosquitto(tmp_path, queue_limit=10) as broker,
        kit.running_ingest(store, broker.url),
        kit.running_worker(store, broker.url),
        kit.GatewaySide(broker.url) as gateway,
    ):
        thread = threading.Thread(target=live, args=(gateway,))
        thread.start()
        until(lambda: store.value("select gateway_id is not null from ohmesh.meter_status"))
        for number, kind in enumerate([CommandKind.RELAY_OFF, CommandKind.RELAY_ON]):
            broker.kill()
            now = datetime.now(UTC)
            request = NewCommand("M1", kind, now + timedelta(hours=1), str(number), "test")
            store.ask(create_command(1, request, now))
            until(state("sent"))
            broker.start()
            until(state("done"), 60)
        over.set()
        thread.join()
    assert meter.executed == [CommandKind.RELAY_OFF, CommandKind.RELAY_ON]
    assert store.value("select min(attempts) from ohmesh.command") >= 2


def test_what_waited_in_the_session_while_ingest_was_away_is_taken(store, kit, tmp_path):
    """The broker keeps the session; nobody sends again."""
    store.gateway()
    store.meter()
    with Mosquitto(tmp_path, queue_limit=1000) as broker:
        with kit.running_ingest(store, broker.url):
            pass
        with kit.GatewaySide(broker.url) as gateway:
            for first in range(0, 100, 5):
                gateway.send(first, [kit.telegram(n) for n in range(first, first + 5)])
            assert store.counts()["telegrams"] == 0
            with kit.running_ingest(store, broker.url):
                gateway.wait_ack(100)
    assert store.counts() == {"readings": 100, "telegrams": 100, "held": 0}


def test_two_workers_share_the_uplinks_of_mosquitto(store, kit, tmp_path):
    store.gateway()
    store.meter()
    telegrams = [kit.telegram(n) for n in range(TELEGRAMS)]
    with (
        Mosquitto(tmp_path, queue_limit=1000) as broker,
        kit.running_ingest(store, broker.url, client_id="one", shared=True) as one,
        kit.running_ingest(store, broker.url, client_id="two", shared=True) as two,
        kit.GatewaySide(broker.url) as gateway,
    ):
        gateway.drain(telegrams, batch=5)
        shares = (one.totals["telegrams"], two.totals["telegrams"])
    assert min(shares) > 0
    assert sum(shares) == TELEGRAMS
    assert store.counts() == {"readings": TELEGRAMS, "telegrams": TELEGRAMS, "held": 0}
