"""The prepayment engine: one account, one visit, one transaction.

Theory of operation. Whatever happens to an account leaves a row in `account_news` (readings were
committed, a relay was read back, a command ended) or falls due (`supply.next_eval_at`). A visit
locks the account's supply row, takes its news, charges what there is to charge (`charges`) and
looks at the supply (`supplying`), all in one transaction; so a balance and the decision about it
are never seen apart, and news of a visit that failed stays for the next. Charging comes first: an
account that cannot be rated is not looked at either, so that an error never cuts anybody.

| event | posts | looks at supply |
|---|---|---|
| top-up, reversal, emergency credit, hold (API) | cash -> wallet, or nothing | yes |
| readings committed, a local day has ended (worker) | wallet -> revenue | yes |
| command ended, relay read back, a time has come (worker) | - | yes |

`sweep` looks at all accounts without locks, page by page, and visits those for whom something
would change. `actual` is never written here: it is the relay state that ingest takes from the
meter's sealed results.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from headend.prepayment import charges, contract, cutoff, debts, notices, supplying
from headend.prepayment.states import State
from headend.prepayment.terms import parse_terms, policy
from headend.store.plan import Plan, Queries
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from headend.prepayment.charges import Charged
    from headend.prepayment.contract import Event, Supply
    from headend.service.commands import NewCommand
    from headend.store.plan import Row

SQL: Final = Queries("headend.prepayment", "engine.sql")
SWEEP_PAGE: Final = 2000


def lock(account_id: int) -> Plan[None]:
    """Lock an account for this transaction. Raises PrepaymentError."""
    if not (yield SQL("lock_account", account_id=account_id)):
        raise PrepaymentError("unknown_account", f"there is no account {account_id}")


def lock_account(account_id: int) -> Plan[Row]:
    """The account with everything a decision needs, locked. Raises PrepaymentError."""
    yield from lock(account_id)
    return (yield from locked_account(account_id))


def locked_account(account_id: int) -> Plan[Row]:
    """The same for an account whose supply row this transaction has locked already."""
    return (yield SQL("locked_account", account_id=account_id))[0]


def visit(account_id: int, now: datetime) -> Plan[Supply]:
    """Take an account's news: charge, then look at the supply. Raises PrepaymentError."""
    account = yield from lock_account(account_id)
    stopped = account["stopped"]
    news = yield SQL("take_news", account_id=account_id, stopped=stopped)
    changed = [row["from_ts"] for row in news if row["from_ts"] is not None]
    events: list[Event] = []
    due = changed or account["base_at"] is None or _day_ended(account, now)
    if due and not stopped:
        charged = yield from charges.charge(account, min([*changed, now]), now)
        yield from debts.collect_due(account, now)
        events = yield from _report(account, charged, now)
        account = yield from lock_account(account_id)
    if not account["used"]:  # nobody is cut before the first payment or charge
        events = []
    return (yield from supplying.look(account, events, now))


def _day_ended(account: Row, now: datetime) -> bool:
    if account["idle_to"] is None:
        return False
    today = now.astimezone(ZoneInfo(account["zone"])).date()
    return bool(account["idle_to"] < today - timedelta(days=2))


def _report(account: Row, charged: Charged, now: datetime) -> Plan[list[Event]]:
    """Tell what waits for a person; the event for the supply."""
    for held in charged.held:
        await_ = {"start": held.interval.start.isoformat(), "wh": held.interval.wh}
        yield from notices.note(account, now, f"reading_{held.reason}", await_)
    for at, wh in charged.decreased:
        if account["rated_to"] is None or at > account["rated_to"]:
            yield from notices.note(account, at, "register_decreased", {"register_wh": wh})
    if charged.too_old is not None:
        detail_old = {"from": charged.too_old.isoformat()}
        yield from notices.note(account, now, "reading_horizon", detail_old)
    if charged.until is None:
        return []
    return [contract.Reading(charged.until, charged.dark_wh)]


def apply_events(
    account_id: int, events: Sequence[Event], now: datetime, *, asked: NewCommand | None = None
) -> Plan[Supply]:
    """Something happened to an account: look at its supply. Raises PrepaymentError."""
    account = yield from lock_account(account_id)
    return (yield from supplying.look(account, events, now, asked=asked))


def with_news(limit: int, avoid: Collection[int]) -> Plan[list[int]]:
    """Accounts with news, longest waiting first."""
    rows = yield SQL("with_news", limit=limit, avoid=list(avoid))
    return [row["account_id"] for row in rows]


def due_supply(now: datetime, limit: int, avoid: Collection[int]) -> Plan[list[int]]:
    """Accounts whose time has come, those who wait for supply first."""
    rows = yield SQL("due_supply", now=now, limit=limit, avoid=list(avoid))
    return [row["account_id"] for row in rows]


def sweep(
    after: int, now: datetime, *, limit: int = SWEEP_PAGE
) -> Plan[tuple[list[int], int | None]]:
    """Look at a page of accounts behind `after`, without locks.

    Returns: those to visit, and where the next page begins; None behind the last.
    """
    rows = yield SQL("sweep_page", after=after, limit=limit)
    due = [row["id"] for row in rows if _would_change(row, now)]
    return due, rows[-1]["id"] if len(rows) == limit else None


def _would_change(row: Row, now: datetime) -> bool:
    if row["idle_to"] is not None and _day_ended(row, now):
        return True
    terms = parse_terms(row["terms"])
    if row["state"] == State.ACTIVE and row["wallet_mu"] > max(terms.low_mu, terms.reconnect_mu):
        return False
    agreed = policy(row["name"], row["terms"], row["zone"])
    before = supplying.supply_of(row["kept"])
    after, effects = cutoff.apply(
        agreed, before, contract.Tick(), row["wallet_mu"], now, breaker_open=row["breaker_open"]
    )
    return bool(effects) or (after.state, after.decision_seq) != (before.state, before.decision_seq)
