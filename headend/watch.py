"""The watch: what follows from time passing and events coming, not from one meter's readings.

Closing days of read success and gathering outages. All that is due stands in the store, so a
watch that was away finds it; one watch works at a time in a database.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from headend.outage import alarms
from headend.readsuccess import closing
from headend.store import db
from headend.store.session import Session

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from headend.store.db import Connection
    from headend.store.plan import Plan

PERIOD_S: Final = 2.0
LOCK: Final = "watch"


class Watch:
    """Runs until told to stop.

    Args:
        url: address of the database for ohmesh_worker.
        now: the clock, UTC.
    """

    def __init__(
        self, *, url: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._session = Session(url, name="watch", channel="ohmesh_work")
        self._now = now

    def run(self, stop: threading.Event) -> None:
        """Pump until `stop` is set. Raises ConfigError, SchemaMismatch."""

        def turn(connection: Connection) -> None:
            if not self.step(connection):
                stop.wait(PERIOD_S)

        self._session.pump(stop, turn)

    def step(self, connection: Connection) -> int:
        """One round; how much was done. Raises StoreError."""
        now = self._now()
        done = self._alone(connection, alarms.step(now))
        return done + self._alone(connection, closing.step(now))

    def _alone(self, connection: Connection, plan: Plan[int]) -> int:
        with db.transaction(connection):
            if not db.try_lock(connection, LOCK):
                return 0
            return db.run(connection, plan)
