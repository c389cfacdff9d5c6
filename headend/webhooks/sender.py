"""The sender's pump: takes what is due from the outbox, calls, and notes how it ended."""

from __future__ import annotations

import logging
import random
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import httpx

from headend.store import db
from headend.store.session import Session
from headend.webhooks import outbox, places, signing
from ohmesh.model.errors import ConfigError, PrepaymentError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from headend.keystore import Keystore
    from headend.store.db import Connection
    from headend.webhooks.outbox import Delivery

_log = logging.getLogger(__name__)
PERIOD_S: Final = 1.0
TIMEOUT_S: Final = 10.0


def secret_name(webhook_id: object) -> str:
    """The name under which a webhook's secret is sealed; no meter's name has a slash."""
    return f"webhook/{webhook_id}"


def resolve(host: str, port: int) -> list[str]:
    """What a name resolves to now. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Sender:
    """Runs until told to stop.

    Args:
        url: address of the database for ohmesh_worker.
        keystore: opens the webhooks' secrets.
        client: makes the calls; it must follow no redirect.
        lookup: name and port to addresses.
        now: the clock, UTC.
    """

    def __init__(
        self,
        *,
        url: str,
        keystore: Keystore,
        client: httpx.Client | None = None,
        lookup: Callable[[str, int], list[str]] = resolve,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = Session(url, name="webhooks", channel="ohmesh_work")
        self._keystore = keystore
        self._client = client or httpx.Client(
            timeout=TIMEOUT_S, follow_redirects=False, trust_env=False
        )
        self._lookup = lookup
        self._now = now

    def run(self, stop: threading.Event) -> None:
        """Pump until `stop` is set. Raises ConfigError, SchemaMismatch."""
        with self._client:
            self._session.pump(stop, self._round)

    def _round(self, connection: Connection) -> None:
        if not self.step(connection):
            db.wait_notified(connection, PERIOD_S)

    def step(self, connection: Connection) -> int:
        """Try what is due; how many were tried. Raises Unavailable."""
        with db.transaction(connection):
            due = db.run(connection, outbox.lease(self._now()))
        for delivery in due:
            status, outcome = self._try(delivery)
            chance = random.random()  # noqa: S311 - jitter, no secret
            plan = outbox.settle(delivery, status, outcome, self._now(), chance)
            with db.transaction(connection):
                db.run(connection, plan)
        return len(due)

    def _try(self, delivery: Delivery) -> tuple[int, str]:
        """One call: HTTP status, 0 when there was none, and what happened."""
        if not delivery.active:
            return 410, "the webhook was taken away"
        try:
            return self._call(delivery)
        except (PrepaymentError, ConfigError, OSError, httpx.HTTPError) as error:
            return 0, f"{type(error).__name__}: {error}"

    def _call(self, delivery: Delivery) -> tuple[int, str]:
        place = places.parse(delivery.url)
        address = places.choose(self._lookup(place.host, place.port))
        secret = self._keystore.open(secret_name(delivery.webhook_id), delivery.secret_sealed)
        timestamp_s = int(self._now().timestamp())
        headers = signing.headers(secret, str(delivery.event_id), timestamp_s, delivery.body)
        shown = f"[{address}]" if address.version == 6 else str(address)
        answer = self._client.post(
            f"https://{shown}:{place.port}{place.target}",
            content=delivery.body,
            headers={**headers, "host": place.host},
            extensions={"sni_hostname": place.host},
        )
        return answer.status_code, f"HTTP {answer.status_code}"
