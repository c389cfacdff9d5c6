"""Payments: booked once, split by the contract's terms, or put in suspense; never dropped.

    received -> booked -> reversed
             -> suspense  (unknown contract, over the maximum): a person books it

The payment's row under its idempotency key is the answer of every repeat. Money that nobody can be
found for is in the ledger too: cash -> suspense.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from headend.prepayment import engine, ledger, notices, supplying, topup
from headend.prepayment.contract import Tick, ToppedUp
from headend.prepayment.ledger import Code, Leg, Transaction
from headend.prepayment.terms import parse_terms
from headend.prepayment.topup import PaymentDebt, PaymentState, Registers
from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import Conflict, PrepaymentError

if TYPE_CHECKING:
    from datetime import datetime

    from headend.store.plan import Row

SQL: Final = Queries("headend.service", "accounts.sql")
NAMESPACE: Final = UUID("6f686d65-7368-5000-8000-7061796d656e")


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it came.

    Attributes:
        account: name of the contract, as the payer gave it.
        amount_mu: 1..2**53, 1e-5 currency units.
        idempotency_key: the payer's own name for it.
        currency: ISO 4217; None: the contract's.
        channel: where it came from, such as a provider's name.
    """

    account: str
    amount_mu: int
    idempotency_key: str
    currency: str | None = None
    channel: str = "api"


@dataclass(frozen=True, slots=True)
class TopUp:
    """A payment as it stands.

    Attributes:
        id: of the payment and its first transfer.
        txn: its transaction in the ledger.
        account: name of the contract.
        amount_mu: what was paid, 1e-5 currency units.
        wallet_mu: the wallet right after it; a replay gives the first answer; None in suspense.
        currency: ISO 4217.
        posted_at: when it was booked, or received.
        state: booked, suspense, received, reversed.
        reason: why it is not booked.
        decision_seq: the supply's last decision; None in suspense.
        replayed: an earlier request had the same key.
    """

    id: UUID
    txn: str
    account: str
    amount_mu: int
    wallet_mu: int | None
    currency: str
    posted_at: datetime
    state: PaymentState
    reason: str | None
    decision_seq: int | None
    replayed: bool


def pay(tenant_id: int, payment: Payment, now: datetime, *, suspend: bool = False) -> Plan[TopUp]:
    """Book a payment and look at the supply, in one transaction.

    Args:
        tenant_id: whose.
        payment: as it came.
        now: UTC.
        suspend: put into suspense what cannot be booked, instead of refusing it.

    Raises:
        PrepaymentError: `amount`; `currency`: not the contract's; `unknown_account` unless
            suspended. Conflict: the key belongs to another payment.
    """
    ledger.check_amount(payment.amount_mu)
    found = first((yield SQL("lock_contract", tenant_id=tenant_id, name=payment.account)))
    currency = payment.currency or (found["currency"] if found else None)
    if currency is None or (found is None and not suspend):
        raise PrepaymentError("unknown_account", f"there is no account {payment.account}")
    if found is not None and currency != found["currency"]:
        raise PrepaymentError(
            "currency", f"the contract {payment.account} is kept in {found['currency']}"
        )
    payment = replace(payment, currency=currency)
    account = None if found is None else (yield from engine.locked_account(found["id"]))
    before = (
        yield SQL(
            "before_payment",
            tenant_id=tenant_id,
            account_id=None if found is None else found["id"],
            idempotency_key=payment.idempotency_key,
        )
    )[0]
    if before["id"] is not None:
        return _replayed(tenant_id, payment, before)
    state, reason = _judge(account, payment, currency)
    if state is PaymentState.BOOKED:
        assert account is not None
        made = yield from _book(account | _owed(before), payment.idempotency_key, payment, now)
    else:
        made = yield from _keep(tenant_id, payment, (state, reason), now)
    yield from _insert(tenant_id, payment, account, made, now)
    return made


def _owed(row: Row) -> Row:
    return {name: row[name] for name in ("owed_payment_mu", "owed_acc_mu")}


def txn_of(tenant_id: int, idempotency_key: str) -> str:
    """The transaction of a top-up."""
    return f"topup:{tenant_id}:{idempotency_key}"


def _payment_id(tenant_id: int, idempotency_key: str) -> UUID:
    return uuid5(ledger.NAMESPACE, f"{txn_of(tenant_id, idempotency_key)}/0")


def _judge(account: Row | None, payment: Payment, currency: str) -> tuple[PaymentState, str | None]:
    if account is None:
        return topup.receive(
            payment.amount_mu,
            currency,
            known=False,
            ledger_currency=currency,
            maximum_mu=topup.AMOUNT_MU_MAX,
        )
    if account["stopped"]:
        return PaymentState.RECEIVED, "ledger_stopped"
    return topup.receive(
        payment.amount_mu,
        currency,
        known=True,
        ledger_currency=account["currency"],
        maximum_mu=parse_terms(account["terms"]).topup_max_mu,
    )


