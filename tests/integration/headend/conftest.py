"""A head-end's database of the test's own, and a gateway's side of the broker."""

from __future__ import annotations

import queue
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from firmware_profiles import registry
from firmware_profiles.api import Report
from headend.gate.judging import Signer
from headend.gate.process import Gate
from headend.ingest.loop import Ingest
from headend.ingest.source import MqttSource
from headend.ingest.writer import Writer
from headend.keystore import Keystore
from headend.mqtt import MqttClient
from headend.service.fleet import NewGateway, NewMeter, register_gateway, register_meter
from headend.store import bootstrap, db, migrate
from headend.worker import Worker
from meter_sim.servers.process import free_port
from ohmesh.model.command import CommandKind, CommandResult, RelayState, ResultStatus
from ohmesh.model.reading import Reading
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.downlink import decode_down
from ohmesh.wire.metercommand import decode_command, encode_result
from ohmesh.wire.sealed import SealedKind, kind_of_command, seal, unseal
from ohmesh.wire.uplink import decode_ack, encode_batch

sys.path.append(str(Path(__file__).parent))
from wasm import DATABASE, community_server

PROFILE = "nl_dsmr"
CHANNEL = "el.energy.import"
START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=15)
KEY = bytes(range(16))
GATE_KEY = bytes(range(32))
NO_RESTRICTION = {"pack": "unrestricted-demo", "notice_minutes": None, "stale_after_s": 345_600}
TENANT = 1


@dataclass
class Store:
    """One database with its addresses by role, and connections that the test closes."""

    urls: dict[str, str]
    keystore: Keystore
    name: str
    admin_url: str = ""
    connections: list = field(default_factory=list)

    def connect(self, role: str, *, autocommit: bool = True):
        connection = db.connect(self.urls[role], name="test", autocommit=autocommit)
        self.connections.append(connection)
        return connection

    def rows(self, sql: str, role: str = "worker", **params) -> list[dict]:
        with db.connect(self.urls[role], name="test", autocommit=True) as connection:
            return connection.execute(sql, params).fetchall()

    def value(self, sql: str, **params):
        return next(iter(self.rows(sql, **params)[0].values()))

    def value_as_owner(self, sql: str, **params):
        """For what no serving role may do."""
        return next(iter(self.rows(sql, "owner", **params)[0].values()))

    def as_admin(self, sql: str):
        """For what only the superuser may do."""
        with db.connect(self.admin_url, name="admin", autocommit=True) as connection:
            return next(iter(connection.execute(sql).fetchone().values()))

    def as_admin_all(self, sql: str) -> None:
        """A statement of the superuser without rows."""
        with db.connect(self.admin_url, name="admin", autocommit=True) as connection:
            connection.execute(sql)

    def ask(self, plan, tenant: int = TENANT):
        """Run a plan as the API does: its role, one tenant, one transaction."""
        with db.connect(self.urls["api"], name="test") as connection, connection.transaction():
            connection.execute("select set_config('ohmesh.tenant', %s, true)", (str(tenant),))
            return db.run(connection, plan)

    def work(self, plan):
        """Run a plan as the worker does."""
        with db.connect(self.urls["worker"], name="test") as connection, connection.transaction():
            return db.run(connection, plan)

    def gateway(self, name: str = "gw1", tenant: int = TENANT) -> int:
        return self.ask(register_gateway(tenant, NewGateway(name)), tenant)

    def meter(
        self, name: str = "M1", *, key: bytes | None = KEY, address="", tenant: int = TENANT
    ) -> int:
        sealed = None if key is None else self.keystore.seal(name, key)
        new = NewMeter(name, address or name, PROFILE, 900, sealed)
        return self.ask(register_meter(tenant, new), tenant)

    def counts(self) -> dict[str, int]:
        return self.rows(
            "select (select count(*) from bulk.reading) as readings,"
            " (select count(*) from bulk.telegram) as telegrams,"
            " (select count(*) from bulk.telegram_quarantine where resolved_at is null) as held"
        )[0]


_numbers = iter(range(10**6))


