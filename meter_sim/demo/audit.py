"""The demo's own audit, straight from the tables: it trusts no counter of the programs.

lost = truth - stored - quarantined. Truth is the file that the simulated meters wrote, one JSON
object a line; a reading counts as stored when its value at its meter, channel and interval end is
the one in the table, in the register's unit.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, LiteralString, Self

import psycopg

from meter_sim.servers.process import ServerError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

DATABASE = "ohmesh_demo"
"""The database that a demo makes for itself, anew each time."""
_Key = tuple[str, str, datetime]

_OTHERS = """
    select d.datname from pg_database d join pg_roles r on r.oid = d.datdba
    where r.rolname = 'ohmesh_owner' and d.datname <> 'ohmesh_demo'
"""
_DROP = "drop database if exists ohmesh_demo with (force)"
_READINGS = """
    select m.name, c.name, r.ts, r.value, c.scaler
    from bulk.reading r
    join ohmesh.meter m on m.id = r.meter_id
    join ohmesh.channel c on c.id = r.channel
    where m.address like 'mesh-%'
"""
_ALL_READINGS = """
    select m.name, c.name, r.ts, r.value, c.scaler
    from bulk.reading r
    join ohmesh.meter m on m.id = r.meter_id
    join ohmesh.channel c on c.id = r.channel
"""
_STAGE = """
    select (select received_at from bulk.telegram t join ohmesh.gateway g on g.id = t.gateway_id
            where g.name = %(gateway)s and t.epoch = %(epoch)s and t.seq = %(seq)s limit 1),
           (select reason || ': ' || message from bulk.telegram_quarantine q
            join ohmesh.gateway g on g.id = q.gateway_id
            where g.name = %(gateway)s and q.epoch = %(epoch)s and q.seq = %(seq)s
              and q.resolved_at is null limit 1)
"""
_EVENTS = "select kind, count(*) from ohmesh.event group by kind"
_ALARMS = """
    select a.element_kind, a.state, count(m.meter_id)
    from ohmesh.alarm a left join ohmesh.alarm_meter m on m.alarm_id = a.id
    where a.kind = 'outage' and a.closed_by is distinct from 'merged' group by a.id
"""
_DUPLICATES = """
    select count(*) - count(distinct (r.meter_id, c.name, r.ts))
    from bulk.reading r join ohmesh.channel c on c.id = r.channel
"""
_TELEGRAMS = "select count(*) from bulk.telegram where source = 'bench'"
_ARCHIVED = """
    select g.name, t.epoch, t.seq from bulk.telegram t join ohmesh.gateway g on g.id = t.gateway_id
    where t.source = 'bench'
"""
_DECODED = """
    select count(*) from bulk.telegram t where t.source = 'bench' and not exists (
        select from bulk.telegram_quarantine q
        where (q.gateway_id, q.epoch, q.seq) = (t.gateway_id, t.epoch, t.seq))
"""
_QUARANTINED = "select count(*) from bulk.telegram_quarantine where resolved_at is null"
_MESH_READINGS = """
    select count(*) from bulk.reading r join ohmesh.meter m on m.id = r.meter_id
    where m.address like 'mesh-%'
"""
_NEWEST = """
    select m.name, max(r.ts) from bulk.reading r join ohmesh.meter m on m.id = r.meter_id
    where m.name = any(%s) group by m.name
"""


def clear(admin_url: str) -> None:
    """Remove the database of a former demo from a server.

    Raises:
        ServerError: the server does not answer, or it serves another head-end: a demo would give
            that one's roles new passwords.
    """
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as connection:
            others = [name for (name,) in connection.execute(_OTHERS)]
            if others:
                raise ServerError(
                    f"the database server already has the head-end {others[0]}; "
                    "give the demo a server of its own"
                )
            connection.execute(_DROP)
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise ServerError(
            f"the database does not serve us: {reason}; --database takes a superuser's "
            "postgresql://user:password@host:port/postgres"
        ) from None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The exact count at the end.

    Attributes:
        expected: readings in the truth file.
        stored: of these, in the table with the same value.
        wrong: in the table with another value.
        unknown: mesh readings in the table that no meter produced.
        duplicates: rows beyond the first of a (meter, channel name, interval end).
    """

    expected: int
    stored: int
    wrong: int
    unknown: int
    duplicates: int


