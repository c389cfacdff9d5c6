"""The pump that keeps the broker's list of revoked certificates true and fresh.

Theory of operation. The list (`fleet.crl`) and the broker's rules (`devices.acl`) are made from the
store whenever they say something else, and the list again at half its life: an expired list would
shut every device out. Then the broker is told to read them. The list stops new connections; an open
one stays, so a gateway that has no good certificate left is also denied its topics, which works at
once: what it publishes is refused, and nothing is delivered to it.
"""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509

from headend.mqttconfig import rules
from headend.mqttconfig.write import authority
from headend.security.ca import CRL_LIFE
from headend.security.enrolment import SQL
from headend.store import db
from headend.store.bootstrap import write_private
from headend.store.session import Session

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from headend.store.db import Connection
    from headend.store.plan import Row

_log = logging.getLogger(__name__)
PERIOD_S: Final = 5.0
_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files are.

    Attributes:
        folder: as `ohmesh headend mqtt-config` wrote it.
        pid_file: of the broker, which gets SIGHUP; None: something else tells it.
    """

    folder: Path
    pid_file: Path | None = None


class Revocations:
    """Runs until told to stop.

    Args:
        url: address of the database for ohmesh_worker.
        place: the files.
        now: the clock, UTC.
    """

    def __init__(
        self, *, url: str, place: Place, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._session = Session(url, name="revocations", channel="ohmesh_work")
        self._place, self._now = place, now
        self._failing = False

    def run(self, stop: threading.Event) -> None:
        """Pump until `stop` is set. Raises ConfigError, SchemaMismatch."""

        def turn(connection: Connection) -> None:
            try:
                self.step(connection)
                self._failing = False
            except OSError as error:
                if not self._failing:
                    _log.error("the broker's files are not renewed: %s", error)
                self._failing = True
            stop.wait(PERIOD_S)

        self._session.pump(stop, turn)

    def step(self, connection: Connection) -> bool:
        """One look; whether something was written. Raises OSError, StoreError, ConfigError."""
        now = self._now()
        rows = db.rows(connection, SQL("revoked", now=now))
        wanted = rules.device_rules([row["gateway"] for row in rows if row["out"]])
        acl, crl = self._place.folder / "devices.acl", self._place.folder / "fleet.crl"
        stale = not _is_true(crl, rows, now)
        if not stale and acl.exists() and acl.read_text(encoding="utf-8") == wanted:
            return False
        if stale:
            revoked = {int(row["serial"], 16): row["revoked_at"] for row in rows}
            fleet = authority(self._place.folder, "fleet", now)
            write_private(crl, fleet.crl(revoked, now).decode(), mode=_PUBLIC)
        write_private(acl, wanted, mode=_PUBLIC)
        _log.info("revoked certificates: %d", len(rows))
        self._tell_broker()
        return True

    def _tell_broker(self) -> None:
        file = self._place.pid_file
        if file is not None and file.exists():
            os.kill(int(file.read_text(encoding="ascii")), signal.SIGHUP)


def _is_true(file: Path, rows: Sequence[Row], now: datetime) -> bool:
    """Whether a list has exactly these certificates and most of its life before it."""
    try:
        shown = x509.load_pem_x509_crl(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    ends = shown.next_update_utc
    fresh = ends is not None and ends - now > CRL_LIFE / 2
    return fresh and {one.serial_number for one in shown} == {int(r["serial"], 16) for r in rows}