@pytest.fixture
def store(database, headend_base):
    """A fresh head-end database, dropped at the end."""
    urls, folder = headend_base
    name = f"headend_{next(_numbers)}"
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute(f"create database {name} template headend_base owner ohmesh_owner")
        admin.execute(f"revoke all on database {name} from public")
        for role in ("ingest", "worker", "api", "gate"):
            admin.execute(f"grant connect on database {name} to ohmesh_{role}")
        admin.execute(f"grant temporary on database {name} to ohmesh_ingest")
    mine = {role: urlsplit(url)._replace(path=f"/{name}").geturl() for role, url in urls.items()}
    admin_url = urlsplit(database.admin_url)._replace(path=f"/{name}").geturl()
    made = Store(mine, Keystore.from_file(folder / "kek"), name, admin_url)
    yield made
    for connection in made.connections:
        connection.close()
    with db.connect(database.admin_url, name="test", autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def hyper(timescale, tmp_path, make_store):
    """A head-end's database on TimescaleDB."""
    made = bootstrap.bootstrap(
        timescale.admin_url,
        database="ohmesh",
        file=tmp_path / "headend.toml",
        broker_url="mqtt://127.0.0.1:1883",
        api_port=8080,
    )
    store = make_store(made.urls, Keystore.from_file(tmp_path / "kek"))
    yield store
    for connection in store.connections:
        connection.close()
    with db.connect(timescale.admin_url, name="test", autocommit=True) as admin:
        admin.execute("drop database ohmesh with (force)")


@pytest.fixture
def community(tmp_path, make_store, monkeypatch):
    """A head-end's database on TimescaleDB's community edition, in WebAssembly.

    It has one backend, so nothing is prepared in it that another connection could fall over, and it
    is older than the head-end takes on a server.
    """
    connect = db.connect

    def connect_unprepared(url, **settings):
        connection = connect(url, **settings)
        connection.prepare_threshold = None
        return connection

    monkeypatch.setattr(db, "connect", connect_unprepared)
    monkeypatch.setattr(migrate, "COLUMNSTORE_SINCE", (2, 23))
    with community_server(tmp_path) as admin_url:
        with db.connect(admin_url, name="test", autocommit=True) as admin:
            admin.execute("create role ohmesh_owner")
            admin.execute(f"alter database {DATABASE} owner to ohmesh_owner")
        made = bootstrap.bootstrap(
            admin_url,
            database=DATABASE,
            file=tmp_path / "headend.toml",
            broker_url="mqtt://127.0.0.1:1883",
            api_port=8080,
        )
        store = make_store(made.urls, Keystore.from_file(tmp_path / "kek"))
        store.admin_url = admin_url
        yield store
        for connection in store.connections:
            connection.close()


@pytest.fixture(
    params=[
        pytest.param("store", id="plain"),
        pytest.param("hyper", marks=pytest.mark.timescaledb),
        pytest.param("community", marks=pytest.mark.soak),
    ]
)
def any_store(request, database):  # noqa: ARG001 - the server starts before the test does
    """The same on plain PostgreSQL and on TimescaleDB: the answers must be the same too."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def make_store():
    """A store on another server: its addresses by role and its key store."""
    return lambda urls, keystore: Store(urls, keystore, "own")


@pytest.fixture
def configured(store, broker, headend_base, tmp_path):
    """The configuration file of this test's database and broker, with the session's secrets."""
    _, folder = headend_base
    text = (folder / "headend.toml").read_text().replace("port = 8080", f"port = {free_port()}")
    text = text.replace("/headend_base", f"/{store.name}")
    text = text.replace("mqtt://127.0.0.1:1883", broker.url)
    text = text.replace("batch_telegrams = 4000", "batch_telegrams = 40")  # many transactions
    file = tmp_path / "headend.toml"
    file.write_text(text)
    return file


def report(number: int, *, wh: int | None = None, meter: str = "M1") -> bytes:
    """The telegram of interval `number`: its import register is 1000 * number Wh."""
    spec = registry.load(PROFILE).spec
    register = spec.registers[CHANNEL]
    value = 1000 * number if wh is None else wh
    mantissa = value // 10**register.scaler if register.scaler >= 0 else value
    time_ = START + STEP * (number + 1)
    return registry.load(PROFILE).encode(
        Report(meter, time_, (Reading(register, mantissa, time_),))
    )


def telegram(
    number: int, *, meter: str = "M1", key: bytes | None = KEY, counter=None, payload=None
) -> Telegram:
    """A telegram of a meter as its gateway takes it."""
    body = report(number, meter=meter) if payload is None else payload
    if key is not None and payload is None:
        body = seal(key, meter, SealedKind.REPORT, number if counter is None else counter, body)
    at_ms = int((START + STEP * (number + 1)).timestamp() * 1000)
    return Telegram(TelegramKind.METER, "bench", meter, PROFILE, at_ms, body)


def seal_report(body: bytes, *, counter: int) -> bytes:
    return seal(KEY, "M1", SealedKind.REPORT, counter, body)


def telegram_of(payload: bytes) -> Telegram:
    return Telegram(TelegramKind.METER, "bench", "M1", "", 0, payload)


class GatewaySide:
    """What a gateway does on the broker: it publishes batches and hears acknowledgements."""

    def __init__(self, url: str, name: str = "gw1") -> None:
        self.name = name
        self.acks: queue.Queue = queue.Queue()
        self._client = MqttClient(
            url,
            client_id=f"test-{name}",
            subscriptions=[topics.gateway_topic(name, "ack"), topics.gateway_topic(name, "down")],
            receive=self._on_messages,
        )
        self.downs: queue.Queue = queue.Queue()

    def _on_messages(self, deliveries) -> None:
        self._client.acknowledge([(d.connection, d.mid) for d in deliveries if d.mid])
        for delivery in deliveries:
            if delivery.topic.endswith("/ack"):
                self.acks.put(decode_ack(delivery.payload))
            else:
                self.downs.put(delivery.payload)

    def __enter__(self):
        self._client.start()
        assert self._client.wait_connected(10)
        return self

    def __exit__(self, *_):
        self._client.stop()

    def send(self, first_seq: int, telegrams: list[Telegram], *, epoch: int = 1) -> None:
        payload = encode_batch(self.name, epoch, first_seq, telegrams)
        self.publish(topics.gateway_topic(self.name, "up"), payload)

    def publish(self, topic: str, payload: bytes) -> None:
        """QoS 1, acknowledged by the broker when this returns."""
        assert self._client.publish(topic, payload, qos=1)
        deadline = time.monotonic() + 60
        while self._client.unsettled:
            assert time.monotonic() < deadline, "the broker acknowledges nothing"
            time.sleep(0.001)

    def drain(
        self,
        telegrams: list[Telegram],
        *,
        through: int = 0,
        batch: int = 20,
        pause_s: float = 0,
        limit_s: float = 60,
    ) -> None:
        """Send as an outbox does: batches from the oldest unacknowledged row on, until all are."""
        deadline = time.monotonic() + limit_s
        wait_s = 0.5
        while through < len(telegrams):
            assert time.monotonic() < deadline, f"stuck at {through} of {len(telegrams)}"
            for first in range(through, len(telegrams), batch):
                self.try_send(first, telegrams[first : first + batch])
                time.sleep(pause_s)
            before, through = through, self._newest_ack(through, wait_s=wait_s)
            wait_s = 0.5 if through > before else min(4, 2 * wait_s)

    def _newest_ack(self, through: int, wait_s: float) -> int:
        try:
            while True:
                through = max(through, self.acks.get(timeout=wait_s).through)
        except queue.Empty:
            return through

    def try_send(self, first_seq: int, telegrams: list[Telegram]) -> None:
        payload = encode_batch(self.name, 1, first_seq, telegrams)
        self._client.publish(topics.gateway_topic(self.name, "up"), payload)

    def wait_ack(self, through: int, *, epoch: int = 1, limit_s: float = 60) -> None:
        """Wait until everything below `through` is acknowledged."""
        deadline = time.monotonic() + limit_s
        while True:
            ack = self.acks.get(timeout=max(0.01, deadline - time.monotonic()))
            if ack.epoch == epoch and ack.through >= through:
                return


@contextmanager
def running_ingest(store: Store, url: str, *, client_id: str = "test-ingest", shared=False):
    """Ingest in a thread, as `ohmesh headend serve` runs it."""
    source = MqttSource(url, client_id=client_id, shared=shared, receive_maximum=64)
    ingest = Ingest(
        url=store.urls["ingest"],
        source=source.lanes[0],
        writer=Writer(store.keystore),
        publish=source.client.publish,
        batch_messages=1000,
        batch_telegrams=4000,
        batch_wait_ms=5,
    )
    stop = threading.Event()
    thread = threading.Thread(target=ingest.run, args=(stop,), name="ingest")
    source.start()
    thread.start()
    assert source.client.wait_connected(10)
    try:
        yield ingest
    finally:
        stop.set()
        thread.join(10)
        source.stop()
        assert not thread.is_alive()


def utc_now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def running_worker(store, url, now=utc_now):
    """The worker, and the gate without which nobody is cut."""
    client = MqttClient(url, client_id=f"worker-{store.name}")
    worker = Worker(
        url=store.urls["worker"], keystore=store.keystore, publish=client.publish, now=now
    )
    gate = Gate(url=store.urls["gate"], signer=Signer(GATE_KEY, {}), now=now)
    stop = threading.Event()
    threads = [
        threading.Thread(target=role.run, args=(stop,), name=name)
        for name, role in (("worker", worker), ("gate", gate))
    ]
    client.start()
    assert client.wait_connected(10)
    for thread in threads:
        thread.start()
    try:
        yield worker
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
        client.stop()
        assert not any(thread.is_alive() for thread in threads)


class Meter:
    """A meter behind a gateway: executes sealed commands once, with the sequence as its fence."""

    def __init__(self, key, name="M1"):
        self.key, self.name = key, name
        self.relay = RelayState.CONNECTED
        self.counter = 1000
        self.executed = []
        self.done = {}
        self.fence = 0

    def obey(self, payload):
        """Take one downlink message; the telegram that answers it."""
        down = decode_down(payload)
        opened = unseal(self.key, self.name, down.payload)
        command = decode_command(opened.body)
        assert opened.kind is kind_of_command(command.kind)
        if command.id not in self.done:
            self.done[command.id] = self.execute(command)
        return self.telegram(SealedKind.RESULT, encode_result(self.done[command.id]))

    def execute(self, command):
        status = ResultStatus.OK
        if command.sequence < self.fence:
            status = ResultStatus.STALE
        elif command.kind in {CommandKind.RELAY_ON, CommandKind.RELAY_OFF}:
            self.fence = command.sequence
            self.executed.append(command.kind)
            on = command.kind is CommandKind.RELAY_ON
            self.relay = RelayState.CONNECTED if on else RelayState.DISCONNECTED
        at_s = int(datetime.now(UTC).timestamp())
        return CommandResult(command.id, status, self.relay, at_s)

    def telegram(self, kind, body):
        self.counter += 1
        sealed = seal(self.key, self.name, kind, self.counter, body)
        at_ms = int(datetime.now(UTC).timestamp() * 1000)
        return Telegram(TelegramKind.METER, "mesh", self.name, "", at_ms, sealed)


@pytest.fixture
def kit():
    """The helpers above, for test modules."""

    class Kit:
        pass

    Kit.report = staticmethod(report)
    Kit.telegram = staticmethod(telegram)
    Kit.telegram_of = staticmethod(telegram_of)
    Kit.seal_report = staticmethod(seal_report)
    Kit.GatewaySide = GatewaySide
    Kit.running_ingest = staticmethod(running_ingest)
    Kit.running_worker = staticmethod(running_worker)
    Kit.Meter = Meter
    Kit.START, Kit.STEP, Kit.KEY = START, STEP, KEY
    Kit.GATE_KEY, Kit.NO_RESTRICTION = GATE_KEY, NO_RESTRICTION
    return Kit


@pytest.fixture
def until():
    """Wait for a condition with a generous limit: the condition decides, not the clock."""
    return wait_for


def wait_for(condition, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
