"""The pump of ingest: source -> one transaction -> acknowledgements.

Theory of operation. Nothing is acknowledged, to a gateway or to the broker, before it is
committed. When the database is away the messages are kept and tried again, with back-off; the
bounded queue fills, and the broker and the gateways hold the rest. When the database refuses a
transaction for its content, the messages are tried one by one, and the one that is refused again
goes to quarantine whole: one bad message harms nobody else.
"""

from __future__ import annotations

import gc
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from headend.ingest.work import sort
from headend.store import db
from headend.store.session import Session
from ohmesh.model.errors import StoreError
from ohmesh.model.ids import GatewayId
from ohmesh.wire import topics
from ohmesh.wire.uplink import Again, encode_ack

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from headend.ingest.source import Source
    from headend.ingest.work import Refused, Work
    from headend.ingest.writer import Stored, Writer
    from headend.mqtt import Delivery
    from headend.store.db import Connection

_log = logging.getLogger(__name__)
GARBAGE: Final = (50_000, 20, 20)
"""A transaction makes tens of thousands of objects and no circles among them: looking for circles
every 700 objects, as Python does by itself, takes a third of ingest's time."""
LOOK_AGAIN_S: Final = 60.0
"""Quarantine is looked at this often, and at once when the database tells of a changed meter."""
REQUEUE_MAX: Final = 500
REFUSED_PER_MINUTE: Final = 60
"""Messages that are none of ours of which evidence is kept; more are only counted."""


