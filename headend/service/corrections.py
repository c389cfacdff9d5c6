"""What people decide about a wallet: an adjustment, or what comes over from another system."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headend.prepayment import engine, ledger, supplying
from headend.prepayment.contract import Migrated, Tick
from headend.prepayment.debts import brought_over
from headend.prepayment.ledger import Code, Leg, Transaction
from headend.prepayment.topup import PaymentState
from headend.service.payments import SQL, TopUp
from headend.store.plan import Plan, first
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from datetime import datetime

    from headend.prepayment.contract import Event


@dataclass(frozen=True, slots=True)
class BroughtOver:
    """What a contract brings from another system, mu: its credit (below 0: owed) and its debts."""

    balance_mu: int = 0
    debt_payment_mu: int = 0
    debt_acc_mu: int = 0


def bring_over(
    tenant_id: int, contract: str, brought: BroughtOver, *, idempotency_key: str, now: datetime
) -> Plan[TopUp]:
    """Take over a contract's credit and debts, once, and begin its days of grace.

    Raises: PrepaymentError: `unknown_account`, `amount`: nothing to take over. Conflict.
    """
    legs = brought_over(
        balance_mu=brought.balance_mu,
        debt_payment_mu=brought.debt_payment_mu,
        debt_acc_mu=brought.debt_acc_mu,
    )
    if not legs:
        raise PrepaymentError("amount", "there is neither credit nor debt to take over")
    txn = f"migration:{tenant_id}:{idempotency_key}"
    return (yield from _by_person(tenant_id, contract, legs, txn, event=Migrated(), now=now))


def adjust(
    tenant_id: int,
    contract: str,
    *,
    amount_mu: int,
    reason: str,
    idempotency_key: str,
    now: datetime,
) -> Plan[TopUp]:
    """Give to a wallet (above 0) or take from it, once. Raises PrepaymentError, Conflict."""
    debit, credit = ledger.ADJUSTMENTS, ledger.WALLET
    if amount_mu < 0:
        debit, credit = credit, debit
    leg = Leg(debit, credit, abs(amount_mu), Code.ADJUST, {"reason": reason})
    txn = f"adjust:{tenant_id}:{idempotency_key}"
    made = yield from _by_person(tenant_id, contract, [leg], txn, event=Tick(), now=now)
    return replace(made, amount_mu=amount_mu, reason=reason)


def _by_person(
    tenant_id: int, contract: str, legs: list[Leg], txn: str, *, event: Event, now: datetime
) -> Plan[TopUp]:
    """Post what people decided and look at the supply; a repeat posts nothing."""
    found = first((yield SQL("find_account", tenant_id=tenant_id, name=contract)))
    if found is None:
        raise PrepaymentError("unknown_account", f"there is no account {contract}")
    account = yield from engine.lock_account(found["id"])
    posted = yield from ledger.post(
        Transaction(tenant_id, account["id"], account["currency"], txn, now, legs), now
    )
    account = yield from engine.lock_account(account["id"])
    supply = yield from supplying.look(account, [Tick() if posted.replayed else event], now)
    return TopUp(
        id=posted.id,
        txn=txn,
        account=contract,
        amount_mu=sum(leg.amount_mu for leg in legs if leg.credit == ledger.WALLET),
        wallet_mu=account["wallet_mu"],
        currency=account["currency"],
        posted_at=posted.posted_at,
        state=PaymentState.BOOKED,
        reason=None,
        decision_seq=supply.decision_seq,
        replayed=posted.replayed,
    )
