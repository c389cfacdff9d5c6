"""The head-end put together: `serve` is the API and all roles (roles.py) in one process.

With `api.workers` above 1 the API is as many processes, which `serve` (or `api`) starts, watches
and ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from headend.api.app import create_app, rest_memory
from headend.api.metrics import COUNTS
from headend.children import Child
from headend.config import Settings, required
from headend.mqttconfig.write import authority
from headend.ports import listening
from headend.roles import (
    Roles,
    end_with_parent,
    gate_role,
    ingest_role,
    keystore,
    stop_on_signals,
    worker_role,
)
from headend.security import people
from headend.security.enrolment import Enroller
from headend.security.limits import TABLE_BYTES
from headend.security.oidc import Provider
from headend.store import db, guard, migrate
from ohmesh.model.errors import ConfigError
from ohmesh.program.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from fastapi import FastAPI

    from headend.keystore import Keystore


_log = logging.getLogger(__name__)


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
    stop_on_signals(roles)
    end_with_parent(roles)
    with socket.socket(fileno=listener) as opened:
        _serve_here(settings, roles, [opened], shares)


def _run_api(
    settings: Settings,
    announce: Callable[[str], None],
    file: Path | None,
    others: Sequence[Callable[[Settings, Roles], AbstractContextManager[None]]],
) -> None:
    api = settings.api
    # The port first: a second head-end, started by mistake, must not take the first one's sessions.
    with listening(api.host, api.port, api.workers) as listeners, ExitStack() as stack:
        _prepare_api(settings, announce)
        roles = Roles()
        stop_on_signals(roles)
        for other in others:
            stack.enter_context(other(settings, roles))
        _log.info("API and pages on %s, processes: %d", _address(settings), api.workers)
        if api.workers == 1:
            _serve_here(settings, roles, listeners)
        else:
            stack.enter_context(_api_processes(roles, file, listeners))
            roles.stopped.wait()
    roles.finish()


@contextmanager
def _api_processes(
    roles: Roles, file: Path | None, listeners: Sequence[socket.socket]
) -> Iterator[None]:
    """The API as processes of its own behind one port."""
    with (
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
        try:
            yield
        finally:
            roles.join()


def _serve_here(
    settings: Settings,
    roles: Roles,
    listeners: list[socket.socket],
    shares: int | None = None,
) -> None:
    """The API in this process, until the roles stop."""
    pool = db.make_pool(required(settings.database.api_url, "database.api_url"))
    server = uvicorn.Server(_server_config(settings, make_api(settings, pool, shares)))
    roles.on_stop = lambda: setattr(server, "should_exit", True)
    if roles.stopped.is_set():
        return
    rest_memory()
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_serve_on(server, pool, listeners))


async def _serve_on(
    server: uvicorn.Server, pool: db.AsyncPool, listeners: list[socket.socket]
) -> None:
    async with pool:
        await server.serve(listeners)


def _prepare_api(settings: Settings, announce: Callable[[str], None]) -> None:
    keys = keystore(settings)
    _provider(settings, keys)  # what is wrong is told before anything starts
    _enroller(settings)
    url = required(settings.database.api_url, "database.api_url")
    with db.connect(url, name="api", autocommit=True) as connection:
        guard.check(connection)
        migrate.check(connection)
        with db.tenant(connection, db.OPERATOR_TENANT):
            db.run(connection, people.keep_first_key(db.OPERATOR_TENANT, _token(settings)))
            link = db.run(connection, people.first_link(db.OPERATOR_TENANT, datetime.now(UTC)))
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
        open_key=keys.open,
        open_reads_tenant=db.OPERATOR_TENANT if is_open else None,
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
        tenant_id=db.OPERATOR_TENANT,
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
