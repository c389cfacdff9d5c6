"""The worker's pump: rate, decide, expire, send; every 0.3 s, and at once when there is news.

Theory of operation. Everything due stands in the store, so a worker that was away finds it, and
two workers do not disturb each other: an account is worked on under the lock of its supply row,
an attempt to send counts only for the first who notes it. An account that cannot be worked on is
left alone for a while and told about; it holds up nobody else and is never cut by an error.
"""

from __future__ import annotations

import logging
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from headend.commands import sending
from headend.prepayment import engine
from headend.store import db
from headend.store.session import Session
from ohmesh.model.errors import ConfigError
from ohmesh.model.ids import GatewayId
from ohmesh.wire import topics

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from headend.commands.dispatcher import Due
    from headend.keystore import Keystore
    from headend.store.db import Connection
    from headend.store.plan import Plan

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
PERIOD_S: Final = 0.3
ACCOUNTS_MAX: Final = 500
AVOID_S: Final = 60.0


class Worker:
    """Runs until told to stop.

    Args:
        url: address of the database for ohmesh_worker.
        keystore: opens meters' keys, to seal commands.
        publish: sends a message down: topic, payload; False when there is no connection.
        now: the clock, UTC.
    """

    def __init__(
        self,
        *,
        url: str,
        keystore: Keystore,
        publish: Callable[[str, bytes], bool],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = Session(url, name="worker", channel="ohmesh_work")
        self._keystore = keystore
        self._publish = publish
        self._now = now
        self._avoided: dict[int, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Pump until `stop` is set. Raises ConfigError, SchemaMismatch."""
        self._session.pump(stop, self._round)

    def _round(self, connection: Connection) -> None:
        self.step(connection)
        db.wait_notified(connection, PERIOD_S)

    def step(self, connection: Connection) -> None:
        """One round. Raises Unavailable."""
        now, avoid = self._now(), self._avoid()
        for account in self._ask(connection, engine.due_rating(ACCOUNTS_MAX, avoid)):
            self._for_account(connection, account, engine.rate_account(account, now))
        for account in self._ask(connection, engine.due_supply(now, ACCOUNTS_MAX, avoid)):
            self._for_account(connection, account, engine.evaluate_account(account, now))
        self._ask(connection, sending.expire(self._now()))
        for due in self._ask(connection, sending.look(self._now())):
            self._send(connection, due)

    def _avoid(self) -> list[int]:
        now_s = time.monotonic()
        self._avoided = {a: until_s for a, until_s in self._avoided.items() if until_s > now_s}
        return list(self._avoided)

    def _ask(self, connection: Connection, plan: Plan[_T]) -> _T:
        with db.transaction(connection):
            return db.run(connection, plan)

    def _for_account(self, connection: Connection, account: int, plan: Plan[_T]) -> None:
        try:
            self._ask(connection, plan)
        except db.Unavailable:
            raise
        except Exception:  # noqa: BLE001 - the supervisor: a fault here stops nobody else's supply
            _log.exception("account %d cannot be worked on; left alone for a while", account)
            self._avoided[account] = time.monotonic() + AVOID_S

    def _send(self, connection: Connection, due: Due) -> None:
        try:
            key = self._keystore.open(due.meter, due.key_sealed)
        except ConfigError as error:
            _log.error("command %s cannot be sealed: %s", due.id, error)
            return
        chance = random.random()  # noqa: S311 - jitter, no secret
        attempt = self._ask(connection, sending.begin(due, self._now(), chance))
        if attempt is not None:
            topic = topics.gateway_topic(GatewayId(due.gateway), "down")
            self._publish(topic, sending.message(attempt, key))