class Audit:
    """A superuser's look at the store."""

    def __init__(self, url: str) -> None:
        """Args: url: the head-end's database, as superuser."""
        self._url = url
        self._connection = psycopg.connect(url, autocommit=True)

    def reopen(self) -> None:
        """Connect anew after the server was away."""
        self._connection.close()
        self._connection = psycopg.connect(self._url, autocommit=True)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def verdict(self, truth: Path) -> Verdict:
        """Compare the truth file with the table, reading by reading."""
        expected = dict(_truth(truth))
        found = self._stored()
        same = sum(1 for key, value in expected.items() if found.get(key) == value)
        present = sum(1 for key in expected if key in found)
        return Verdict(
            expected=len(expected),
            stored=same,
            wrong=present - same,
            unknown=len(found.keys() - expected.keys()),
            duplicates=self._number(_DUPLICATES),
        )

    def readings(self) -> dict[_Key, Decimal]:
        """Every reading in the table, in the register's unit."""
        rows = self._connection.execute(_ALL_READINGS)
        return {(m, c, ts): Decimal(value).scaleb(scaler) for m, c, ts, value, scaler in rows}

    def events(self) -> dict[str, int]:
        """Kind -> how many."""
        return dict(self._connection.execute(_EVENTS).fetchall())

    def outages(self) -> list[tuple[str, str, int]]:
        """Kind of the element, state and meters of each alarm that no other one took over."""
        return self._connection.execute(_ALARMS).fetchall()

    def outages_waiting(self) -> int:
        """Last gasps and restorations that the head-end has not looked at yet."""
        return self._number("select count(*) from bulk.outage_queue")

    def archived_or_none(self) -> int | None:
        """`telegrams`, None while the server is away; connects again by itself."""
        try:
            return self.telegrams()
        except psycopg.Error:
            with suppress(psycopg.Error):
                self.reopen()
            return None

    def all_readings(self) -> int:
        """How many readings are in the table."""
        return self._number("select count(*) from bulk.reading")

    def duplicates(self) -> int:
        """Rows beyond the first of a (meter, channel name, interval end)."""
        return self._number(_DUPLICATES)

    def stage(self, gateway: str, epoch: int, seq: int) -> tuple[bool, str | None]:
        """How far a telegram came: whether it is archived, and why it is in quarantine."""
        names = {"gateway": gateway, "epoch": epoch, "seq": seq}
        row = self._connection.execute(_STAGE, names).fetchone()
        return (False, None) if row is None else (row[0] is not None, row[1])

    @contextmanager
    def readings_locked(self) -> Iterator[None]:
        """While the block runs nobody else can write readings."""
        with psycopg.connect(self._url) as other:
            other.execute("lock table bulk.reading in access exclusive mode")
            yield

    def newest(self, meters: Collection[str]) -> dict[str, datetime]:
        """The newest interval end stored of each of the meters."""
        return dict(self._connection.execute(_NEWEST, [list(meters)]).fetchall())

    def mesh_readings(self) -> int:
        """Readings of meters in the mesh."""
        return self._number(_MESH_READINGS)

    def telegrams(self) -> int:
        """Telegrams archived that came over the bench port, quarantined ones among them."""
        return self._number(_TELEGRAMS)

    def archived(self) -> list[tuple[str, int, int]]:
        """Gateway, epoch and number of each of them."""
        return self._connection.execute(_ARCHIVED).fetchall()

    def telegrams_decoded(self) -> int:
        """Of these, the ones that gave readings."""
        return self._number(_DECODED)

    def quarantined(self) -> int:
        """Telegrams in quarantine now."""
        return self._number(_QUARANTINED)

    def _stored(self) -> dict[_Key, Decimal]:
        rows = self._connection.execute(_READINGS)
        return {(m, c, ts): Decimal(value).scaleb(scaler) for m, c, ts, value, scaler in rows}

    def _number(self, query: LiteralString) -> int:
        row = self._connection.execute(query).fetchone()
        return int(row[0]) if row else 0


def _truth(path: Path) -> Iterator[tuple[_Key, Decimal]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            end = datetime.fromisoformat(row["interval_end"])
            yield (row["meter"], row["channel"], end), Decimal(row["value"]).scaleb(row["scaler"])