def _replayed(tenant_id: int, payment: Payment, row: Row) -> TopUp:
    """The first answer. Raises Conflict."""
    same = (row["account"], row["amount_mu"], row["currency"]) == (
        payment.account,
        payment.amount_mu,
        payment.currency,
    )
    if not same:
        key = payment.idempotency_key
        raise Conflict(f"the idempotency key {key!r} belongs to another payment")
    return _answer(tenant_id, payment.idempotency_key, row, replayed=True)


def _insert(
    tenant_id: int, payment: Payment, account: Row | None, made: TopUp, now: datetime
) -> Plan[None]:
    """The payment's row, last of all: it is the answer of every repeat.

    The store refuses it (KeyTaken) when the same key came at the same time for another contract.
    """
    booked = made.state is PaymentState.BOOKED
    yield SQL(
        "insert_payment",
        id=made.id,
        tenant_id=tenant_id,
        account=payment.account,
        account_id=None if account is None else account["id"],
        amount_mu=payment.amount_mu,
        currency=payment.currency,
        channel=payment.channel,
        idempotency_key=payment.idempotency_key,
        state=made.state.value,
        reason=made.reason,
        now=now,
        booked_at=now if booked else None,
        wallet_mu=made.wallet_mu,
        decision_seq=made.decision_seq,
    ).silently()


def _keep(
    tenant_id: int, payment: Payment, judged: tuple[PaymentState, str | None], now: datetime
) -> Plan[TopUp]:
    """What cannot be booked: in suspense it is in the ledger, too."""
    state, reason = judged
    assert payment.currency is not None
    key = payment.idempotency_key
    if state is PaymentState.SUSPENSE:
        leg = Leg(ledger.CASH, ledger.SUSPENSE, payment.amount_mu, Code.TOPUP, {"reason": reason})
        held = suspense_of(tenant_id, key)
        yield from ledger.post(
            Transaction(tenant_id, None, payment.currency, held, now, [leg]), now
        )
    return TopUp(
        id=_payment_id(tenant_id, key),
        txn=txn_of(tenant_id, key),
        account=payment.account,
        amount_mu=payment.amount_mu,
        wallet_mu=None,
        currency=payment.currency,
        posted_at=now,
        state=state,
        reason=reason,
        decision_seq=None,
        replayed=False,
    )


def suspense_of(tenant_id: int, idempotency_key: str) -> str:
    """The transaction of money that waits in suspense."""
    return f"suspense:{tenant_id}:{idempotency_key}"


def _book(account: Row, key: str, payment: Payment, now: datetime) -> Plan[TopUp]:
    """Post the split of a payment and look at the supply.

    Args: account: locked, with what it owes.
    """
    tenant_id, amount_mu = account["tenant_id"], payment.amount_mu
    legs, wallet_mu = yield from _split(account, amount_mu, now)
    txn = txn_of(tenant_id, key)
    yield from ledger.post(
        Transaction(tenant_id, account["id"], account["currency"], txn, now, legs), now
    )
    account = {**account, "wallet_mu": wallet_mu, "used": True}
    supply = yield from supplying.look(account, [ToppedUp()], now)
    detail = {"amount_mu": amount_mu, "balance_mu": wallet_mu, "currency": account["currency"]}
    yield from notices.publish(account, "topup.booked", detail, now, key=key)
    return TopUp(
        id=_payment_id(tenant_id, key),
        txn=txn,
        account=account["name"],
        amount_mu=amount_mu,
        wallet_mu=wallet_mu,
        currency=account["currency"],
        posted_at=now,
        state=PaymentState.BOOKED,
        reason=None,
        decision_seq=supply.decision_seq,
        replayed=False,
    )


def _split(account: Row, amount_mu: int, now: datetime) -> Plan[tuple[list[Leg], int]]:
    """The transfers of a top-up by the contract's terms, and the wallet after them."""
    terms = parse_terms(account["terms"])
    owed_mu = max(0, account["owed_payment_mu"])
    debt = PaymentDebt()
    if terms.payment_debt is not None and owed_mu:
        taken = yield from _taken_this_week(account, now)
        share = terms.payment_debt
        debt = PaymentDebt(owed_mu, share.share_bp, share.cap_mu, taken)
    before = Registers(
        wallet_mu=account["wallet_mu"],
        accumulated_debt_mu=max(0, account["owed_acc_mu"]),
        payment_debt=debt,
        disablement_mu=terms.disablement_mu,
        reconnect_mu=terms.reconnect_mu,
    )
    parts = topup.split(amount_mu, before)
    after_mu = account["wallet_mu"] + parts.wallet_mu
    legs = [
        Leg(ledger.CASH, ledger.WALLET, parts.wallet_mu, Code.TOPUP, {"wallet_mu": after_mu}),
        Leg(ledger.CASH, ledger.DEBT_PAYMENT, parts.payment_debt_mu, Code.DEBT_SHARE),
        Leg(ledger.CASH, ledger.DEBT_ACC, parts.accumulated_debt_mu, Code.ACC_DEBT),
    ]
    return [leg for leg in legs if leg.amount_mu], after_mu


