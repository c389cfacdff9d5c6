"""The worker's pump: charge, decide, expire, send; every 0.3 s, and at once when there is news.

Theory of operation. Everything due stands in the store, so a worker that was away finds it, and
two workers do not disturb each other: an account is worked on under the lock of its supply row,
an attempt to send counts only for the first who notes it. An account that cannot be worked on is
left alone for a while and told about; it holds up nobody else and is never cut by an error.

After a while without it the clock alone may have made somebody due: a sweep looks at all accounts,
a page every few seconds. Once a local day the ledger is held against itself.
"""

from __future__ import annotations

import logging
import random
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from headend.commands import sending
from headend.prepayment import engine, reconciliation, rerate
from headend.service import tokens
from headend.store import db
from headend.store.session import Session
from ohmesh.model.errors import ConfigError
from ohmesh.model.ids import GatewayId
from ohmesh.wire import topics

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from headend.commands.dispatcher import Due
    from headend.commands.sending import Attempt
    from headend.keystore import Keystore
    from headend.store.db import Connection
    from headend.store.plan import Plan

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
PERIOD_S: Final = 0.3
ACCOUNTS_MAX: Final = 500
AVOID_S: Final = 60.0
SWEEP_EVERY_S: Final = 5.0
"""Between two pages of the sweep."""


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
        self._swept_s = 0.0
        self._sweep_at = 0

    def run(self, stop: threading.Event) -> None:
        """Pump until `stop` is set. Raises ConfigError, SchemaMismatch."""
        self._session.pump(stop, self._round)

    def _round(self, connection: Connection) -> None:
        self.step(connection)
        if time.monotonic() - self._swept_s >= SWEEP_EVERY_S:
            self._swept_s = time.monotonic()
            self.sweep_page(connection)
            self._ask(connection, reconciliation.reconcile_due(self._now()))
            self._ask(connection, tokens.void_stale(self._now()))
        db.wait_notified(connection, PERIOD_S)

    def step(self, connection: Connection) -> None:
        """One round. Raises Unavailable."""
        self._visit(
            connection, self._ask(connection, engine.with_news(ACCOUNTS_MAX, self._avoid()))
        )
        due = engine.due_supply(self._now(), ACCOUNTS_MAX, self._avoid())
        self._visit(connection, self._ask(connection, due))
        self._rerate(connection)
        self._ask(connection, sending.expire(self._now()))
        for one in self._ask(connection, sending.look(self._now())):
            self._send(connection, one)
        for cut in self._ask(connection, sending.cuts(self._now())):
            attempt = self._ask(connection, sending.begin_cut(cut, self._now(), _chance()))
            self._transmit(attempt)

    def sweep_page(self, connection: Connection) -> bool:
        """Look at the next page of accounts; False behind the last. Raises Unavailable."""
        due, after = self._ask(connection, engine.sweep(self._sweep_at, self._now()))
        self._visit(connection, due)
        self._sweep_at = after or 0
        return after is not None

    def _avoid(self) -> list[int]:
        now_s = time.monotonic()
        self._avoided = {a: until_s for a, until_s in self._avoided.items() if until_s > now_s}
        return list(self._avoided)

    def _ask(self, connection: Connection, plan: Plan[_T]) -> _T:
        with db.transaction(connection):
            return db.run(connection, plan)

    def _visit(self, connection: Connection, accounts: list[int]) -> None:
        for account in accounts:
            try:
                self._ask(connection, engine.visit(account, self._now()))
            except db.Unavailable:
                raise
            except Exception:  # noqa: BLE001 - the supervisor: a fault here stops nobody else's supply
                _log.exception("account %d cannot be worked on; left alone for a while", account)
                self._avoided[account] = time.monotonic() + AVOID_S

    def _rerate(self, connection: Connection) -> None:
        for one in self._ask(connection, rerate.waiting()):
            try:
                self._ask(connection, rerate.carry_out(one, self._now()))
            except db.Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - as in _visit
                _log.exception("the rating anew %s failed", one)
                self._ask(connection, rerate.fail(one, error, self._now()))

    def _send(self, connection: Connection, due: Due) -> None:
        self._transmit(self._ask(connection, sending.begin(due, self._now(), _chance())))

    def _transmit(self, attempt: Attempt | None) -> None:
        if attempt is None:
            return
        due = attempt.due
        try:
            key = self._keystore.open(due.meter, due.key_sealed)
            open_key = partial(self._keystore.open, due.meter)
            messages = sending.messages(attempt, key, open_key, self._now())
        except ConfigError as error:
            _log.error("command %s cannot be sealed: %s", due.id, error)
            return
        topic = topics.gateway_topic(GatewayId(due.gateway), "down")
        for message in messages:
            self._publish(topic, message)


def _chance() -> float:
    return random.random()  # noqa: S311 - jitter, no secret
