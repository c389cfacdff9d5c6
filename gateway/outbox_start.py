"""Starting with an outbox: its file is made, judged, and salvaged when it is damaged.

The whole file is read once at the start. What cannot be trusted is set aside, salvaged as far as
it is readable, and the rest goes on in a new file under a new epoch: a bad card costs data and
never the gateway.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from gateway import sqlite
from gateway.disk import sync_folder
from gateway.outbox_file import (
    ALL_ROWS,
    COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    TABLES,
    Head,
    OutboxFile,
    new_epoch,
    read_acked,
    read_head,
    write_head,
)
from gateway.rows import unpack_row
from gateway.salvage import readable_rows
from gateway.sqlite import DamagedError, store_errors
from ohmesh.model.errors import OutboxFull, SchemaMismatch, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import apsw

    from gateway.rows import Row

_log = logging.getLogger(__name__)

_APPLICATION_ID = 0x6F686D21  # "ohm!"
_SALVAGE_ROWS_MAX = 2**20
"""Rows to try when the newest one cannot be read."""


def open_outbox(
    path: Path, *, max_bytes: int, boot: str = "", vfs: str | None = None
) -> OutboxFile:
    """Open the outbox, made when absent; a damaged one is salvaged and set aside.

    Args:
        path: the database file; its folder exists.
        max_bytes: bound on the database file.
        boot: identity of this boot of the machine; another than last time begins a new epoch.
        vfs: name of SQLite's file layer, None for the system's own.

    Raises:
        StoreError: the file cannot be used; it is untouched.
        SchemaMismatch: it is of another program or another version.
        ConfigError: SQLite does not keep the settings that a power cut needs.
    """
    file = _open_or_salvage(path, max_bytes=max_bytes, vfs=vfs)
    try:
        if file.begin_epoch(boot):
            _log.info("epoch %d begins", file.state.epoch)
    except BaseException:
        file.close()
        raise
    return file


def _open_or_salvage(path: Path, *, max_bytes: int, vfs: str | None) -> OutboxFile:
    rescued = _beside(path, ".salvaged")
    if rescued.exists() and not path.exists():
        _put_in_place(rescued, path)
    try:
        return _open_sound(path, max_bytes=max_bytes, vfs=vfs)
    except DamagedError as error:
        _log.error("%s", error)
    _salvage(path, rescued, max_bytes)
    aside = _set_aside(path)
    _put_in_place(rescued, path)
    _log.warning("what was readable is in a new outbox; the damaged file is %s", aside.name)
    return _open_sound(path, max_bytes=max_bytes, vfs=vfs)


def inspect_outbox(path: Path, *, max_bytes: int) -> OutboxFile:
    """Open an outbox as it is, for a look: nothing is salvaged.

    Raises:
        BusyError: a gateway has it open.
        DamagedError: it is damaged.
        StoreError: it cannot be used.
    """
    return _open_sound(path, max_bytes=max_bytes, vfs=None)


def _open_sound(path: Path, *, max_bytes: int, vfs: str | None) -> OutboxFile:
    connection = sqlite.connect(path, vfs=vfs)
    try:
        with store_errors(str(path)):
            sqlite.configure(connection)
            _ensure_schema(connection)
            connection.pragma("wal_checkpoint(TRUNCATE)")
            _verify(connection)
        return OutboxFile(connection, max_bytes)
    except BaseException:
        connection.close()
        raise


def _ensure_schema(connection: apsw.Connection) -> None:
    """Make the schema in an empty file; tell another program's file from a damaged one of ours."""
    path, version = connection.filename, connection.pragma("user_version")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    ours = connection.pragma("application_id") == _APPLICATION_ID
    if not tables and version == 0:
        with connection:
            connection.execute(SCHEMA)
            write_head(connection, Head(SCHEMA_VERSION, new_epoch(), 0, "", 0))
            connection.pragma("application_id", _APPLICATION_ID)
            connection.pragma("user_version", SCHEMA_VERSION)
    elif not ours and tables and len(tables & TABLES) < len(TABLES) - 1:
        # Ours may have lost its name and a table's to a bad card; who has no table has no data.
        raise SchemaMismatch(f"{path} is not an outbox; choose another path")
    elif not ours or not tables >= TABLES:
        raise DamagedError(f"the schema of the outbox {path} was altered")
    elif read_head(connection).version != version:
        raise DamagedError(f"the version of the outbox {path} was altered")
    elif version != SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the outbox {path} has schema {version}; this program has {SCHEMA_VERSION}"
        )


def _verify(connection: apsw.Connection) -> None:
    """Read the whole file once, and judge every row that still has to travel."""
    found = connection.execute("PRAGMA quick_check(1)").get
    if found != "ok":
        raise DamagedError(f"the outbox {connection.filename} is damaged: {found}")
    rows, oldest, newest = connection.execute(
        "SELECT count(*), min(row), max(row) FROM telegram"
    ).get
    head = read_head(connection)
    acked = read_acked(connection, head)
    if rows and (oldest != head.first_row or newest - oldest + 1 != rows):
        raise DamagedError(f"the outbox {connection.filename} has holes in its numbers")
    if acked > (newest + 1 if rows else head.first_row):
        raise DamagedError(f"the outbox {connection.filename} has lost its newest rows")
    for row in connection.execute(ALL_ROWS, (acked, -1)):
        if unpack_row(row) is None:
            raise DamagedError(f"row {row[0]} of the outbox {connection.filename} was altered")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _salvage(damaged: Path, rescued: Path, max_bytes: int) -> None:
    """Copy the readable unacknowledged rows to a file of a new epoch, from nothing.

    The damaged file stays in its place until the copy is complete and synced, so that a power cut
    at any point leaves one of the two there.
    """
    for leftover in (rescued, _beside(rescued, "-wal")):
        leftover.unlink(missing_ok=True)
    fresh = _open_sound(rescued, max_bytes=max_bytes, vfs=None)
    with contextlib.closing(fresh), store_errors(str(damaged)):
        connection = sqlite.connect(damaged)
        with contextlib.closing(connection):
            for telegrams in readable_rows(_reader(connection), *_bounds(connection)):
                if isinstance(fresh.append([telegrams])[0], OutboxFull):
                    break


def _reader(connection: apsw.Connection) -> Callable[[int, int], list[Row]]:
    sql = f"SELECT {COLUMNS} FROM telegram WHERE row >= ? AND row < ? ORDER BY row"  # noqa: S608 - a constant

    def read(low: int, high: int) -> list[Row]:
        with store_errors(connection.filename):
            return connection.execute(sql, (low, high)).fetchall()

    return read


def _bounds(connection: apsw.Connection) -> tuple[int, int]:
    """The rows to look at: from the first unacknowledged one, if that can be read."""
    low, newest = 0, None
    with contextlib.suppress(StoreError), store_errors(connection.filename):
        low = read_acked(connection, read_head(connection))
    with contextlib.suppress(StoreError), store_errors(connection.filename):
        newest = connection.execute("SELECT max(row) FROM telegram").get
    return low, low + _SALVAGE_ROWS_MAX if newest is None else newest + 1


def _set_aside(path: Path) -> Path:
    number = 1
    while (aside := _beside(path, f".damaged-{number}")).exists():
        number += 1
    path.replace(aside)
    log = _beside(path, "-wal")
    if log.exists():
        log.replace(_beside(aside, "-wal"))
    return aside


def _put_in_place(rescued: Path, path: Path) -> None:
    _beside(path, "-wal").unlink(missing_ok=True)  # of the damaged file: it must not be replayed
    rescued.replace(path)
    sync_folder(path.parent)
