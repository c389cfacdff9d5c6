"""Back-up and restoration of the whole database, by PostgreSQL's own pg_dump and pg_restore.

A back-up is one file in pg_dump's custom format, of one instant. It holds meters' keys only as the
store has them, encrypted; the key-encryption key, the gate's key and the configuration are files of
their own and must be kept elsewhere. A restoration goes into a database that is not there yet, so
that it can overwrite nothing. What came after the back-up the gateways send again by themselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from headend.store import bootstrap, db, migrate
from headend.store.plan import Queries
from ohmesh.model.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headend.store.plan import Row

SQL: Final = Queries("headend.ops", "backup.sql")


def back_up(admin_url: str, file: Path, *, tools: Path | None = None) -> int:
    """Write a back-up of the database that the address names, mode 0600; its octets.

    Args:
        admin_url: of a superuser: nobody else sees all tenants' rows.
        file: what to write; an older one is replaced when the new one is whole.
        tools: the folder of pg_dump; by default the PATH.

    Raises: ConfigError, StoreError.
    """
    draft = file.with_name(f".{file.name}.new")
    bootstrap.write_private(draft, "")
    try:
        words = ("--format=custom", f"--file={draft}")
        _run("pg_dump", tools, admin_url, words)
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return file.stat().st_size


def restore(
    file: Path, admin_url: str, database: str, config: Path, *, tools: Path | None = None
) -> Row:
    """Make a database anew from a back-up, with the roles of a configuration; what it holds.

    Args:
        file: a back-up.
        admin_url: of a superuser, of any other database of the server.
        database: name of the database to make; it must not be there.
        config: the head-end's configuration file, whose passwords the roles get.
        tools: the folder of pg_restore; by default the PATH.

    Raises: ConfigError, StoreError, SchemaMismatch.
    """
    if not file.is_file():
        raise ConfigError(f"there is no back-up {file}")
    if not config.is_file():
        raise ConfigError(f"there is no configuration {config}; keep it with its back-ups")
    _run("pg_restore", tools, "", ("--list", str(file)))  # is it a back-up at all
    with db.connect(admin_url, name="restore", autocommit=True) as admin:
        if db.rows(admin, SQL("has_database", name=database)):
            raise StoreError(f"the database {database} is there already: drop or rename it first")
    home_url = bootstrap.make_home(admin_url, database, bootstrap.passwords_of(config))
    with db.connect(home_url, name="restore", autocommit=True) as home:
        hyper = bool(db.rows(home, SQL("has_timescale")))
        if hyper:
            db.rows(home, SQL("pre_restore"))
        _run("pg_restore", tools, home_url, ("--exit-on-error", str(file)))
        if hyper:
            db.rows(home, SQL("post_restore"))
        db.rows(home, SQL("analyze"))
        migrate.check(home)
        return db.rows(home, SQL("holds"))[0]


def _run(program: str, tools: Path | None, url: str, words: Sequence[str]) -> None:
    """Run one of PostgreSQL's programs; its password stands in no list of processes.

    Raises: ConfigError, StoreError.
    """
    found = shutil.which(program, path=None if tools is None else str(tools))
    if found is None:
        raise ConfigError(
            f"{program} is not here: install PostgreSQL's client programs, or --tools"
        )
    place = urlsplit(url)
    given = [f"--dbname={place._replace(netloc=_without_password(place.netloc)).geturl()}"]
    password = {"PGPASSWORD": unquote(place.password)} if place.password else {}
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own program
        [found, "--no-password", *(given if url else ()), *words],
        env=os.environ | password,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        what = lines[0].removeprefix(f"{program}: ") if lines else str(done.returncode)
        other = "version" in what  # of the server, or of the file
        advice = "; --tools names the folder of the server's own release" if other else ""
        raise StoreError(f"{program}: {what}{advice}")


def _without_password(netloc: str) -> str:
    who, at, host = netloc.rpartition("@")
    return who.partition(":")[0] + at + host
