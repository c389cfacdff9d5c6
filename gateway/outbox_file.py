"""The file of the outbox: one SQLite database, one exclusive connection, all through apsw.

Schema 1. `telegram` holds the rows, numbered without a gap; `outbox` its epoch and the number of
the oldest kept row; `ack_mark` what was acknowledged by which minute, so that a row can be kept
for a time after its acknowledgement.

Why these settings: write-ahead log with `synchronous=FULL` syncs each commit before it returns,
which a power cut survives and NORMAL does not. `locking_mode=EXCLUSIVE` keeps a second process
out and keeps SQLite's shared memory, and the log-reset fault of versions before 3.51.3, out of the
picture. `settings_faults` judges what the library really does and the program refuses to start on
any fault. After an error of the disk the file is closed and opened anew, never synced again: the
kernel forgets a failed write (opening moves the log into the database, which writes the pages
afresh). What cannot be read is set aside, salvaged as far as it is readable, and the rest goes
on in a new file under a new epoch.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw

from gateway.disk import sync_folder
from gateway.outbox_summary import OutboxSpan
from gateway.salvage import readable_rows
from gateway.urgency import URGENT_HEADS
from ohmesh.model.errors import ConfigError, OutboxFull, SchemaMismatch, StoreError
from ohmesh.model.telegram import Telegram, TelegramKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x6F686D21  # "ohm!"
_SAFE_VERSION = (3, 51, 3)
_SYNCHRONOUS_FULL = 2
_ROW_OVERHEAD_BYTES = 64
"""Upper estimate of what a row needs beside its payload."""
_FREE_ROWS_MAX = 5000
"""Rows freed in one transaction, so that an append never waits long behind it."""
_WAL_BYTES_MAX = 8 * 1024 * 1024
_MINUTE_MS = 60_000
_SALVAGE_ROWS_MAX = 2**20
"""Numbers to try when the newest one cannot be read."""

_SCHEMA = """
CREATE TABLE outbox(
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    first_seq INTEGER NOT NULL
) STRICT;
CREATE TABLE telegram(
    seq INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    source TEXT NOT NULL,
    meter TEXT NOT NULL,
    profile TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE ack_mark(minute INTEGER PRIMARY KEY, through INTEGER NOT NULL) STRICT;
"""
_COLUMNS = "kind, source, meter, profile, received_at_ms, payload"
_BATCH = f"SELECT seq, {_COLUMNS} FROM telegram WHERE seq >= ? ORDER BY seq LIMIT ?"  # noqa: S608 - a constant

_HEADS = ", ".join(f"'{head.hex().upper()}'" for head in URGENT_HEADS)
_URGENT = f"""
SELECT seq FROM telegram
WHERE seq >= ? AND (
    kind = ? OR (kind = 0 AND hex(substr(payload, 1, 1)) IN ({_HEADS}))
)
ORDER BY seq LIMIT ?
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Where the outbox stands.

    Attributes:
        epoch: identity of the file, a positive 63-bit number.
        first_seq: number of the oldest row that is kept.
        acked_through: all numbers below it are acknowledged.
        next_seq: number of the next telegram; all below it are committed.
        used_bytes: of the database file, free pages not counted.
        max_bytes: the bound on `used_bytes`; the write-ahead log comes on top, at most 8 MiB.
    """

    epoch: int
    first_seq: int
    acked_through: int
    next_seq: int
    used_bytes: int
    max_bytes: int

    @property
    def backlog(self) -> int:
        """Telegrams that the head-end has not acknowledged."""
        return self.next_seq - self.acked_through

    @property
    def fill(self) -> float:
        """Share of the bound that unacknowledged rows take; only they can make it full."""
        rows = max(1, self.next_seq - self.first_seq)
        return self.used_bytes / self.max_bytes * self.backlog / rows


class DamagedError(StoreError):
    """The file of the outbox cannot be trusted."""


class BusyError(StoreError):
    """Another program, such as the running gateway, has the outbox open."""


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


class OutboxFile:
    """The rows on disk; every method runs in one thread and raises StoreError."""

    def __init__(self, connection: apsw.Connection, max_bytes: int) -> None:
        self._connection = connection
        self._max_bytes = max_bytes
        self._epoch: int
        self._first_seq: int
        with _store_errors(connection.filename):
            self._epoch, self._first_seq = self._row("SELECT epoch, first_seq FROM outbox")
            (last,) = self._row("SELECT max(seq) FROM telegram")
            (marked,) = self._row("SELECT max(through) FROM ack_mark")
        self._next_seq: int = self._first_seq if last is None else last + 1
        self._acked: int = max(self._first_seq, marked or 0)

    @property
    def state(self) -> OutboxState:
        """Where it stands now."""
        return OutboxState(
            epoch=self._epoch,
            first_seq=self._first_seq,
            acked_through=self._acked,
            next_seq=self._next_seq,
            used_bytes=self._used_bytes(),
            max_bytes=self._max_bytes,
        )

    def append(self, groups: Sequence[Sequence[Telegram]]) -> list[range | OutboxFull]:
        """Commit groups of telegrams in one synced transaction.

        Returns:
            For each group its numbers, or OutboxFull when it did not fit: then none of it is in.
        """
        start = self._next_seq
        try:
            with self._transaction():
                return [self._append_group(group) for group in groups]
        except StoreError:
            self._next_seq = start
            raise

    def batch(self, from_seq: int, *, limit: int, max_bytes: int) -> list[Telegram]:
        """Telegrams `from_seq`, `from_seq + 1` ...: at most `limit`, and `max_bytes` of payload.

        A first telegram that is larger than `max_bytes` comes alone.
        """
        telegrams: list[Telegram] = []
        room = max_bytes
        with _store_errors(self._connection.filename):
            for row in self._connection.execute(
                _BATCH,
                (from_seq, limit),
            ):
                room -= len(row[-1])
                if telegrams and room < 0:
                    break
                if row[0] != from_seq + len(telegrams):
                    raise DamagedError(f"telegram {from_seq + len(telegrams)} is missing")
                telegrams.append(_telegram(row[1:]))
        return telegrams

    def urgent(self, limit: int) -> list[int]:
        """The numbers of the first unacknowledged urgent telegrams, ascending."""
        with _store_errors(self._connection.filename):
            found = self._connection.execute(_URGENT, (self._acked, TelegramKind.DELIVERY, limit))
            return [seq for (seq,) in found]

    def acknowledge(self, through: int, *, now_ms: int) -> None:
        """Note that all rows below `through` are acknowledged."""
        with self._transaction():
            self._execute(
                "INSERT INTO ack_mark VALUES (?, ?) ON CONFLICT (minute) "
                "DO UPDATE SET through = max(through, excluded.through)",
                (now_ms // _MINUTE_MS, through),
            )
        self._acked = max(self._acked, through)

    def free(self, *, acknowledged_before_ms: int) -> int:
        """Free some rows that were acknowledged before a time; how many."""
        minute = (acknowledged_before_ms // _MINUTE_MS,)
        with self._transaction():
            (through,) = self._row("SELECT max(through) FROM ack_mark WHERE minute < ?", minute)
            return self._free_below(through or 0)

    def span(self) -> OutboxSpan:
        """When the oldest kept, the oldest unacknowledged and the newest row were received."""
        with _store_errors(self._connection.filename):
            return OutboxSpan(
                oldest_kept_ms=self._received_at_ms(self._first_seq),
                oldest_waiting_ms=self._received_at_ms(self._acked),
                newest_ms=self._received_at_ms(self._next_seq - 1),
            )

    def close(self) -> None:
        """Close the connection; what is committed is safe with or without."""
        with contextlib.suppress(apsw.Error):
            self._connection.close()

    def _received_at_ms(self, seq: int) -> int | None:
        sql = "SELECT received_at_ms FROM telegram WHERE seq = ?"
        found: int | None = self._connection.execute(sql, (seq,)).get
        return found

    def _append_group(self, group: Sequence[Telegram]) -> range | OutboxFull:
        need = sum(len(telegram.payload) + _ROW_OVERHEAD_BYTES for telegram in group)
        if not self._make_room(need):
            return OutboxFull(f"the outbox is at its bound of {self._max_bytes} bytes")
        seqs = range(self._next_seq, self._next_seq + len(group))
        self._connection.executemany(
            "INSERT INTO telegram VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (seq, t.kind, t.source, t.meter, t.profile, t.received_at_ms, t.payload)
                for seq, t in zip(seqs, group, strict=True)
            ),
        )
        self._next_seq = seqs.stop
        return seqs

    def _make_room(self, need_bytes: int) -> bool:
        """Give up kept rows, oldest first, rather than refuse a new one; True when it fits."""
        while self._used_bytes() + need_bytes > self._max_bytes:
            if not self._free_below(self._acked):
                return False
        return True

    def _free_below(self, through: int) -> int:
        end = min(through, self._first_seq + _FREE_ROWS_MAX)
        if end <= self._first_seq:
            return 0
        self._execute("DELETE FROM telegram WHERE seq < ?", (end,))
        self._execute("UPDATE outbox SET first_seq = ?", (end,))
        self._execute("DELETE FROM ack_mark WHERE through <= ?", (end,))
        freed, self._first_seq = end - self._first_seq, end
        return freed

    def _used_bytes(self) -> int:
        pragma = self._connection.pragma
        used_pages = int(pragma("page_count")) - int(pragma("freelist_count"))
        return used_pages * int(pragma("page_size"))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        first_seq = self._first_seq
        try:
            with _store_errors(self._connection.filename), self._connection:
                yield
        except StoreError:
            self._first_seq = first_seq
            raise

    def _execute(self, sql: str, values: tuple[int, ...] = ()) -> None:
        self._connection.execute(sql, values)

    def _row(self, sql: str, values: tuple[int, ...] = ()) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        if row is None:
            raise DamagedError(f"nothing found by {sql}")
        return row


@contextlib.contextmanager
def _store_errors(path: str) -> Iterator[None]:
    """SQLite's errors as ours, with what to do."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DamagedError(f"the outbox {path} is damaged: {error}") from error
    except apsw.BusyError as error:
        raise BusyError(f"the outbox {path} is open in another program; stop that first") from error
    except apsw.FullError as error:
        raise StoreError(f"no space left for the outbox {path}; free some") from error
    except apsw.Error as error:
        raise StoreError(
            f"the outbox {path} cannot be used: {error}; check the folder, its rights and the disk"
        ) from error


def open_outbox(path: Path, *, max_bytes: int, vfs: str | None = None) -> OutboxFile:
    """Open the outbox, made when absent; a damaged one is salvaged and set aside.

    Args:
        path: the database file; its folder exists.
        max_bytes: bound on the database file.
        vfs: name of SQLite's file layer, None for the system's own.

    Raises:
        StoreError: the file cannot be used; it is untouched.
        SchemaMismatch: it is of another program or another version.
        ConfigError: SQLite does not keep the settings that a power cut needs.
    """
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
    with _store_errors(str(path)):
        connection = apsw.Connection(str(path), vfs=vfs)
    try:
        with _store_errors(str(path)):
            _configure(connection)
            _ensure_schema(connection)
            connection.pragma("wal_checkpoint(TRUNCATE)")
            _verify(connection)
        return OutboxFile(connection, max_bytes)
    except BaseException:
        connection.close()
        raise


def _configure(connection: apsw.Connection) -> None:
    connection.pragma("locking_mode", "exclusive")
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("journal_size_limit", _WAL_BYTES_MAX)
    faults = settings_faults(connection)
    if faults:
        raise ConfigError(f"the outbox {connection.filename} is not safe: {'; '.join(faults)}")


def _ensure_schema(connection: apsw.Connection) -> None:
    version, tables = (
        connection.pragma("user_version"),
        connection.execute("SELECT count(*) FROM sqlite_schema").get,
    )
    if version == 0 and tables == 0:
        with connection:
            connection.execute(_SCHEMA)
            epoch = secrets.randbelow(2**63 - 1) + 1
            connection.execute("INSERT INTO outbox VALUES (1, ?, 0)", (epoch,))
            connection.pragma("application_id", _APPLICATION_ID)
            connection.pragma("user_version", SCHEMA_VERSION)
    elif connection.pragma("application_id") != _APPLICATION_ID:
        raise SchemaMismatch(f"{connection.filename} is not an outbox; choose another path")
    elif version != SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the outbox {connection.filename} has schema {version}; this program has "
            f"{SCHEMA_VERSION}"
        )


