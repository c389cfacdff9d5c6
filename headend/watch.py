"""The watch: what follows from time passing and events coming, not from one meter's readings.

Gaps and closed days of read success, gathering outages, partitions and retention. All that is due
stands in the store, so a watch that was away finds it; one watch works at a time in a database.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from headend.outage import alarms
from headend.readsuccess import closing, gaps
from headend.store import db, retention
from headend.store.retention import Keep
from headend.store.session import Session

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from headend.store.db import Connection
    from headend.store.plan import Plan

_log = logging.getLogger(__name__)
PERIOD_S: Final = 2.0
LOOK_EVERY: Final = timedelta(minutes=1)
"""Gaps and days to close are looked for; at once again after one was found."""
TIDY_EVERY: Final = timedelta(hours=1)
LOCK: Final = "watch"


class Watch:
    """Runs until told to stop.

    Args:
        url: address of the database for ohmesh_worker.
        keep: for how long what is kept.
        now: the clock, UTC.
    """

    def __init__(
        self,
        *,
        url: str,
        keep: Keep | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = Session(url, name="watch", channel="ohmesh_work")
        self._now = now
        self._keep = keep or Keep()
        self._looked: datetime | None = None
        self._tidied: datetime | None = None

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
        if self._looked is None or now - self._looked >= LOOK_EVERY:
            found = self._alone(connection, gaps.step(now))
            found += self._alone(connection, closing.step(now))
            self._looked = None if found else now
            done += found
        if self._tidied is None or now - self._tidied >= TIDY_EVERY:
            self._tidied = now
            self._alone(connection, self._tidy(now))
        return done

    def _tidy(self, now: datetime) -> Plan[int]:
        gone = yield from retention.step(self._keep, now)
        if any(gone.values()):
            _log.info("kept long enough: %s", ", ".join(f"{n} {what}" for what, n in gone.items()))
        return sum(gone.values())

    def _alone(self, connection: Connection, plan: Plan[int]) -> int:
        try:
            with db.transaction(connection):
                return db.run(connection, plan) if db.try_lock(connection, LOCK) else 0
        except db.Unavailable:
            raise
        except Exception:  # noqa: BLE001 - the supervisor: what fails here is tried again later
            _log.exception("a round of the watch failed; it is tried again")
            return 0
