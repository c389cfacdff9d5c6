"""What customers and other systems are told: notices and the outbox of webhooks.

A row is written in the transaction of the event itself; a sender delivers it later, at least once.
The body is made once and kept, so that every attempt carries the same bytes under the same id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

import msgspec

from headend.store.plan import Plan, Queries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from headend.store.plan import Row

SQL: Final = Queries("headend.prepayment", "engine.sql")
NAMESPACE: Final = UUID("6f686d65-7368-5000-8000-6576656e7473")
_NOTICE_KINDS: Final = {"low": "balance.low", "zero": "balance.zero"}


def note(account: Row, at: datetime, kind: str, detail: Mapping[str, object]) -> Plan[None]:
    """An event in the journal of the account's meter."""
    yield SQL(
        "insert_event",
        tenant_id=account["tenant_id"],
        meter_id=account["meter_id"],
        at=at,
        kind=kind,
        detail=msgspec.json.encode({**detail, "account": account["name"]}).decode(),
    ).silently()


def publish(
    account: Row,
    kind: str,
    detail: Mapping[str, object],
    now: datetime,
    *,
    key: str,
    notice_id: int | None = None,
) -> Plan[None]:
    """Queue an event for the webhooks that asked for its kind; `key` names it for ever."""
    body = {
        "type": kind,
        "timestamp": now.isoformat().replace("+00:00", "Z"),
        "data": {"contract": account["name"], "meter": account["meter"], **detail},
    }
    yield SQL(
        "queue_deliveries",
        tenant_id=account["tenant_id"],
        event_id=uuid5(NAMESPACE, f"{account['id']}/{kind}/{key}"),
        kind=kind,
        body=msgspec.json.encode(body).decode(),
        notice_id=notice_id,
        now=now,
    ).silently()


def give_notice(account: Row, name: str, detail: Mapping[str, object], now: datetime) -> Plan[None]:
    """Tell the customer that the credit is low or used up; a top-up has its own event."""
    kind = _NOTICE_KINDS.get(name)
    if kind is None:
        return
    row = (
        yield SQL(
            "insert_notice",
            tenant_id=account["tenant_id"],
            account_id=account["id"],
            kind=name,
            at=now,
            detail=msgspec.json.encode(detail).decode(),
        )
    )[0]
    yield from publish(account, kind, detail, now, key=str(row["id"]), notice_id=row["id"])
