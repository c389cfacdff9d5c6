"""The one transaction of ingest.

Theory of operation. `Writer.store` takes what some messages ask for and writes, in ONE
transaction: the archive, the readings, quarantine, events, command results, meters' and gateways'
status, and the sequence numbers committed per (gateway, epoch). Locks are taken in one order by
everybody: progress rows by gateway, meters' status by number, readings by key, commands by id; so
workers that meet wait for each other and never deadlock.

A resend finds its numbers in `gateway_progress.got` and writes nothing. Readings go straight into
their table by binary COPY; when a key is there already (two gateways delivered one interval, or a
meter without a seal told it twice), this batch goes through a staging table with ON CONFLICT DO
NOTHING instead, and is counted. After the commit the caller publishes the acknowledgements.

A batch of a gateway that is not registered is not stored and NOT acknowledged end to end: the
gateway keeps its rows and sends them again, so that nothing is lost when it is registered later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from headend.ingest import archive, journal, progress, touched
from headend.ingest.counters import decode_arrived, decode_waited
from headend.ingest.decode import Meter, Outcome, refuse
from headend.ingest.effects import Effects, Gateway, Item, collect
from headend.ingest.rates import Rates
from headend.ingest.rows import Columns, Readings
from headend.ingest.shapes import Shapes
from headend.ingest.statements import SQL, numbers
from headend.store import db
from ohmesh.model.errors import ConfigError
from ohmesh.model.telegram import TelegramKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from firmware_profiles.api import Keys
    from headend.ingest.progress import Ack
    from headend.ingest.work import Work
    from headend.keystore import Keystore
    from headend.store.db import Connection
    from headend.store.plan import Row
    from ohmesh.model.reading import Register
    from ohmesh.wire.uplink import UplinkBatch


@dataclass(slots=True)
class Stored:
    """What one transaction did.

    Attributes:
        acks: to publish.
        telegrams: archived now.
        resent: telegrams that were committed before.
        repeated: sealed messages that came a second time over another way.
        readings: rows written.
        taken: readings whose key was there already.
        fallbacks: 1 when the staging table was needed.
        held: telegrams in quarantine.
        unknown_gateways: names of senders that are not registered.
    """

    acks: list[Ack]
    telegrams: int = 0
    resent: int = 0
    repeated: int = 0
    readings: int = 0
    taken: int = 0
    fallbacks: int = 0
    held: int = 0
    unknown_gateways: tuple[str, ...] = ()


METERS_MAX: Final = 200_000
"""Meters kept between transactions: the first ones, for those of a fleet come round and round."""


class Writer:
    """Stores work; keeps the channel dictionary and meters between transactions.

    Args:
        keystore: opens meters' keys.
        archive_all: keep every telegram as it came, and not only what goes to quarantine.
        flood_per_minute: telegrams of one gateway in a minute; more is told as an event.
    """

    def __init__(
        self, keystore: Keystore, *, archive_all: bool = True, flood_per_minute: int = 12_000
    ) -> None:
        self._rates = Rates(flood_per_minute)
        self._archive_all = archive_all
        self._open_key = lru_cache(maxsize=100_000)(keystore.open)
        self._open_market = lru_cache(maxsize=100_000)(keystore.open_market)
        self._channels: dict[Register, int] = {}
        self._meters: dict[str, Meter] = {}
        self._shapes = Shapes()

    def forget(self) -> None:
        """Learn channels and meters anew: the database may have been restored from a back-up."""
        self._channels = {}
        self._meters = {}

    def store(
        self, connection: Connection, work: Work, *, now_ms: int, hold: str | None = None
    ) -> Stored:
        """Write one transaction.

        Args:
            connection: of ohmesh_ingest, outside a transaction.
            work: what the messages ask for.
            now_ms: UTC milliseconds since 1970, when direct messages count as received.
            hold: decode nothing, put every telegram into quarantine with this message: for work
                that the database refused for a cause that this program does not know.

        Raises: Unavailable: try all of it again. StoreError.
        """
        known = dict(self._channels)
        try:
            with db.transaction(connection):
                return self._write(connection, work, now_ms, hold)
        except BaseException:
            self._channels = known  # numbers of channels that were rolled back
            self._rates.forget()
            raise

    def _write(self, connection: Connection, work: Work, now_ms: int, hold: str | None) -> Stored:
        gateways = progress.gateways(connection, {batch.gateway for batch in work.batches})
        batches = [(gateways[b.gateway], b) for b in work.batches if b.gateway in gateways]
        fresh = progress.fresh(connection, batches)
        direct = archive.number_direct(connection, work.direct, now_ms)
        items = self._with_meters(connection, fresh + direct)
        effects = self._effects(connection, items, hold)
        if self._archive_all:
            archive.write(connection, items)
        stored = Stored(
            acks=progress.advance(connection, batches),
            telegrams=len(items),
            resent=sum(len(batch.rows) for _, batch in batches) - len(fresh),
            repeated=effects.repeated,
            held=len(effects.held),
            unknown_gateways=tuple(sorted({b.gateway for b in work.batches} - gateways.keys())),
        )
        self._write_readings(connection, effects, stored)
        journal.write(connection, effects)
        archive.quarantine(connection, effects.held)
        archive.quarantine_refused(connection, work.refused, now_ms)
        journal.write_states(connection, work.states, {g.id for g, _ in batches})
        self._watch(connection, batches, now_ms)
        return stored

    def _watch(
        self, connection: Connection, batches: Sequence[tuple[Gateway, UplinkBatch]], now_ms: int
    ) -> None:
        """Tell of gateways that flood, as an event."""
        for gateway, batch in batches:
            at_ms = batch.rows[0].received_at_ms
            flood = self._rates.note(gateway.id, at_ms, len(batch.rows), now_ms)
            if flood is not None:
                journal.write_flood(connection, gateway, flood, now_ms)

    def requeue(
        self, connection: Connection, limit: int, hold: str | None = None
    ) -> tuple[int, int]:
        """Decode quarantined telegrams again whose meter was registered or changed since.

        With `hold` they stay where they are with this message, until their meter changes again.

        Returns: (telegrams tried, telegrams that gave something now). Raises StoreError.
        """
        known = dict(self._channels)
        try:
            with db.transaction(connection):
                return self._requeue(connection, limit, hold)
        except BaseException:
            self._channels = known
            raise

    def _requeue(self, connection: Connection, limit: int, hold: str | None) -> tuple[int, int]:
        taken = archive.take_quarantined(connection, limit)
        if not taken:
            return 0, 0
        items = self._with_meters(connection, [item for _, item in taken])
        effects = self._effects(connection, items, hold, waited=True)
        self._write_readings(connection, effects, Stored([]))
        journal.write(connection, effects)
        numbers = {id(item): number for (number, _), item in zip(taken, items, strict=True)}
        still = [(numbers[id(held.item)], held) for held in effects.held]
        archive.settle(connection, [number for number, _ in taken], still)
        return len(taken), len(taken) - len(still)

    def _effects(
        self,
        connection: Connection,
        items: Sequence[Item],
        hold: str | None,
        *,
        waited: bool = False,
    ) -> Effects:
        if hold is not None:
            decoded = [(item, refuse("store", hold)) for item in items]
        else:
            decoded = decode_waited(items) if waited else decode_arrived(items, self._shapes)
        return collect(decoded, _seen(connection, decoded))

    def _write_readings(self, connection: Connection, effects: Effects, stored: Stored) -> None:
        if not (effects.values or effects.rows):
            return
        registers = {id(v.register): v.register for _, _, v in effects.values}
        used = {*registers.values()}.union(*(block.used() for block in effects.rows))
        self._learn_channels(connection, used)
        readings = Readings(self._columns(effects))
        stream = readings.stream()
        try:
            with db.transaction(connection):  # a savepoint
                db.copy(connection, SQL.sql("copy_readings"), stream)
            stored.readings = len(readings)
        except db.KeyTaken:
            stored.fallbacks = 1
            stored.readings = _merge(connection, stream)
        stored.taken = readings.given - stored.readings
        touches = touched.stream(readings.meters, readings.times_us)
        db.copy(connection, SQL.sql("copy_touched"), touches)

    def _columns(self, effects: Effects) -> Iterator[Columns]:
        channels = self._channels
        if effects.values:
            # By identity: a profile has one object for each register, and hashing it is dear.
            known_as = {id(v.register): v.register for _, _, v in effects.values}
            ids = {key: channels[register] for key, register in known_as.items()}
            yield Columns(
                *zip(
                    *(
                        (place, meter, ids[id(v.register)], v.time_us, v.value, v.status)
                        for place, meter, v in effects.values
                    ),
                    strict=True,
                )
            )
        for block, found in effects.rows.items():
            rows, places, meters = np.array(found, np.int64).T
            known = np.array([channels.get(register, 0) for register in block.registers])
            yield Columns(
                places[:, None],
                meters[:, None],
                known[block.measures[rows]],
                block.times_us[rows],
                block.values[rows],
                block.statuses[rows],
            )

    def _learn_channels(self, connection: Connection, registers: set[Register]) -> None:
        new = sorted(registers - self._channels.keys(), key=lambda r: (r.channel, str(r.obis)))
        if not new:
            return
        names = [register.channel for register in new]
        db.execute(
            connection,
            SQL(
                "add_channels",
                names=names,
                obis=[str(register.obis) for register in new],
                units=[register.unit.value for register in new],
                scalers=[register.scaler for register in new],
            ),
        )
        rows = db.rows(connection, SQL("channels", names=names))
        ids = {(r["name"], r["obis"], r["unit"], r["scaler"]): r["id"] for r in rows}
        for r in new:
            self._channels[r] = ids[r.channel, str(r.obis), r.unit.value, r.scaler]

    def _with_meters(self, connection: Connection, items: Sequence[Item]) -> list[Item]:
        """The items with their meters; a meter of another tenant is as unknown as none."""
        addresses = {i.telegram.meter for i in items if i.telegram.kind is TelegramKind.METER}
        if not addresses:
            return list(items)
        known = self._known(connection, addresses)
        meters = known | self._found(connection, addresses - known.keys())
        return [_with_meter(item, meters.get(item.telegram.meter)) for item in items]

    def _known(self, connection: Connection, addresses: AbstractSet[str]) -> dict[str, Meter]:
        """The meters of the last time that have not changed since; forgets those that have."""
        known = {at: self._meters[at] for at in addresses & self._meters.keys()}
        if not known:
            return known
        versions = sorted((meter.id, meter.version) for meter in known.values())
        meters, numbered = map(numbers, zip(*versions, strict=True))
        rows = db.rows(connection, SQL("changed_meters", meters=meters, versions=numbered))
        changed = {row["m"] for row in rows}
        for at in [at for at, meter in known.items() if meter.id in changed]:
            del known[at], self._meters[at]
        return known

    def _found(self, connection: Connection, addresses: AbstractSet[str]) -> dict[str, Meter]:
        """Meters as the store has them.

        Kept for the next time, unless the counter that they must exceed rises with each telegram.
        """
        if not addresses:
            return {}
        rows = db.rows(connection, SQL("meters", addresses=sorted(addresses)))
        found = {row["address"]: self._read_meter(row) for row in rows}
        steady = [one for one in found.items() if one[1].market_keys is None]
        self._meters.update(steady[: METERS_MAX - len(self._meters)])
        return found

    def _read_meter(self, row: Row) -> Meter:
        key, market_keys, fault = None, None, None
        other_keys: tuple[bytes, ...] = ()
        try:
            if row["key_sealed"] is not None:
                key = self._open_key(row["name"], bytes(row["key_sealed"]))
            other_keys = tuple(
                self._open_key(row["name"], bytes(sealed)) for sealed in row["other_keys_sealed"]
            )
            if row["market_keys_sealed"] is not None:
                market_keys = self._open_market(row["name"], bytes(row["market_keys_sealed"]))
        except ConfigError as error:
            fault = str(error)
        return Meter(
            id=row["id"],
            tenant_id=row["tenant_id"],
            name=row["name"],
            address=row["address"],
            profile=row["profile"],
            version=row["version"],
            key=key,
            other_keys=other_keys,
            market_keys=market_keys and _with_floor(market_keys, row, sealed=key is not None),
            key_fault=fault,
        )


def _with_floor(keys: Keys, row: Row, *, sealed: bool) -> Keys:
    """Market keys with their floor; a sealed meter's counters are those of its seal."""
    return keys if sealed else replace(keys, counter_floor=row["counter_floor"])


