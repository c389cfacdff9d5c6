"""The secrets with which providers of payments sign what they tell."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from headend.service.payments import SQL
from headend.store.plan import Plan, first
from headend.webhooks import signing
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


def sealed_under(tenant_id: int, name: str) -> str:
    """The name under which a channel's secret is sealed."""
    return f"channel/{tenant_id}/{name}"


def set_channel(
    tenant_id: int, name: str, seal: Callable[[str, bytes], bytes], now: datetime
) -> Plan[str]:
    """Give a channel of payments a new secret; it is shown once."""
    secret = secrets.token_bytes(signing.SECRET_BYTES)
    sealed = seal(sealed_under(tenant_id, name), secret)
    yield SQL("keep_channel", tenant_id=tenant_id, name=name, sealed=sealed, now=now)
    return signing.shown(secret)


def secret_of(tenant_id: int, name: str) -> Plan[bytes]:
    """A channel's secret, sealed. Raises PrepaymentError(unknown_channel)."""
    row = first((yield SQL("channel", tenant_id=tenant_id, name=name)))
    if row is None:
        raise PrepaymentError("unknown_channel", f"the payment channel {name} has no secret")
    return bytes(row["secret_sealed"])
