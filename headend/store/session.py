"""A connection that is made again: how the synchronous roles live with a database that goes away.

One line in the log when the database is lost, one when it is back; between them full-jitter
back-off. What the step had in hand when it was lost is the step's own business.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final

from headend.store import db, guard, migrate
from ohmesh.program.backoff import full_jitter_s

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from headend.store.db import Connection

_log = logging.getLogger(__name__)
RETRY_BASE_S, RETRY_CAP_S = 0.5, 15.0


class Session:
    """One synchronous connection of a role.

    Args:
        url: the database under the role.
        name: shown in pg_stat_activity and in the log.
        channel: notifications to listen to.
    """

    def __init__(self, url: str, *, name: str, channel: str) -> None:
        self._url = url
        self._name: Final = name
        self._channel = channel
        self._connection: Connection | None = None
        self._failures = 0

    def pump(self, stop: threading.Event, step: Callable[[Connection], None]) -> None:
        """Call `step` again and again until `stop` is set.

        Raises: ConfigError, SchemaMismatch: the role or the schema is not ours to work on. And
            what `step` raises, except Unavailable: then the connection is made again.
        """
        try:
            while not stop.is_set():
                try:
                    step(self._connected())
                    self._works()
                except db.Unavailable as error:
                    stop.wait(self._lost(error))
        finally:
            self._close()

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = db.connect(self._url, name=self._name, autocommit=True)
            try:
                guard.check(connection)
                migrate.check(connection)
                db.listen(connection, self._channel)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _works(self) -> None:
        if self._failures:
            _log.info("%s: the database is back", self._name)
        self._failures = 0

    def _lost(self, error: Exception) -> float:
        """Seconds to wait before the next try."""
        self._close()
        self._failures += 1
        if self._failures == 1:
            _log.warning("%s: the database is away, work waits: %s", self._name, error)
        return full_jitter_s(
            self._failures,
            base_s=RETRY_BASE_S,
            cap_s=RETRY_CAP_S,
            chance=random.random(),  # noqa: S311 - jitter, no secret
        )

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
