"""The file of the outbox: rows in one SQLite database, used by one thread.

Schema 1. `telegram` holds the rows, numbered without a gap; `outbox` the epoch, the row that is
its number 0, and the oldest kept row; `ack_mark` what was acknowledged by which minute, so that a
row can be kept for a time after its acknowledgement. Each row carries a check on its own content.

After an error of the disk the file is closed and opened anew, never synced again: the kernel
forgets a failed write (closing and opening move the log into the database, which writes the pages
afresh). `gateway.outbox_start` opens it.

A card that reports a sync and does not do it can lose the newest commits at a power cut without
any damage to see. The numbers of the lost rows may be at the head-end already, and would be given
to other telegrams, which the head-end would take for repetitions. So each boot of the machine
begins a new epoch: no number ever has two contents, whatever the card forgot. A mere crash of the
program keeps its epoch, because what the kernel has taken it does not forget.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway import sqlite
from gateway.boot_clock import UNKNOWN_FROM_MS
from gateway.outbox_summary import OutboxSpan
from gateway.rows import checksum, pack_row, unpack_row
from gateway.sqlite import DamagedError, store_errors
from gateway.urgency import URGENT_HEADS, URGENT_KINDS
from ohmesh.model.errors import OutboxFull, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import apsw

    from ohmesh.model.telegram import Telegram

SCHEMA_VERSION = 1
_ROW_OVERHEAD_BYTES = 64
"""Upper estimate of what a row needs beside its payload."""
_FREE_ROWS_MAX = 5000
"""Rows freed in one transaction, so that an append never waits long behind it."""
_MINUTE_MS = 60_000

SCHEMA = """
CREATE TABLE outbox(
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    base INTEGER NOT NULL,
    boot TEXT NOT NULL,
    first_row INTEGER NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE TABLE telegram(
    row INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    source TEXT NOT NULL,
    meter TEXT NOT NULL,
    profile TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    payload BLOB NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE TABLE ack_mark(
    minute INTEGER PRIMARY KEY,
    through_row INTEGER NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
"""
TABLES = {"outbox", "telegram", "ack_mark"}
COLUMNS = "row, kind, source, meter, profile, received_at_ms, payload, crc"
ALL_ROWS = f"SELECT {COLUMNS} FROM telegram WHERE row >= ? ORDER BY row LIMIT ?"  # noqa: S608 - a constant

_HEADS = ", ".join(f"'{head.hex().upper()}'" for head in URGENT_HEADS)
_KINDS = ", ".join(str(kind.value) for kind in URGENT_KINDS)
_URGENT = f"""
SELECT row FROM telegram
WHERE row >= ? AND (
    kind IN ({_KINDS}) OR (kind = 0 AND hex(substr(payload, 1, 1)) IN ({_HEADS}))
)
ORDER BY row LIMIT ?
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Where the outbox stands.

    Attributes:
        epoch: identity of the file, a positive 63-bit number.
        first_seq: number of the oldest row that is kept, negative if it is of an older epoch.
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


@dataclass(frozen=True, slots=True)
class Head:
    """The one row of the table `outbox`."""

    version: int
    epoch: int
    base: int
    boot: str
    first_row: int


class OutboxFile:
    """The rows on disk; every method runs in one thread and raises StoreError."""

    def __init__(self, connection: apsw.Connection, max_bytes: int) -> None:
        self._connection = connection
        self._max_bytes = max_bytes
        with store_errors(connection.filename):
            self._head = read_head(connection)
            self._acked = read_acked(connection, self._head)
            last = connection.execute("SELECT max(row) FROM telegram").get
        self._next: int = self._head.first_row if last is None else last + 1

    @property
    def state(self) -> OutboxState:
        """Where it stands now."""
        return OutboxState(
            epoch=self._head.epoch,
            first_seq=self._head.first_row - self._base,
            acked_through=self._acked - self._base,
            next_seq=self._next - self._base,
            used_bytes=self._used_bytes(),
            max_bytes=self._max_bytes,
        )

    def append(self, groups: Sequence[Sequence[Telegram]]) -> list[range | OutboxFull]:
        """Commit groups of telegrams in one synced transaction.

        Returns:
            For each group its numbers, or OutboxFull when it did not fit: then none of it is in.
        """
        start = self._next
        try:
            with self._transaction():
                return [self._append_group(group) for group in groups]
        except StoreError:
            self._next = start
            raise

    def batch(self, from_seq: int, *, limit: int, max_bytes: int) -> list[Telegram]:
        """Telegrams `from_seq`, `from_seq + 1` ...: at most `limit`, and `max_bytes` of payload.

        A first telegram that is larger than `max_bytes` comes alone.
        """
        telegrams: list[Telegram] = []
        room = max_bytes
        with store_errors(self._connection.filename):
            for row in self._connection.execute(ALL_ROWS, (from_seq + self._base, limit)):
                telegram = unpack_row(row)
                if row[0] != from_seq + self._base + len(telegrams) or telegram is None:
                    seq = from_seq + len(telegrams)
                    raise DamagedError(f"telegram {seq} is missing or altered")
                room -= len(telegram.payload)
                if telegrams and room < 0:
                    break
                telegrams.append(telegram)
        return telegrams

    def urgent(self, limit: int) -> list[int]:
        """The numbers of the first unacknowledged urgent telegrams, ascending."""
        with store_errors(self._connection.filename):
            found = self._connection.execute(_URGENT, (self._acked, limit))
            return [row - self._base for (row,) in found]

    def acknowledge(self, epoch: int, through: int, *, now_ms: int) -> None:
        """Note that all rows of an epoch below `through` are acknowledged.

        Another epoch than the present one, or a number never given, is a matter of the past.
        """
        row = through + self._base
        if epoch != self._head.epoch or not self._acked < row <= self._next:
            return
        minute = now_ms // _MINUTE_MS
        with self._transaction():
            mark = (minute, row, checksum(minute, row))
            self._connection.execute("INSERT OR REPLACE INTO ack_mark VALUES (?, ?, ?)", mark)
        self._acked = row

    def free(self, *, acknowledged_before_ms: int) -> int:
        """Free some rows that were acknowledged before a time; how many."""
        sql = "SELECT max(through_row) FROM ack_mark WHERE minute < ?"
        with self._transaction():
            row = self._connection.execute(sql, (acknowledged_before_ms // _MINUTE_MS,)).get
            return self._free_below(row or 0)

    def span(self) -> OutboxSpan:
        """When the oldest kept, the oldest unacknowledged and the newest row were received."""
        with store_errors(self._connection.filename):
            return OutboxSpan(
                oldest_kept_ms=self._received_at_ms(self._head.first_row),
                oldest_waiting_ms=self._received_at_ms(self._acked),
                newest_ms=self._received_at_ms(self._next - 1),
            )

    def begin_epoch(self, boot: str) -> bool:
        """Start a new epoch unless this boot of the machine began the present one; True when new.

        The unacknowledged rows get the numbers from 0 on.
        """
        if self._head.boot == boot:
            return False
        with self._transaction():
            self._write_head(replace(self._head, epoch=new_epoch(), base=self._acked, boot=boot))
        return True

    def begin_again(self, from_seq: int | None, *, now_ms: int) -> int:
        """Start a new epoch with rows that were acknowledged before, for they are wanted again.

        Args:
            from_seq: the first number wanted; None: all rows that are kept.
            now_ms: UTC; rows that are not wanted are kept for their time from now on.

        Returns: how many rows wait again.
        """
        first = self._head.first_row
        base = first if from_seq is None else max(first, from_seq + self._base)
        if base >= self._acked:
            return 0
        again = self._acked - base
        minute = now_ms // _MINUTE_MS
        with self._transaction():
            self._connection.execute("DELETE FROM ack_mark WHERE through_row > ?", (base,))
            mark = (minute, base, checksum(minute, base))
            self._connection.execute("INSERT OR REPLACE INTO ack_mark VALUES (?, ?, ?)", mark)
            self._write_head(replace(self._head, epoch=new_epoch(), base=base))
        self._acked = base
        return again

    def close(self) -> None:
        """Close the connection; what is committed is safe with or without."""
        sqlite.close(self._connection)

    def _received_at_ms(self, row: int) -> int | None:
        sql = "SELECT received_at_ms FROM telegram WHERE row = ?"
        found: int | None = self._connection.execute(sql, (row,)).get
        return None if found is None or found >= UNKNOWN_FROM_MS else found

    def _append_group(self, group: Sequence[Telegram]) -> range | OutboxFull:
        need = sum(len(telegram.payload) + _ROW_OVERHEAD_BYTES for telegram in group)
        if not self._make_room(need):
            return OutboxFull(f"the outbox is at its bound of {self._max_bytes} bytes")
        rows = range(self._next, self._next + len(group))
        self._connection.executemany(
            "INSERT INTO telegram VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (pack_row(row, telegram) for row, telegram in zip(rows, group, strict=True)),
        )
        self._next = rows.stop
        return range(rows.start - self._base, rows.stop - self._base)

    def _make_room(self, need_bytes: int) -> bool:
        """Give up kept rows, oldest first, rather than refuse a new one; True when it fits."""
        while self._used_bytes() + need_bytes > self._max_bytes:
            if not self._free_below(self._acked):
                return False
        return True

    def _free_below(self, through_row: int) -> int:
        first = self._head.first_row
        end = min(through_row, self._acked, first + _FREE_ROWS_MAX)
        if end <= first:
            return 0
        self._connection.execute("DELETE FROM telegram WHERE row < ?", (end,))
        self._connection.execute("DELETE FROM ack_mark WHERE through_row <= ?", (end,))
        self._write_head(replace(self._head, first_row=end))
        return end - first

    def _write_head(self, head: Head) -> None:
        write_head(self._connection, head)
        self._head = head

    @property
    def _base(self) -> int:
        return self._head.base

    def _used_bytes(self) -> int:
        pragma = self._connection.pragma
        used_pages = int(pragma("page_count")) - int(pragma("freelist_count"))
        return used_pages * int(pragma("page_size"))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        head = self._head
        try:
            with store_errors(self._connection.filename), self._connection:
                yield
        except StoreError:
            self._head = head
            raise


def read_head(connection: apsw.Connection) -> Head:
    """Raises DamagedError: it is not there, or not what was written."""
    found = connection.execute(
        "SELECT version, epoch, base, boot, first_row, crc FROM outbox"
    ).fetchone()
    if found is None or checksum(*found[:-1]) != found[-1]:
        raise DamagedError(f"the head of the outbox {connection.filename} was altered")
    return Head(*found[:-1])


def write_head(connection: apsw.Connection, head: Head) -> None:
    """Replace the head, in the transaction of the caller."""
    fields = (head.version, head.epoch, head.base, head.boot, head.first_row)
    connection.execute(
        "INSERT OR REPLACE INTO outbox VALUES (1, ?, ?, ?, ?, ?, ?)", (*fields, checksum(*fields))
    )


def read_acked(connection: apsw.Connection, head: Head) -> int:
    """One past the newest acknowledged row; marks that were altered do not count."""
    acked = head.first_row
    row: int
    for minute, row, crc in connection.execute("SELECT minute, through_row, crc FROM ack_mark"):
        if checksum(minute, row) == crc:
            acked = max(acked, row)
    return acked


def new_epoch() -> int:
    """A random positive 63-bit number."""
    return secrets.randbelow(2**63 - 1) + 1
