"""The outbox of webhooks as plans: what is due, what was delivered, when to try again.

A delivery is leased before it is tried, so that several senders share the outbox and a crash costs
one lease; the receiver may see an event twice and knows it by its id. What nobody takes for three
days is given up and stays readable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headend.store.plan import Plan, Queries
from ohmesh.program.backoff import full_jitter_s

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

SQL: Final = Queries("headend.webhooks", "webhooks.sql")
LIMIT: Final = 50
LEASE: Final = timedelta(seconds=60)
RETRY_BASE_S, RETRY_CAP_S = 5.0, 6 * 3600.0
ATTEMPTS_MAX: Final = 24
"""With full jitter about three days."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook."""

    id: int
    webhook_id: UUID
    event_id: UUID
    url: str
    secret_sealed: bytes
    body: bytes
    notice_id: int | None
    attempts: int
    active: bool


def lease(now: datetime) -> Plan[list[Delivery]]:
    """What is due, leased."""
    rows = yield SQL("due", now=now, limit=LIMIT)
    if rows:
        yield SQL("lease", ids=[row["id"] for row in rows], until=now + LEASE)
    return [
        Delivery(
            id=row["id"],
            webhook_id=row["webhook_id"],
            event_id=row["event_id"],
            url=row["url"],
            secret_sealed=bytes(row["secret_sealed"]),
            body=row["body"].encode(),
            notice_id=row["notice_id"],
            attempts=row["attempts"] + 1,
            active=row["active"],
        )
        for row in rows
    ]


def settle(
    delivery: Delivery, status: int, outcome: str, now: datetime, chance: float
) -> Plan[bool]:
    """Note how a try ended: any 2xx is delivered, and takes a notice for accepted."""
    if 200 <= status < 300:
        yield SQL("delivered", id=delivery.id, now=now, outcome=outcome)
        if delivery.notice_id is not None:
            yield SQL("accept_notice", notice_id=delivery.notice_id, now=now)
        return True
    again = None
    if delivery.active and delivery.attempts < ATTEMPTS_MAX and status != 410:
        pause_s = full_jitter_s(
            delivery.attempts, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S, chance=chance
        )
        again = now + timedelta(seconds=1 + pause_s)
    yield SQL("failed", id=delivery.id, next_try_at=again, outcome=outcome[:200])
    return False
