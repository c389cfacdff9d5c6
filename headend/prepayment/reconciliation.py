"""The daily reconciliation: the ledger against itself, and what was charged against the meters.

    sum     all books of a currency add up to zero
    fold    each balance is the fold of its transfers
    charged what stands in `charge_day` is what the wallets were charged
    metered the energy counted is the advance of the meter's register

A tenant whose ledger does not add up is stopped: nothing is charged, booked or cut until a person
has looked; reconnections go on. Its row in `ledger_stop` is taken away by the owner alone. A
register that went back or waits for a person is one contract's matter: it is found, and stops
nobody else's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from headend.store.plan import Plan, Queries

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    wrong = yield from _found(tenant_id, ("sum", "fold", "charged"))
    unlike = yield from _found(tenant_id, ("metered",))
    yield SQL(
        "save",
        tenant_id=tenant_id,
        day=day,
        ok=not wrong,
        findings=msgspec.json.encode([*wrong, *unlike][:100]).decode(),
        now=now,
    )
    if wrong:
        reason = f"{len(wrong)} differences on {day.isoformat()}"
        yield SQL("stop", tenant_id=tenant_id, reason=reason, now=now)
    return not wrong


def _found(tenant_id: int, checks: Sequence[str]) -> Plan[list[dict[str, object]]]:
    found: list[dict[str, object]] = []
    for check in checks:
        rows = yield SQL(check, tenant_id=tenant_id)
        found += [{"check": check, **row} for row in rows]
    return found
