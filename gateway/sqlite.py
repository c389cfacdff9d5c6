"""SQLite for the outbox, through apsw: the only module that uses it.

Why these settings: write-ahead log with `synchronous=FULL` syncs each commit before it returns,
which a power cut survives and NORMAL does not. `locking_mode=EXCLUSIVE` keeps a second process
out and keeps SQLite's shared memory, and the log-reset fault of versions before 3.51.3, out of the
picture. `settings_faults` judges what the library really does and the program refuses to start on
any fault.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import apsw

from ohmesh.model.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SAFE_VERSION = (3, 51, 3)
_SYNCHRONOUS_FULL = 2
_WAL_BYTES_MAX = 8 * 1024 * 1024
_WRITE_VERSION_AT = 18
_WRITE_VERSION_WAL = 2


class DamagedError(StoreError):
    """The file of the outbox cannot be trusted."""


class BusyError(StoreError):
    """Another program, such as the running gateway, has the outbox open."""


def connect(path: Path, *, vfs: str | None = None) -> apsw.Connection:
    """Open a database, made when absent. Raises StoreError."""
    with store_errors(str(path)):
        return apsw.Connection(str(path), vfs=vfs)


def close(connection: apsw.Connection) -> None:
    """Close the connection; what is committed is safe with or without."""
    with contextlib.suppress(apsw.Error):
        connection.close()


def configure(connection: apsw.Connection) -> None:
    """Set what a power cut needs.

    Raises:
        ConfigError: the library does not keep it.
        DamagedError: the file's head says that it is not to be written.
    """
    connection.pragma("locking_mode", "exclusive")
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("journal_size_limit", _WAL_BYTES_MAX)
    if connection.readonly("main") and _is_beyond_us(connection):
        raise DamagedError(f"the head of the outbox {connection.filename} was altered")
    faults = settings_faults(connection)
    if faults:
        raise ConfigError(f"the outbox {connection.filename} is not safe: {'; '.join(faults)}")


def _is_beyond_us(connection: apsw.Connection) -> bool:
    """Whether the head claims a format that SQLite only reads; SQLite's file format, 1.3.3."""
    _, octets = connection.read("main", 0, _WRITE_VERSION_AT, 1)
    return octets[0] > _WRITE_VERSION_WAL


def settings_faults(connection: apsw.Connection, *, library: str = "") -> list[str]:
    """What is unsafe about a connection, a line a fault; empty when it is safe.

    Args:
        connection: the outbox's own.
        library: SQLite's version, empty for the one in use.
    """
    exclusive = connection.pragma("locking_mode") == "exclusive"
    fixed = _version(library or apsw.sqlite_lib_version()) >= _SAFE_VERSION
    checks = (
        (connection.pragma("journal_mode") == "wal", "journal_mode is not wal"),
        (connection.pragma("synchronous") == _SYNCHRONOUS_FULL, "synchronous is not FULL"),
        (exclusive, "locking_mode is not exclusive: a second program could write to it"),
        (exclusive or fixed, "SQLite before 3.51.3 without an exclusive lock can lose commits"),
        (not connection.readonly("main"), "the database is read-only"),
    )
    return [fault for safe, fault in checks if not safe]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@contextlib.contextmanager
def store_errors(path: str) -> Iterator[None]:
    """SQLite's errors as ours, with what to do."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, UnicodeDecodeError) as error:
        # Our statements are constants: an error in one is an altered schema.
        raise DamagedError(f"the outbox {path} is damaged: {error}") from error
    except apsw.BusyError as error:
        raise BusyError(f"the outbox {path} is open in another program; stop that first") from error
    except apsw.FullError as error:
        raise StoreError(f"no space left for the outbox {path}; free some") from error
    except apsw.Error as error:
        raise StoreError(
            f"the outbox {path} cannot be used: {error}; check the folder, its rights and the disk"
        ) from error
