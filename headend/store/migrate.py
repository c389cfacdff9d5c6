"""Migrations: numbered SQL files that never change once applied.

Theory of operation. `ohmesh_meta.migration` lists what was applied, with the SHA-256 of the file.
Files of `migrations/` are applied in order of their number, each in one transaction; files of
`timescale/` follow where the extension is installed, those of `timescale_community/` where its
edition has columnstore, and those of `plain/` where there is no extension. An advisory lock lets
one migrator work at a time. A file that differs from what was applied, or a database that knows
more than this program, is a SchemaMismatch.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final, LiteralString

from headend.store import db
from headend.store.plan import Queries
from ohmesh.model.errors import SchemaMismatch

if TYPE_CHECKING:
    from headend.store.db import Connection

_log = logging.getLogger(__name__)
SQL: Final = Queries("headend.store", "migrate.sql")
CORE, PLAIN, TIMESCALE, COMMUNITY = "migrations", "plain", "timescale", "timescale_community"
COMMUNITY_LICENCE: Final = "timescale"
COLUMNSTORE_SINCE: Final = (2, 29, 2)
"""Older ones lose rows in columnstore: a first conflict ends an insert, bloom indexes miss rows."""
TRIES: Final = 10
AGAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Script:
    """One migration: `migrations/0001_core.sql`, its text and the SHA-256 of it."""

    name: str
    text: LiteralString
    sha256: str


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a run did; `edition`: TimescaleDB's licence, None on plain PostgreSQL."""

    applied: tuple[str, ...]
    edition: str | None


def scripts(folder: str) -> list[Script]:
    """The migrations of a folder in order."""
    found = sorted(
        (f for f in (files("headend.store") / folder).iterdir() if f.name.endswith(".sql")),
        key=lambda f: f.name,
    )
    texts = [(f"{folder}/{f.name}", f.read_text(encoding="utf-8")) for f in found]
    return [Script(name, text, hashlib.sha256(text.encode()).hexdigest()) for name, text in texts]


def migrate(connection: Connection) -> Migrated:
    """Bring the schema up to date.

    Args:
        connection: of ohmesh_owner, in autocommit.

    Raises:
        SchemaMismatch: an applied file has changed, or the database is newer. StoreError.
    """
    with db.transaction(connection):
        connection.execute(SQL.sql("create_meta"))
    with db.lock(connection, "migrate"):
        edition = _edition(connection)
        known = _for(connection, edition)
        applied = _applied(connection)
        _compare(applied)
        waiting = [script for script in known if script.name not in applied]
        for script in waiting:
            _apply(connection, script)
    return Migrated(tuple(script.name for script in waiting), edition)


def check(connection: Connection) -> None:
    """Raises SchemaMismatch unless the schema is the one that this program was written for."""
    if not db.rows(connection, SQL("meta_exists"))[0]["found"]:
        raise SchemaMismatch("the database has no schema; run: ohmesh headend migrate")
    applied = _applied(connection)
    _compare(applied)
    known = _for(connection, _edition(connection))
    missing = [script.name for script in known if script.name not in applied]
    if missing:
        raise SchemaMismatch(f"the database misses {missing[0]}; run: ohmesh headend migrate")


def _edition(connection: Connection) -> str | None:
    rows = db.rows(connection, SQL("edition"))
    return str(rows[0]["edition"]) if rows else None


def _applied(connection: Connection) -> dict[str, str]:
    return {row["name"]: row["sha256"] for row in db.rows(connection, SQL("applied"))}


def _for(connection: Connection, edition: str | None) -> list[Script]:
    """The scripts for what the database is now. Raises SchemaMismatch for an extension too old."""
    if edition is None:
        return scripts(CORE) + scripts(PLAIN)
    if edition != COMMUNITY_LICENCE:
        return scripts(CORE) + scripts(TIMESCALE)
    version = str(db.rows(connection, SQL("timescale_version"))[0]["version"])
    check_columnstore(version)
    return scripts(CORE) + scripts(TIMESCALE) + scripts(COMMUNITY)


def check_columnstore(version: str) -> None:
    """Raises SchemaMismatch for a TimescaleDB whose columnstore is known to lose rows."""
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if found < COLUMNSTORE_SINCE:
        since = ".".join(map(str, COLUMNSTORE_SINCE))
        raise SchemaMismatch(
            f"the columnstore of TimescaleDB {version} loses rows, which was mended in {since}; "
            "install that, or set timescaledb.license = 'apache'"
        )


def _compare(applied: dict[str, str]) -> None:
    """What was applied must be ours as it is, whatever the database was then."""
    folders = (CORE, PLAIN, TIMESCALE, COMMUNITY)
    expected = {script.name: script.sha256 for folder in folders for script in scripts(folder)}
    for name, sha256 in applied.items():
        if name not in expected:
            raise SchemaMismatch(f"the database is newer than this program: it has {name}")
        if expected[name] != sha256:
            raise SchemaMismatch(f"{name} is not the file that was applied to the database")


def _apply(connection: Connection, script: Script) -> None:
    """Apply one script; programs at work may be in its way for a while. Raises StoreError."""
    for left in reversed(range(TRIES)):
        try:
            with db.transaction(connection):
                connection.execute(script.text)
                connection.execute(
                    SQL.sql("record"), {"name": script.name, "sha256": script.sha256}
                )
        except db.Unavailable as error:
            if not left or not db.in_the_way(error):
                raise
            _log.info("%s is tried again: %s", script.name, error)
            time.sleep(AGAIN_S)
        else:
            _log.info("applied %s", script.name)
            return
