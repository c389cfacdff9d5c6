"""`ohmesh headend bootstrap`: database, roles, schema, secrets, configuration file.

Safe to repeat: an existing file keeps its passwords, which are set again, and every setting but the
addresses of the database. Nothing that it makes has a default: passwords, the API token and the
key-encryption key are random, in files that their owner alone may read.
"""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from headend import config
from headend.keystore import KEK_BYTES
from headend.store import db, migrate
from headend.store.plan import Queries
from ohmesh.model.errors import ConfigError
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.release import KEY_BYTES, public_key

if TYPE_CHECKING:
    from pathlib import Path

    from headend.store.db import Connection

SQL: Final = Queries("headend.store", "bootstrap.sql")
GATE_FILE: Final = "gate.toml"
SERVING: Final = ("owner", "ingest", "worker", "api")
ROLES: Final = (*SERVING, "gate")


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What stands now: role -> address of the database, and the migrations that were applied."""

    urls: dict[str, str]
    migrated: migrate.Migrated


def bootstrap(
    admin_url: str,
    *,
    database: str,
    file: Path,
    broker_url: str,
    api_port: int,
    open_reads: bool = False,
) -> Bootstrapped:
    """Make everything that `ohmesh headend serve` needs.

    Args:
        admin_url: address of a superuser; used here and nowhere else.
        database: name of the database to make.
        file: the configuration to write, mode 0600; token and KEK go beside it.
        broker_url: address of the broker, for a file that names none of its own.
        api_port: port of the API, likewise.
        open_reads: whether everybody on this machine may read, likewise.

    Raises: StoreError, ConfigError, SchemaMismatch.
    """
    BrokerUrl.parse(broker_url)
    passwords = passwords_of(file)
    make_home(admin_url, database, passwords)
    urls = {role: _url(admin_url, database, role, passwords[role]) for role in ROLES}
    with db.connect(urls["owner"], name="migrate", autocommit=True) as owner:
        migrated = migrate.migrate(owner)
    _write_files(file, urls, broker_url, api_port, open_reads=open_reads)
    return Bootstrapped(urls, migrated)


def make_home(admin_url: str, database: str, passwords: dict[str, str]) -> str:
    """Roles, and a database without a schema; a superuser's address of it. Raises StoreError."""
    with db.connect(admin_url, name="bootstrap", autocommit=True) as admin:
        _make_roles(admin, passwords)
        _make_database(admin, database)
    home_url = _with_database(admin_url, database)
    with db.connect(home_url, name="bootstrap", autocommit=True) as home:
        _make_extension(home)
    return home_url


def passwords_of(file: Path) -> dict[str, str]:
    """The roles' passwords that a configuration names; new ones where it names none."""
    known: dict[str, str] = {}
    if file.exists():
        urls = _database_section(file)
        gate = file.with_name(GATE_FILE)
        if gate.exists():
            urls |= _database_section(gate)
        known = {role: urlsplit(urls.get(f"{role}_url", "")).password or "" for role in ROLES}
    return {role: known.get(role) or secrets.token_urlsafe(24) for role in ROLES}


def _database_section(file: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8")).get("database", {})
    except ValueError as error:
        raise ConfigError(f"{file} stands there and is no configuration: {error}") from error
    return found


def _make_roles(admin: Connection, passwords: dict[str, str]) -> None:
    known = {row["rolname"] for row in db.rows(admin, SQL("roles"))}
    for role, password in passwords.items():
        verb = "alter" if f"ohmesh_{role}" in known else "create"
        db.execute_names(
            admin,
            verb + " role {role} with login nosuperuser nobypassrls nocreatedb nocreaterole"
            " noreplication password {password}",
            names={"role": f"ohmesh_{role}"},
            literals={"password": password},
        )


def _make_database(admin: Connection, database: str) -> None:
    if not db.rows(admin, SQL("database", name=database)):
        db.execute_names(
            admin, "create database {name} owner ohmesh_owner", names={"name": database}
        )
    for statement in (
        "revoke all on database {name} from public",
        "grant connect on database {name} to ohmesh_ingest, ohmesh_worker, ohmesh_api, ohmesh_gate",
        "grant temporary on database {name} to ohmesh_ingest",
    ):
        db.execute_names(admin, statement, names={"name": database})


def _make_extension(home: Connection) -> None:
    if db.rows(home, SQL("timescale")):
        db.execute_names(home, "create extension if not exists timescaledb")


def _with_database(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{quote(database)}").geturl()


def _url(admin_url: str, database: str, role: str, password: str) -> str:
    place = urlsplit(admin_url)
    host = place.netloc.rpartition("@")[2]
    return f"postgresql://ohmesh_{role}:{quote(password)}@{host}/{quote(database)}"


def _write_files(
    file: Path, urls: dict[str, str], broker_url: str, api_port: int, *, open_reads: bool
) -> None:
    token_file, kek_file = file.with_name("api-token"), file.with_name("kek")
    write_secret(token_file, secrets.token_urlsafe(32))
    write_secret(kek_file, secrets.token_bytes(KEK_BYTES).hex())
    text = file.read_text(encoding="utf-8") if file.exists() else config.DEFAULT
    for role in SERVING:
        text = _addressed(text, f"{role}_url", urls[role])
    text = text.replace('mqtt://127.0.0.1:1883"  ', f'{broker_url}"  ')
    text = text.replace("port = 8080", f"port = {api_port}")
    text = text.replace("open_reads = false", f"open_reads = {str(open_reads).lower()}")
    text = text.replace('# token_file = "api-token"', f'token_file = "{token_file}"')
    text = text.replace('# kek_file = "kek"  ', f'kek_file = "{kek_file}"  ')
    gate_file = _write_gate(file, urls["gate"])
    text = text.replace('# config_file = "gate.toml"  ', f'config_file = "{gate_file}"  ')
    text = text.replace(
        '# gate_keys_file = "gate.pub"', f'gate_keys_file = "{file.with_name("gate.pub")}"'
    )
    write_private(file, text)


def _addressed(text: str, setting: str, url: str) -> str:
    """The configuration with another address in one line."""
    line = re.compile(rf'^{setting} = "[^"]*"', re.MULTILINE)
    return line.sub(lambda _: f'{setting} = "{url}"', text)


def _write_gate(file: Path, url: str) -> Path:
    """The gate's own file; people who may approve are kept."""
    gate_file, key_file = file.with_name(GATE_FILE), file.with_name("gate.key")
    write_secret(key_file, secrets.token_bytes(KEY_BYTES).hex())
    key = bytes.fromhex(key_file.read_text(encoding="ascii"))
    write_private(file.with_name("gate.pub"), public_key(key).hex() + "\n", mode=0o644)
    known = gate_file.read_text(encoding="utf-8") if gate_file.exists() else config.GATE_DEFAULT
    people = known.partition("[gate.approvers]\n")[2]
    text = config.GATE_DEFAULT.replace('gate_url = ""', f'gate_url = "{url}"')
    write_private(gate_file, text.replace('"gate.key"  ', f'"{key_file}"  ') + people)
    return gate_file


def write_secret(file: Path, text: str) -> None:
    """Write a secret beside the configuration, mode 0600, unless it is there already."""
    if not file.exists():
        write_private(file, text + "\n")


def write_private(file: Path, text: str, *, mode: int = 0o600) -> None:
    """Write with the mode from the first byte on, and put in place in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