def _taken_this_week(account: Row, now: datetime) -> Plan[int]:
    zone = supplying.policy_of(account).zone
    local = now.astimezone(zone)
    monday = (local - timedelta(days=local.weekday())).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    row = (yield SQL("taken_of_debt", account_id=account["id"], since=monday))[0]
    return int(row["taken_mu"])


def reverse_payment(
    tenant_id: int, payment_id: UUID, *, contract: str, reason: str, now: datetime
) -> Plan[TopUp]:
    """Take a booked payment back, once; the wallet may go below zero, and notices follow.

    Raises: PrepaymentError: `unknown_payment`, `payment_state`.
    """
    row = first((yield SQL("payment_by_id", tenant_id=tenant_id, id=payment_id)))
    if row is None or row["contract"] != contract:
        raise PrepaymentError("unknown_payment", f"there is no booked payment {payment_id}")
    state = PaymentState(row["state"])
    account = yield from engine.lock_account(row["account_id"])
    if state is PaymentState.REVERSED:
        return _answer(tenant_id, row["idempotency_key"], row, replayed=True)
    topup.advance_payment(state, PaymentState.REVERSED)
    txn = txn_of(tenant_id, row["idempotency_key"])
    yield from ledger.reverse(tenant_id, txn, f"reversal:{txn}", now)
    row = {**row, "state": PaymentState.REVERSED.value, "reason": reason}
    yield from _set(row)
    account = yield from engine.lock_account(account["id"])
    yield from supplying.look(account, [Tick()], now)
    return _answer(tenant_id, row["idempotency_key"], row, replayed=False)


def book_waiting(
    tenant_id: int, payment_id: UUID, *, contract: str, reason: str, now: datetime
) -> Plan[TopUp]:
    """Book a payment that waits, in suspense or while the ledger stood, to a contract; once.

    Raises: PrepaymentError: `unknown_payment`, `unknown_account`, `payment_state`, `currency`,
        `ledger_stopped`.
    """
    row = first((yield SQL("payment_by_id", tenant_id=tenant_id, id=payment_id)))
    if row is None:
        raise PrepaymentError("unknown_payment", f"there is no payment {payment_id}")
    key, state = row["idempotency_key"], PaymentState(row["state"])
    if state is PaymentState.BOOKED and row["contract"] == contract:
        return _answer(tenant_id, key, row, replayed=True)
    if state is PaymentState.BOOKED:
        raise PrepaymentError("payment_state", f"it is booked to {row['contract']} already")
    topup.advance_payment(state, PaymentState.BOOKED)
    found = first((yield SQL("lock_contract", tenant_id=tenant_id, name=contract)))
    if found is None:
        raise PrepaymentError("unknown_account", f"there is no account {contract}")
    if found["currency"] != row["currency"]:
        raise PrepaymentError("currency", f"{contract} is kept in {found['currency']}")
    account = yield from engine.locked_account(found["id"])
    if account["stopped"]:
        raise PrepaymentError("ledger_stopped", "the ledger does not add up: nothing is booked")
    if state is PaymentState.SUSPENSE:
        held = suspense_of(tenant_id, key)
        yield from ledger.reverse(tenant_id, held, f"booked:{held}", now)
    owed = yield SQL(
        "before_payment", tenant_id=tenant_id, account_id=found["id"], idempotency_key=key
    )
    payment = Payment(contract, row["amount_mu"], key, row["currency"], row["channel"])
    made = yield from _book(account | _owed(owed[0]), key, payment, now)
    changes = {
        "state": made.state.value,
        "account_id": found["id"],
        "booked_at": now,
        "wallet_mu": made.wallet_mu,
        "reason": reason,
        "decision_seq": made.decision_seq,
    }
    yield from _set({**row, **changes})
    return replace(made, reason=reason)


def _set(row: Row) -> Plan[None]:
    names = ("id", "state", "account_id", "booked_at", "wallet_mu", "reason", "decision_seq")
    yield SQL("set_payment", **{name: row[name] for name in names})


def _answer(tenant_id: int, key: str, row: Row, *, replayed: bool) -> TopUp:
    return TopUp(
        id=row["id"],
        txn=txn_of(tenant_id, key),
        account=row["contract"] or row["account"],
        amount_mu=row["amount_mu"],
        wallet_mu=row["wallet_mu"],
        currency=row["currency"],
        posted_at=row["booked_at"] or row["received_at"],
        state=PaymentState(row["state"]),
        reason=row["reason"],
        decision_seq=row["decision_seq"],
        replayed=replayed,
    )