def _with_meter(item: Item, meter: Meter | None) -> Item:
    telegram, gateway, epoch, seq, _ = item
    foreign = meter and gateway and meter.tenant_id != gateway.tenant_id
    return item if meter is None or foreign else Item(telegram, gateway, epoch, seq, meter)


def _seen(connection: Connection, decoded: Sequence[tuple[Item, Outcome]]) -> set[tuple[int, int]]:
    """(meter, counter) of seals taken before; locks the status of every meter that was heard."""
    good = [item for item, outcome in decoded if outcome.reason is None]
    heard = sorted({item.meter.id for item in good if item.meter is not None})
    if not heard:
        return set()
    db.execute(connection, SQL("lock_meters", meters=numbers(heard)))
    sealed = [
        (item.meter.id, outcome.counter)
        for item, outcome in decoded
        if item.meter is not None and outcome.counter is not None
    ]
    if not sealed:
        return set()
    meters, counters = map(numbers, zip(*sealed, strict=True))
    rows = db.rows(connection, SQL("seen_counters", meters=meters, counters=counters))
    return {sealed[row["i"] - 1] for row in rows}


def _merge(connection: Connection, stream: bytes) -> int:
    """Readings by way of the staging table; the number that were new."""
    db.execute(connection, SQL("make_staging"))
    db.copy(connection, SQL.sql("copy_staging"), stream)
    return db.execute(connection, SQL("merge_staging"))
