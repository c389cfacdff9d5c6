"""The gate's pump: judge what waits, at once when there is news and every second anyway."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from headend.gate.judging import Judged, Signer, judge_all
from headend.store import db
from headend.store.session import Session
from ohmesh.model.errors import ConfigError
from ohmesh.wire.release import KEY_BYTES, public_key

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from pathlib import Path

    from headend.store.db import Connection

_log = logging.getLogger(__name__)
PERIOD_S: Final = 1.0


class Gate:
    """Runs until told to stop.

    Args:
        url: address of the database for ohmesh_gate.
        signer: the gate's key and the people whose word it takes.
        now: the clock, UTC.
        clock_limit: with a store whose clock differs by more nothing leaves; None: not looked at.
    """

    def __init__(
        self,
        *,
        url: str,
        signer: Signer,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock_limit: timedelta | None = None,
    ) -> None:
        self._session = Session(url, name="gate", channel="ohmesh_work")
        self._signer = signer
        self._now = now
        self._clock_limit = clock_limit
        self._clock_told = False

    def run(self, stop: threading.Event) -> None:
        """Pump until `stop` is set. Raises ConfigError, SchemaMismatch."""
        self._session.pump(stop, self._round)

    def _round(self, connection: Connection) -> None:
        self.step(connection)
        db.wait_notified(connection, PERIOD_S)

    def step(self, connection: Connection) -> Judged:
        """One round. Raises Unavailable."""
        with db.transaction(connection):
            plan = judge_all(self._signer, self._now(), clock_limit=self._clock_limit)
            judged = db.run(connection, plan)
        if judged.clock_differs and not self._clock_told:
            _log.error("the clocks of gate and database differ: nothing is cut until they agree")
        self._clock_told = judged.clock_differs
        if judged.released or judged.held:
            _log.info("released %d, waiting %d", judged.released, judged.held)
        return judged


def read_signer(key_file: Path, people: Mapping[str, str]) -> Signer:
    """The gate's key from its file, and the people of its configuration. Raises ConfigError."""
    return Signer(read_key(key_file), {name: bytes.fromhex(key) for name, key in people.items()})


def read_key(file: Path) -> bytes:
    """A private key from a file with 64 hex digits. Raises ConfigError."""
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except OSError as error:
        raise ConfigError(
            f"the key in {file}: {error.strerror}; 'ohmesh headend approver --write' makes a "
            "person's, 'ohmesh headend bootstrap' the gate's"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{file} holds no key: it takes one line of 64 hex digits") from error
    if len(key) != KEY_BYTES:
        raise ConfigError(f"the key in {file} has {len(key)} bytes instead of {KEY_BYTES}")
    public_key(key)
    return key