class Ingest:
    """Runs until told to stop.

    Args:
        url: address of the database for ohmesh_ingest.
        source: where messages come from.
        writer: stores them.
        publish: sends an acknowledgement: topic, payload.
        batch_messages, batch_telegrams: what goes into one transaction, at most and about.
        batch_wait_ms: how long a first message waits for more.
        requeues: whether it looks after quarantine; one of several writers does.
    """

    def __init__(
        self,
        *,
        url: str,
        source: Source,
        writer: Writer,
        publish: Callable[[str, bytes], bool],
        batch_messages: int,
        batch_telegrams: int,
        batch_wait_ms: int,
        requeues: bool = True,
    ) -> None:
        self._session = Session(url, name="ingest", channel="ohmesh_fleet")
        self._source = source
        self._writer = writer
        self._publish = publish
        self._messages = batch_messages
        self._telegrams = batch_telegrams
        self._wait_s = batch_wait_ms / 1000
        self._requeues = requeues
        self._known: Connection | None = None
        self._look_at_s = 0.0
        self._evidence = Evidence()
        self.totals: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        """Pump until `stop` is set. Raises ConfigError, SchemaMismatch."""
        gc.set_threshold(*GARBAGE)
        self._session.pump(stop, self._step)

    def _step(self, connection: Connection) -> None:
        if connection is not self._known:  # what was told while there was none
            self._known, self._look_at_s = connection, 0.0
            self._writer.forget()
        deliveries = self._source.fetch(self._messages, wait_s=0.2)
        if deliveries:
            self._take(connection, deliveries)
        if not deliveries or time.monotonic() >= self._look_at_s:
            self._requeue(connection)

    def _take(self, connection: Connection, deliveries: list[Delivery]) -> None:
        work, used = sort(deliveries, self._telegrams)
        room = self._messages - used
        if self._wait_s and room and work.telegrams < self._telegrams:
            time.sleep(self._wait_s)  # a little more work shares this transaction
            deliveries += self._source.fetch(room, wait_s=0)
            used += sort(deliveries[used:], self._telegrams, work)[1]
        taken, rest = deliveries[:used], deliveries[used:]
        if rest:
            self._source.again(rest)
        try:
            self._store(connection, work, taken)
        except db.Unavailable:
            self._source.again(taken)
            raise
        except Exception:  # noqa: BLE001 - the supervisor: a bad message or a bug stops nobody else
            _log.exception("%d messages cannot be stored together; one by one now", len(taken))
            self._one_by_one(connection, taken)

    def _one_by_one(self, connection: Connection, deliveries: Sequence[Delivery]) -> None:
        for number, delivery in enumerate(deliveries):
            work, _ = sort([delivery], self._telegrams)
            try:
                self._isolated(connection, work, delivery)
            except db.Unavailable:
                self._source.again(deliveries[number:])
                raise

    def _isolated(self, connection: Connection, work: Work, delivery: Delivery) -> None:
        try:
            self._store(connection, work, [delivery])
        except db.Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("a message on %s goes to quarantine whole: %s", delivery.topic, error)
            self._held(connection, work, delivery, str(error))

    def _held(self, connection: Connection, work: Work, delivery: Delivery, error: str) -> None:
        try:
            self._store(connection, work, [delivery], hold=error)
        except db.Unavailable:
            raise
        except StoreError:
            _log.exception(
                "a message on %s cannot even be held; its sender keeps it", delivery.topic
            )
            self._source.done([delivery])

    def _store(
        self,
        connection: Connection,
        work: Work,
        deliveries: Sequence[Delivery],
        hold: str | None = None,
    ) -> None:
        work.refused = self._evidence.admit(work.refused, time.monotonic())
        stored = self._writer.store(connection, work, now_ms=time.time_ns() // 10**6, hold=hold)
        for ack in stored.acks:
            topic = topics.gateway_topic(GatewayId(ack.gateway), "ack")
            if ack.again is not Again.NOTHING:
                _log.warning(
                    "gateway %s was told that more is stored than there is: the database was "
                    "restored; it is asked for what it still keeps",
                    ack.gateway,
                )
            self._publish(topic, encode_ack(ack.epoch, ack.through, ack.again))
        self._source.done(deliveries)
        self._count(stored)

    def _count(self, stored: Stored) -> None:
        for name in ("telegrams", "resent", "repeated", "readings", "taken", "fallbacks", "held"):
            self.totals[name] += getattr(stored, name)
        for gateway in stored.unknown_gateways:
            if self._evidence.first_of(gateway, time.monotonic()):
                _log.warning(
                    "gateway %s is not registered: its batches are not stored and not "
                    "acknowledged; it keeps them. Register it with POST /v1/gateways",
                    gateway,
                )

    def _requeue(self, connection: Connection) -> None:
        told = db.notified(connection)
        if not told and time.monotonic() < self._look_at_s:
            return
        self._look_at_s = time.monotonic() + LOOK_AGAIN_S
        self._tell()
        tried, good = self._requeue_some(connection) if self._requeues else (0, 0)
        if tried:
            self._look_at_s = 0.0
            _log.info("%d of %d quarantined telegrams decode now", good, tried)

    def _tell(self) -> None:
        """One line about what was stored since the last line, if anything was."""
        if self.totals != self._told:
            news = self.totals - self._told
            _log.info("stored %s", ", ".join(f"{n} {name}" for name, n in news.items()))
            self._told = self.totals.copy()

    def _requeue_some(self, connection: Connection) -> tuple[int, int]:
        try:
            return self._writer.requeue(connection, REQUEUE_MAX)
        except db.Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the supervisor, as above
            _log.exception("quarantined telegrams cannot be stored together; the next alone")
            return self._writer.requeue(connection, 1, hold=str(error))


class Evidence:
    """How much is kept of what is none of ours: bounded per minute, whatever comes."""

    def __init__(self) -> None:
        self._minute = -1
        self._kept = 0
        self._dropped = 0
        self._named: set[str] = set()

    def admit(self, refused: list[Refused], now_s: float) -> list[Refused]:
        """Those of which evidence is kept; the rest is counted and logged once a minute."""
        self._turn(now_s)
        kept = refused[: REFUSED_PER_MINUTE - self._kept]
        self._kept += len(kept)
        self._dropped += len(refused) - len(kept)
        return kept

    def first_of(self, name: str, now_s: float) -> bool:
        """True the first time in a minute that this name is told."""
        self._turn(now_s)
        if name in self._named or len(self._named) >= REFUSED_PER_MINUTE:
            return False
        self._named.add(name)
        return True

    def _turn(self, now_s: float) -> None:
        if int(now_s // 60) == self._minute:
            return
        if self._dropped:
            _log.warning("%d more messages that are none of ours", self._dropped)
        self._minute, self._kept, self._dropped = int(now_s // 60), 0, 0
        self._named.clear()
