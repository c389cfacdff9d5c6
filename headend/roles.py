"""The head-end's roles but for the API: ingest, worker and gate, each with what it needs.

Each role is a thread with its own connections under its own database role. The first that fails
for good stops the others, and the program ends with its error. A process of one of these roles
does not load the web server.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headend.children import Child, watch_parent
from headend.config import Settings, required
from headend.gate.judging import CLOCK_LIMIT
from headend.gate.process import Gate, read_signer
from headend.ingest.loop import Ingest
from headend.ingest.source import MqttSource
from headend.ingest.writer import Writer
from headend.keystore import Keystore
from headend.mqtt import MqttClient, TlsFiles
from headend.security.revocation import Place, Revocations
from headend.store.retention import Keep
from headend.vee import shape
from headend.vee.pump import Rulebook, Validator
from headend.watch import Watch
from headend.webhooks.sender import Sender
from headend.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from headend.vee.shape import Shape

SHUTDOWN_S: Final = 4


class Roles:
    """Threads that stop together.

    Attributes:
        stopped: whether they shall.
        error: of the first one that failed.
        on_stop: called when one ends or `stop` is called, from any thread.
    """

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.error: BaseException | None = None
        self.on_stop: Callable[[], None] = lambda: None
        self._threads: list[threading.Thread] = []

    def start(self, name: str, run: Callable[[threading.Event], None]) -> None:
        """Start one role."""
        thread = threading.Thread(target=self._guarded, args=(run,), name=name)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, run: Callable[[threading.Event], None]) -> None:
        try:
            run(self.stopped)
        except BaseException as error:  # noqa: BLE001 - the supervisor: told by `finish`
            self.error = self.error or error
        finally:
            self.stop()

    def stop(self) -> None:
        """Ask all roles to end."""
        self.stopped.set()
        self.on_stop()

    def join(self) -> None:
        """Ask all to end and wait for them."""
        self.stop()
        for thread in self._threads:
            thread.join(SHUTDOWN_S)

    def finish(self) -> None:
        """Raises the first one's error."""
        if self.error is not None:
            raise self.error


def keystore(settings: Settings) -> Keystore:
    """The meters' key store. Raises ConfigError."""
    return Keystore.from_file(Path(required(settings.secrets.kek_file, "secrets.kek_file")))


def tls_files(settings: Settings) -> TlsFiles:
    """The broker's TLS files."""
    broker = settings.broker
    return TlsFiles(broker.ca_file, broker.certificate_file, broker.key_file)


def ingest_lane(settings: Settings, source: MqttSource, number: int) -> Ingest:
    """One writer of ingest; the first one looks after quarantine, too."""
    return Ingest(
        url=required(settings.database.ingest_url, "database.ingest_url"),
        source=source.lanes[number],
        writer=Writer(
            keystore(settings),
            archive_all=settings.ingest.archive,
            flood_per_minute=settings.ingest.flood_per_minute,
        ),
        publish=source.client.publish,
        batch_messages=settings.ingest.batch_messages,
        batch_telegrams=settings.ingest.batch_telegrams,
        batch_wait_ms=settings.ingest.batch_wait_ms,
        requeues=number == 0,
    )


@contextmanager
def ingest_role(settings: Settings, roles: Roles) -> Iterator[None]:
    """Ingest, from its source to the store."""
    source = MqttSource(
        settings.broker.url,
        client_id=settings.broker.client_id,
        shared=settings.broker.shared,
        receive_maximum=settings.broker.receive_maximum,
        tls=tls_files(settings),
        lanes=settings.ingest.lanes,
    )
    lanes = [ingest_lane(settings, source, number) for number in range(settings.ingest.lanes)]
    source.start()
    try:
        for number, lane in enumerate(lanes):
            roles.start(f"ingest-{number}", lane.run)
        yield
    finally:
        roles.join()
        source.stop()


@contextmanager
def worker_role(settings: Settings, roles: Roles) -> Iterator[None]:
    """The worker and its connection to the broker."""
    client = MqttClient(
        settings.broker.url,
        client_id=f"{settings.broker.client_id}-worker",
        tls=tls_files(settings),
    )
    worker = Worker(
        url=required(settings.database.worker_url, "database.worker_url"),
        keystore=keystore(settings),
        publish=client.publish,
    )
    validator = Validator(
        url=required(settings.database.worker_url, "database.worker_url"),
        rulebook=Rulebook(shape=_shape(settings)),
    )
    watch = Watch(
        url=required(settings.database.worker_url, "database.worker_url"),
        keep=Keep(**settings.retention.model_dump()),
    )
    sender = Sender(
        url=required(settings.database.worker_url, "database.worker_url"),
        keystore=keystore(settings),
    )
    revocations = _revocations(settings)
    client.start()
    try:
        if revocations is not None:
            roles.start("revocations", revocations.run)
        roles.start("worker", worker.run)
        roles.start("webhooks", sender.run)
        roles.start("vee", validator.run)
        roles.start("watch", watch.run)
        yield
    finally:
        roles.join()
        client.stop()


def _revocations(settings: Settings) -> Revocations | None:
    folder = settings.enrolment.folder
    if folder is None:
        return None
    url = required(settings.database.worker_url, "database.worker_url")
    return Revocations(url=url, place=Place(folder, settings.enrolment.broker_pid_file))


@contextmanager
def gate_role(settings: Settings, roles: Roles) -> Iterator[None]:
    """The gate as a child process, where a file for it is named; otherwise it runs apart."""
    if settings.gate.config_file is not None:
        child = Child(("gate", "--config", str(settings.gate.config_file)))
        roles.start("gate", child.run)
    yield


def run_gate(settings: Settings, *, with_parent: bool) -> None:
    """The gate alone, until SIGTERM. Raises ConfigError, SchemaMismatch."""
    signer = read_signer(
        Path(required(settings.gate.key_file, "gate.key_file")), settings.gate.approvers
    )
    gate = Gate(
        url=required(settings.database.gate_url, "database.gate_url"),
        signer=signer,
        clock_limit=CLOCK_LIMIT,
    )

    @contextmanager
    def role(roles: Roles) -> Iterator[None]:
        if with_parent:
            end_with_parent(roles)
        try:
            roles.start("gate", gate.run)
            yield
        finally:
            roles.join()

    _run_alone(role)


def end_with_parent(roles: Roles) -> None:
    """End with the parent. In a daemon: it may wait longer than anybody waits for it."""

    def wait() -> None:
        watch_parent()
        roles.stop()

    threading.Thread(target=wait, daemon=True).start()


def _shape(settings: Settings) -> Shape:
    file = settings.vee.shape_file
    return shape.evening() if file is None else shape.load(file)


def run_ingest(settings: Settings) -> None:
    """Ingest alone, until SIGTERM. Raises ConfigError, SchemaMismatch."""
    _run_alone(lambda roles: ingest_role(settings, roles))


def run_worker(settings: Settings) -> None:
    """The worker alone, until SIGTERM. Raises ConfigError, SchemaMismatch."""
    _run_alone(lambda roles: worker_role(settings, roles))


def _run_alone(role: Callable[[Roles], AbstractContextManager[None]]) -> None:
    roles = Roles()
    stop_on_signals(roles)
    with role(roles):
        roles.stopped.wait()
    roles.finish()


def stop_on_signals(roles: Roles) -> None:
    """SIGTERM and SIGINT ask all roles to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: roles.stop())
