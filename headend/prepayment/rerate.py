"""Rating a contract anew from a day on, because a person asked: after a corrected tariff, say.

    asked -> weighed   a dry run, or more money than one person may move
    asked -> booked    the rest
    weighed -> approved -> booked   two people said yes to what was weighed

The worker does it, for the API reads no meter data. First the account is charged as always; what a
rating from the day on posts then is the difference alone, as RERATE against each day's charge. So
a second time posts nothing. What an approval was given for is what is booked: if the difference has
changed meanwhile, it is weighed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from headend.prepayment import charges, engine
from headend.prepayment.month import local_midnight
from headend.service.accounts import find_contract
from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import Conflict, OhmeshError, PrepaymentError

if TYPE_CHECKING:
    from datetime import date, datetime

    from headend.prepayment.charges import Weighed
    from headend.store.plan import Row

SQL: Final = Queries("headend.prepayment", "rerate.sql")
NAMESPACE: Final = UUID("6f686d65-7368-5000-8000-726572617465")
DAYS_MAX: Final = 400
"""How far back; readings are seldom kept longer."""
ALONE_MU_MAX: Final = 5_000_000
"""The most that one person may move, either way: 50 units of the currency."""
_AT_ONCE: Final = 20


def waiting() -> Plan[list[UUID]]:
    """Those that the worker has to do, oldest first."""
    return [row["id"] for row in (yield SQL("waiting", limit=_AT_ONCE))]


def carry_out(rerate_id: UUID, now: datetime) -> Plan[None]:
    """Weigh one, and book it if that may be. Raises PrepaymentError, ConfigError."""
    asked = first((yield SQL("lock", id=rerate_id)))
    if asked is None:
        return
    yield from engine.visit(asked["account_id"], now)
    account = yield from engine.lock_account(asked["account_id"])
    if account["stopped"]:
        raise PrepaymentError("ledger_stopped", "the ledger does not add up: nothing is booked")
    versions = yield from charges.tariff_versions(account["tenant_id"], account["tariff"])
    if not versions:
        raise PrepaymentError("tariff_missing", f"the tariff {account['tariff']} has no version")
    begun = local_midnight(asked["from_day"], versions[0].zone)
    weighed = yield from charges.weigh(account, begun, now, horizon_days=DAYS_MAX)
    if weighed is None:
        raise PrepaymentError("no_register", "nothing was read of the meter yet")
    if weighed.gone_before is not None:
        raise PrepaymentError(
            "readings_gone", f"no readings are left of charged days before {weighed.gone_before}"
        )
    yield from _settle(asked, account, weighed, now)


def _settle(asked: Row, account: Row, weighed: Weighed, now: datetime) -> Plan[None]:
    difference_mu = weighed.difference_mu
    agreed = asked["state"] == "approved" and asked["difference_mu"] == difference_mu
    books = not asked["dry_run"] and (agreed or abs(difference_mu) <= ALONE_MU_MAX)
    if books and weighed.rated.postings:
        yield from charges.book(account, weighed, now)
        yield from engine.apply_events(account["id"], [], now)
    yield SQL(
        "end",
        id=asked["id"],
        state="booked" if books else "weighed",
        difference_mu=difference_mu,
        days=len({posting.day for posting in weighed.rated.postings}),
        now=now,
        problem=None,
    )


def fail(rerate_id: UUID, error: Exception, now: datetime) -> Plan[None]:
    """It cannot be rated: say why."""
    problem = str(error) if isinstance(error, OhmeshError) else "the program failed: see its log"
    empty = {"difference_mu": None, "days": None}
    yield SQL("end", id=rerate_id, state="failed", now=now, problem=problem, **empty)


# -- as the API asks ------------------------------------------------------------------------------


def ask(
    tenant_id: int,
    contract: str,
    from_day: date,
    *,
    dry_run: bool,
    reason: str,
    idempotency_key: str,
    now: datetime,
) -> Plan[Row]:
    """Ask for a rating anew; the same key again gives the first.

    Raises: PrepaymentError: `unknown_account`, `rerate_day`. Conflict: the key belongs to another.
    """
    account = yield from find_contract(tenant_id, contract)
    if not -1 <= (now.date() - from_day).days <= DAYS_MAX:
        raise PrepaymentError("rerate_day", f"from_day lies in the last {DAYS_MAX} days")
    rerate_id = uuid5(NAMESPACE, f"{tenant_id}/{idempotency_key}")
    wish = {"account_id": account["id"], "from_day": from_day, "dry_run": dry_run}
    yield SQL("add", id=rerate_id, tenant_id=tenant_id, **wish, reason=reason, now=now)
    row = yield from find(tenant_id, rerate_id)
    assert row is not None
    if any(row[name] != value for name, value in wish.items()):
        raise Conflict(f"the key {idempotency_key!r} belongs to another rating")
    return row


def find(tenant_id: int, rerate_id: UUID) -> Plan[Row | None]:
    """One as it stands."""
    return first((yield SQL("find", tenant_id=tenant_id, id=rerate_id)))


def approve(tenant_id: int, rerate_id: UUID) -> Plan[Row | None]:
    """Two people want what was weighed to be booked. Raises PrepaymentError."""
    row = yield from find(tenant_id, rerate_id)
    if row is None:
        return None
    if row["dry_run"] or row["state"] not in {"weighed", "approved", "booked"}:
        what = "a dry run" if row["dry_run"] else row["state"]
        raise PrepaymentError("rerate_state", f"it is {what}: there is nothing to book")
    yield SQL("approve", tenant_id=tenant_id, id=rerate_id)
    return (yield from find(tenant_id, rerate_id))