def _verify(connection: apsw.Connection) -> None:
    """The whole file is read once. Raises DamagedError."""
    found = connection.execute("PRAGMA quick_check(1)").get
    if found != "ok":
        raise DamagedError(f"the outbox {connection.filename} is damaged: {found}")
    rows, oldest, newest = connection.execute(
        "SELECT count(*), min(seq), max(seq) FROM telegram"
    ).get
    first = connection.execute("SELECT first_seq FROM outbox").get
    if first is None or (rows and (oldest != first or newest - oldest + 1 != rows)):
        raise DamagedError(f"the outbox {connection.filename} has holes in its numbers")


def _telegram(row: Sequence[Any]) -> Telegram:
    kind, source, meter, profile, received_at_ms, payload = row
    return Telegram(TelegramKind(kind), source, meter, profile, received_at_ms, payload)


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
    with contextlib.closing(fresh), _store_errors(str(damaged)):
        connection = apsw.Connection(str(damaged))
        with contextlib.closing(connection):
            for telegrams in readable_rows(_reader(connection), *_bounds(connection)):
                if isinstance(fresh.append([telegrams])[0], OutboxFull):
                    break


def _reader(connection: apsw.Connection) -> Callable[[int, int], list[tuple[Any, ...]]]:
    sql = f"SELECT {_COLUMNS} FROM telegram WHERE seq >= ? AND seq < ? ORDER BY seq"  # noqa: S608 - a constant

    def read(low: int, high: int) -> list[tuple[Any, ...]]:
        with _store_errors(connection.filename):
            return connection.execute(sql, (low, high)).fetchall()

    return read


def _bounds(connection: apsw.Connection) -> tuple[int, int]:
    """The numbers to look at: from the first unacknowledged one, if that can be read."""

    def number(sql: str, otherwise: int) -> int:
        try:
            return int(connection.execute(sql).get)
        except (apsw.Error, TypeError, ValueError):
            return otherwise

    first = number("SELECT first_seq FROM outbox", 0)
    low = max(first, number("SELECT max(through) FROM ack_mark", 0))
    return low, number("SELECT max(seq) + 1 FROM telegram", low + _SALVAGE_ROWS_MAX)


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
