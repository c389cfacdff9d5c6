"""The daily reconciliation: the ledger against itself, and what was charged against the meters.

    sum     all books of a currency add up to zero
    fold    each balance is the fold of its transfers
    charged what stands in `charge_day` is what the wallets were charged

A tenant whose ledger does not add up is stopped: nothing is charged, booked or cut until a person
has looked; reconnections go on. Its row in `ledger_stop` is taken away by the owner alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from headend.store.plan import Plan, Queries

if TYPE_CHECKING:
    from datetime import date, datetime

SQL: Final = Queries("headend.prepayment", "reconciliation.sql")


def reconcile_due(now: datetime) -> Plan[list[int]]:
    """Reconcile the tenants whose day has none yet; those that were stopped."""
    stopped: list[int] = []
    for row in (yield SQL("due", day=now.date())):
        adds_up = yield from reconcile(row["id"], now.date(), now)
        stopped += [] if adds_up else [row["id"]]
    return stopped


def reconcile(tenant_id: int, day: date, now: datetime) -> Plan[bool]:
    """Hold a tenant's ledger against itself; False when it does not add up, and it is stopped."""
    findings: list[dict[str, object]] = []
    for check in ("sum", "fold", "charged"):
        rows = yield SQL(check, tenant_id=tenant_id)
        findings += [{"check": check, **row} for row in rows]
    yield SQL(
        "save",
        tenant_id=tenant_id,
        day=day,
        ok=not findings,
        findings=msgspec.json.encode(findings[:100]).decode(),
        now=now,
    )
    if findings:
        reason = f"{len(findings)} differences on {day.isoformat()}"
        yield SQL("stop", tenant_id=tenant_id, reason=reason, now=now)
    return not findings
