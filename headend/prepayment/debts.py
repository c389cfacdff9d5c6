"""Debts beside the wallet: how they come with a contract, and what a debt takes by the day.

An accumulated debt is the debit balance of the book `debt_acc`. Where the terms name a rate, so
much of it is taken from the wallet once for each local day that has ended, under a key of that day.
While the wallet is at its threshold nothing is taken, unless the terms say so: the debt stays, and
its end moves.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from headend.prepayment import ledger
from headend.prepayment.ledger import Book, Code, Leg, Transaction
from headend.prepayment.terms import parse_terms
from headend.prepayment.topup import TimeDebt, collect

if TYPE_CHECKING:
    from datetime import date, datetime

    from headend.store.plan import Plan, Row


def collect_due(account: Row, now: datetime) -> Plan[None]:
    """Take what is due for the local days that have ended since `idle_to` of a locked account."""
    terms = parse_terms(account["terms"])
    share = terms.time_debt
    if share is None or account["idle_to"] is None or not share.rate_mu:
        return
    books = yield from ledger.books(account["id"])
    owed_mu = -books.get(ledger.DEBT_ACC, Book()).posted_mu
    wallet_mu = books.get(ledger.WALLET, Book()).posted_mu
    for day in _ended_days(account["idle_to"], now.astimezone(ZoneInfo(account["zone"])).date()):
        debt = TimeDebt(max(0, owed_mu), share.rate_mu, share.in_emergency)
        taken_mu = collect(debt, wallet_mu, terms.disablement_mu)
        if taken_mu:
            yield from _take(account, day, taken_mu, now)
        owed_mu, wallet_mu = owed_mu - taken_mu, wallet_mu - taken_mu


def _ended_days(through: date, today: date) -> list[date]:
    """Local days behind `through` that have ended."""
    return [through + timedelta(days=n) for n in range(1, (today - through).days)]


def _take(account: Row, day: date, amount_mu: int, now: datetime) -> Plan[None]:
    ref = {"day": day.isoformat()}
    leg = Leg(ledger.WALLET, ledger.DEBT_ACC, amount_mu, Code.TIME_DEBT, ref)
    key = f"time_debt:{account['id']}:{day.isoformat()}"
    owner = (account["tenant_id"], account["id"], account["currency"])
    yield from ledger.post(Transaction(*owner, key, now, [leg]), now)


def brought_over(*, balance_mu: int, debt_payment_mu: int, debt_acc_mu: int) -> list[Leg]:
    """The transfers with which a contract comes over from another system: credit and debts."""
    signed = [
        (ledger.ADJUSTMENTS, ledger.WALLET, balance_mu),
        (ledger.DEBT_PAYMENT, ledger.ADJUSTMENTS, debt_payment_mu),
        (ledger.DEBT_ACC, ledger.ADJUSTMENTS, debt_acc_mu),
    ]
    return [
        Leg(debit, credit, mu, Code.MIGRATION)
        if mu > 0
        else Leg(credit, debit, -mu, Code.MIGRATION)
        for debit, credit, mu in signed
        if mu
    ]
