"""Webhooks as the API asks for them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from headend.store.plan import Plan, Queries
from headend.webhooks import places, signing
from headend.webhooks.sender import secret_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

SQL: Final = Queries("headend.webhooks", "webhooks.sql")


@dataclass(frozen=True, slots=True)
class Added:
    """A new webhook; `secret` is shown to its owner once."""

    id: UUID
    url: str
    kinds: list[str]
    created_at: datetime
    secret: str


def add_webhook(
    tenant_id: int,
    url: str,
    kinds: list[str],
    seal: Callable[[str, bytes], bytes],
    now: datetime,
) -> Plan[Added]:
    """Add a webhook with a secret of its own. Raises PrepaymentError(code="webhook_url")."""
    places.parse(url)
    identity, secret = uuid4(), secrets.token_bytes(signing.SECRET_BYTES)
    yield SQL(
        "insert_webhook",
        id=identity,
        tenant_id=tenant_id,
        url=url,
        kinds=kinds,
        secret_sealed=seal(secret_name(identity), secret),
        now=now,
    )
    return Added(identity, url, kinds, now, signing.shown(secret))
