"""What a fleet remembers over a restart: one SQLite file, one transaction for each turn of events.

The file survives the death of the process at any moment, which is what a simulation needs; it is
not synced to disk. Without a folder everything lives in memory and ends with the process.

| table | holds |
|---|---|
| meter | the state of each meter and of its mesh station |
| message | sealed messages that no mesh station has taken over yet |
| kept | payloads that a mesh station keeps until they are acknowledged end to end |
| network_key | the network keys that a node was granted, by index |
| flash | the big memory of each meter: load profile, firmware images |
| fact | numbers by name, such as the length of a truth file |
"""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self

from ohmesh.model.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SCHEMA = """
create table if not exists meter (
    node integer primary key, state blob, mesh blob
) strict;
create table if not exists message (
    id integer primary key autoincrement,
    node integer not null, priority integer not null, payload blob not null
) strict;
create index if not exists message_node on message (node);
create table if not exists kept (
    node integer not null, oseq integer not null, priority integer not null, payload blob not null,
    primary key (node, oseq)
) strict, without rowid;
create table if not exists network_key (
    node integer not null, number integer not null, key blob not null, primary key (node, number)
) strict, without rowid;
create table if not exists flash (
    node integer not null, area text not null, slot integer not null, octets blob not null,
    primary key (node, area, slot)
) strict, without rowid;
create table if not exists fact (name text primary key, number integer not null) strict;
"""
_FILE = "fleet.sqlite"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was stored of one node.

    Attributes:
        state: of the meter, None when it is new.
        mesh: of its station, None when it never booted.
        messages: (id, priority, payload), oldest first.
        kept: (oseq, priority, payload), oldest first.
        keys: network keys by index.
    """

    state: bytes | None
    mesh: bytes | None
    messages: list[tuple[int, int, bytes]]
    kept: list[tuple[int, int, bytes]]
    keys: dict[int, bytes]


class FleetStore:
    """The store of one process; a context manager.

    Args:
        folder: where the file lies, made when absent; None keeps everything in memory.
        part: name of the process's share of the meters; one process may hold it at a time.

    Raises:
        ConfigError: another process holds the part, or the file is none of ours.
        StoreError: from any method that writes: the disk is full, the file is damaged.
    """

    def __init__(self, folder: Path | None, part: str = "all") -> None:
        with ExitStack() as stack:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                stack.callback(_lock(folder / f"{part}.lock").close)
            self._sql = _connect(folder / _FILE if folder else ":memory:")
            stack.callback(self._sql.close)
            self._held = stack.pop_all()
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was not committed is gone."""
        self._held.close()

    def recall(self, node: int) -> Remembered:
        """All that is stored of a node."""
        row = self._sql.execute("select state, mesh from meter where node = ?", (node,)).fetchone()
        messages = self._sql.execute(
            "select id, priority, payload from message where node = ? order by id", (node,)
        )
        kept = self._sql.execute(
            "select oseq, priority, payload from kept where node = ? order by oseq", (node,)
        )
        keys = self._sql.execute("select number, key from network_key where node = ?", (node,))
        state, mesh = row or (None, None)
        return Remembered(state, mesh, messages.fetchall(), kept.fetchall(), dict(keys.fetchall()))

    def put_state(self, node: int, state: bytes) -> None:
        """Keep the state of a meter."""
        self._write(
            "insert into meter (node, state) values (?, ?)"
            " on conflict (node) do update set state = excluded.state",
            (node, state),
        )

    def put_mesh(self, node: int, mesh: bytes) -> None:
        """Keep the state of a mesh station."""
        self._write(
            "insert into meter (node, mesh) values (?, ?)"
            " on conflict (node) do update set mesh = excluded.mesh",
            (node, mesh),
        )

    def put_keys(self, node: int, keys: Mapping[int, bytes]) -> None:
        """Keep the network keys of a node, these and no others."""
        self._write("delete from network_key where node = ?", (node,))
        for number, key in keys.items():
            self._write(
                "insert into network_key (node, number, key) values (?, ?, ?)", (node, number, key)
            )

    def add_message(self, node: int, priority: int, payload: bytes) -> int:
        """Keep a message; returns its id."""
        cursor = self._write(
            "insert into message (node, priority, payload) values (?, ?, ?)",
            (node, priority, payload),
        )
        return int(cursor.lastrowid or 0)

    def remove_message(self, message: int) -> None:
        """Forget a message: the station has it, or the ring was full."""
        self._write("delete from message where id = ?", (message,))

    def keep_payload(self, node: int, oseq: int, priority: int, payload: bytes) -> None:
        """Keep a payload for a station."""
        self._write(
            "insert or replace into kept (node, oseq, priority, payload) values (?, ?, ?, ?)",
            (node, oseq, priority, payload),
        )

    def forget_payload(self, node: int, oseq: int) -> None:
        """The payload is acknowledged end to end."""
        self._write("delete from kept where (node, oseq) = (?, ?)", (node, oseq))

    def flash(self, node: int) -> NodeFlash:
        """The big memory of a meter (`meter_sim.flash`)."""
        return NodeFlash(self, node)

    def put_flash(self, node: int, area: str, slot: int, octets: bytes) -> None:
        """Keep a slot of a meter's flash."""
        self._write("insert or replace into flash values (?, ?, ?, ?)", (node, area, slot, octets))

    def get_flash(self, node: int, area: str, slot: int) -> bytes | None:
        """A slot of a meter's flash, None when nothing was written there."""
        row = self._sql.execute(
            "select octets from flash where (node, area, slot) = (?, ?, ?)", (node, area, slot)
        ).fetchone()
        return row and bytes(row[0])

    def erase_flash(self, node: int, area: str) -> None:
        """Empty an area of a meter's flash."""
        self._write("delete from flash where (node, area) = (?, ?)", (node, area))

    def fact(self, name: str) -> int:
        """A number by its name, 0 when there is none."""
        row = self._sql.execute("select number from fact where name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def put_fact(self, name: str, number: int) -> None:
        """Keep a number."""
        self._write("insert or replace into fact (name, number) values (?, ?)", (name, number))

    def commit(self) -> None:
        """Make this turn's changes durable, all of them or none."""
        if self._open:
            self._run("commit", ())
            self._open = False

    def _write(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        if not self._open:
            self._run("begin immediate", ())
            self._open = True
        return self._run(statement, values)

    def _run(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            return self._sql.execute(statement, values)
        except sqlite3.Error as error:
            raise StoreError(f"the meters cannot remember: {error}") from error


class NodeFlash:
    """One meter's flash in the fleet's file, durable with its state at the end of the turn."""

    def __init__(self, store: FleetStore, node: int) -> None:
        self._store, self._node = store, node

    def put(self, area: str, slot: int, octets: bytes) -> None:
        """Write one slot."""
        self._store.put_flash(self._node, area, slot, octets)

    def get(self, area: str, slot: int) -> bytes | None:
        """One slot; None when nothing was written there."""
        return self._store.get_flash(self._node, area, slot)

    def erase(self, area: str) -> None:
        """Empty an area."""
        self._store.erase_flash(self._node, area)


def _lock(path: Path) -> IO[str]:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigError(f"another fleet runs these meters: {path} is taken") from None
    return file


def _connect(place: Path | str) -> sqlite3.Connection:
    sql = sqlite3.connect(place, isolation_level=None)
    try:
        sql.executescript("pragma journal_mode=wal; pragma synchronous=off;" + _SCHEMA)
    except sqlite3.Error as error:
        sql.close()
        raise ConfigError(f"the meters' memory {place}: {error}") from error
    return sql
