"""The head-end put together: `serve` is ingest, worker and API in one process; or one by role.

Each role is a thread with its own connections under its own database role. The first that fails
for good stops the others, and the program ends with its error. With `api.workers` above 1 the API
is as many processes, which `serve` (or `api`) starts, watches and ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from headend.api.app import create_app
from headend.api.metrics import COUNTS
from headend.children import Child, watch_parent
from headend.config import Settings, required
from headend.gate.judging import CLOCK_LIMIT
from headend.gate.process import Gate, read_signer
from headend.ingest.loop import Ingest
from headend.ingest.source import MqttSource
from headend.ingest.writer import Writer
from headend.keystore import Keystore
from headend.mqtt import MqttClient, TlsFiles
from headend.mqttconfig.write import authority
from headend.ports import listening
from headend.security import people
from headend.security.enrolment import Enroller
from headend.security.limits import TABLE_BYTES
from headend.security.oidc import Provider
from headend.security.revocation import Place, Revocations
from headend.store import db, guard, migrate
from headend.store.retention import Keep
from headend.vee import shape
from headend.vee.pump import Rulebook, Validator
from headend.watch import Watch
from headend.webhooks.sender import Sender
from headend.worker import Worker
from ohmesh.model.errors import ConfigError
from ohmesh.program.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from fastapi import FastAPI

    from headend.vee.shape import Shape

_log = logging.getLogger(__name__)
OPERATOR_TENANT: Final = 1
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
            _watch_parent(roles)
        try:
            roles.start("gate", gate.run)
            yield
        finally:
            roles.join()

    _run_alone(role)


def _watch_parent(roles: Roles) -> None:
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
    _stop_on_signals(roles)
    with role(roles):
        roles.stopped.wait()
    roles.finish()


def serve(settings: Settings, announce: Callable[[str], None], file: Path | None = None) -> None:
    """Everything, until SIGTERM: in one process, or with the API in `api.workers` of its own.

    Args:
        settings: the configuration.
        announce: told the one-time link of the first administrator; never the log.
        file: where the configuration stands, for the API's processes; None: the environment.

    Raises: ConfigError, SchemaMismatch.
    """
    _run_api(settings, announce, file, (gate_role, ingest_role, worker_role))


def run_api(settings: Settings, announce: Callable[[str], None], file: Path | None) -> None:
    """API and pages alone, until SIGTERM; arguments and errors as `serve`."""
    _run_api(settings, announce, file, ())


def run_api_child(settings: Settings, listener: int, shares: int) -> None:
    """One of the API's processes, until SIGTERM or its supervisor is gone. Raises ConfigError.

    Args:
        settings: the configuration.
        listener: descriptor of its listening socket.
        shares: descriptor of the file in which all processes count what callers ask.
    """
    roles = Roles()
    _stop_on_signals(roles)
    _watch_parent(roles)
    with socket.socket(fileno=listener) as opened:
        _serve_here(settings, roles, [opened], shares)


def _run_api(
    settings: Settings,
    announce: Callable[[str], None],
    file: Path | None,
    others: Sequence[Callable[[Settings, Roles], AbstractContextManager[None]]],
) -> None:
    _prepare_api(settings, announce)
    roles = Roles()
    _stop_on_signals(roles)
    with ExitStack() as stack:
        for other in others:
            stack.enter_context(other(settings, roles))
        if settings.api.workers == 1:
            _serve_here(settings, roles)
        else:
            stack.enter_context(_api_processes(settings, roles, file))
            roles.stopped.wait()
    roles.finish()


@contextmanager
def _api_processes(settings: Settings, roles: Roles, file: Path | None) -> Iterator[None]:
    """The API as processes of its own behind one port."""
    api = settings.api
    with (
        listening(api.host, api.port, api.workers) as listeners,
        tempfile.TemporaryFile() as shares,
        tempfile.TemporaryDirectory(prefix="ohmesh-counts-") as counts,
    ):
        shares.truncate(TABLE_BYTES)
        for number, listener in enumerate(listeners):
            child = Child(
                (
                    *("api", "--listener", str(listener.fileno())),
                    *("--shares", str(shares.fileno())),
                    *(("--config", str(file)) if file else ()),
                ),
                files=(listener.fileno(), shares.fileno()),
                environment={COUNTS: counts},
            )
            roles.start(f"api-{number}", child.run)
        _log.info("running on %s in %d processes", _address(settings), api.workers)
        try:
            yield
        finally:
            roles.join()


def _serve_here(
    settings: Settings,
    roles: Roles,
    listeners: list[socket.socket] | None = None,
    shares: int | None = None,
) -> None:
    """The API in this process, until the roles stop."""
    pool = db.make_pool(required(settings.database.api_url, "database.api_url"))
    server = uvicorn.Server(_server_config(settings, make_api(settings, pool, shares)))
    roles.on_stop = lambda: setattr(server, "should_exit", True)
    if roles.stopped.is_set():
        return
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_serve_on(server, pool, listeners))


async def _serve_on(
    server: uvicorn.Server, pool: db.AsyncPool, listeners: list[socket.socket] | None
) -> None:
    async with pool:
        await server.serve(listeners)


def _stop_on_signals(roles: Roles) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: roles.stop())


def _prepare_api(settings: Settings, announce: Callable[[str], None]) -> None:
    keys = keystore(settings)
    _provider(settings, keys)  # what is wrong is told before anything starts
    _enroller(settings)
    url = required(settings.database.api_url, "database.api_url")
    with db.connect(url, name="api", autocommit=True) as connection:
        guard.check(connection)
        migrate.check(connection)
        with db.tenant(connection, OPERATOR_TENANT):
            db.run(connection, people.keep_first_key(OPERATOR_TENANT, _token(settings)))
            link = db.run(connection, people.first_link(OPERATOR_TENANT, datetime.now(UTC)))
    if link:
        announce(f"Nobody can sign in yet. For a day, once: {_address(settings)}/setup?link={link}")


def _address(settings: Settings) -> str:
    api = settings.api
    host = f"[{api.host}]" if ":" in api.host else api.host
    return f"http{'s' if api.tls_certificate_file else ''}://{host}:{api.port}"


def _server_config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    api = settings.api
    return uvicorn.Config(
        app,
        host=api.host,
        port=api.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        ssl_certfile=api.tls_certificate_file,
        ssl_keyfile=api.tls_key_file,
    )


def make_api(settings: Settings, pool: db.AsyncPool, shares: int | None = None) -> FastAPI:
    """The API over a pool that its caller opens and closes. Raises ConfigError."""
    keys = keystore(settings)
    is_open = settings.api.open_reads and is_loopback(settings.api.host)
    return create_app(
        pool,
        secret=keys.derive(b"ohmesh api"),
        shares=shares,
        seal_key=keys.seal,
        open_reads_tenant=OPERATOR_TENANT if is_open else None,
        requests_per_s=settings.api.requests_per_s,
        provider=_provider(settings, keys),
        enroller=_enroller(settings),
    )


def _provider(settings: Settings, keys: Keystore) -> Provider | None:
    oidc = settings.oidc
    if not oidc.issuer:
        return None
    return Provider(
        issuer=oidc.issuer,
        client_id=oidc.client_id,
        client_secret=_secret(Path(required(oidc.client_secret_file, "oidc.client_secret_file"))),
        redirect_url=oidc.redirect_url,
        name=oidc.name,
        tenant_id=OPERATOR_TENANT,
        role_claim=oidc.role_claim,
        roles=oidc.roles,
        key=keys.derive(b"ohmesh oidc"),
    )


def _enroller(settings: Settings) -> Enroller | None:
    folder, gate_keys = settings.enrolment.folder, settings.enrolment.gate_keys_file
    if folder is None:
        return None
    return Enroller(
        authority(folder, "fleet", datetime.now(UTC)),
        authority(folder, "service", datetime.now(UTC)).pem.decode(),
        _secret(gate_keys).split() if gate_keys else (),
    )


def _secret(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"the secret in {file}: {error}") from error


def _token(settings: Settings) -> str:
    return _read_token(Path(required(settings.api.token_file, "api.token_file")))


def _read_token(file: Path) -> str:
    token = _secret(file)
    if len(token) < 32:
        raise ConfigError(f"the API token in {file} is shorter than 32 characters")
    return token
