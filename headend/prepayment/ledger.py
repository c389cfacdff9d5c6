"""The ledger: append-only double entry in integer mu (1e-5 currency units).

Theory of operation. A transaction is one event in the world (a top-up, the charges of a reading,
a reversal): one or more transfers that stand or fall together, under one key. A transfer moves an
amount from one book to another; it is never changed or deleted, and no role may. Books belong to
an account (wallet, cash, debt_acc, ...) or, in suspense, to nobody. `account_balance` is the fold
of the transfers, kept by the store itself: no role may write it.

The key names the event (`topup:<tenant>:<key>`, `charge:<account>:<n>`). The same key with the same
content gives the first transfers; with other content it is a Conflict. Callers hold the account's
supply row locked, so that balance and decision move together.

A pending transfer reserves: it counts in the books' pending columns until one settlement posts or
voids it. The wallet is a credit book: its balance is credits - debits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import msgspec

from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import Conflict, PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from headend.store.plan import Row

SQL: Final = Queries("headend.prepayment", "ledger.sql")
NAMESPACE: Final = UUID("6f686d65-7368-5000-8000-7472616e7366")
AMOUNT_MU_MAX: Final = 2**53
"""Above it JSON numbers are no longer exact for everybody."""


class Code(IntEnum):
    """Kinds of transfers."""

    TOPUP = 10
    DEBT_SHARE = 11
    ACC_DEBT = 12
    ENERGY = 20
    FIXED = 21
    TAX = 22
    SUBSIDY = 23
    TIME_DEBT = 24
    RERATE = 30
    REVERSAL = 40
    ADJUST = 50
    TOKEN_RESERVE = 60
    TOKEN = 61
    TOKEN_VOID = 62
    MIGRATION = 70
    SWAP = 80
    WRITEOFF = 90


class Step(IntEnum):
    """What a transfer does to its books."""

    POSTED = 0
    PENDING = 1
    POST = 2
    VOID = 3


WALLET: Final = "wallet"
CASH: Final = "cash"
REV_ENERGY: Final = "rev_energy"
REV_FIXED: Final = "rev_fixed"
DEBT_PAYMENT: Final = "debt_payment"
DEBT_ACC: Final = "debt_acc"
SUSPENSE: Final = "suspense"
ADJUSTMENTS: Final = "adjust"
TOKENS: Final = "token_float"


@dataclass(frozen=True, slots=True)
class Leg:
    """One transfer of a transaction.

    Attributes:
        debit, credit: books, not the same.
        amount_mu: 1..2**53.
        code: kind.
        ref: what a statement says about it.
        step: POSTED or PENDING.
    """

    debit: str
    credit: str
    amount_mu: int
    code: Code
    ref: Mapping[str, Any] = field(default_factory=dict)
    step: Step = Step.POSTED


@dataclass(frozen=True, slots=True)
class Transaction:
    """One event in the world.

    Attributes:
        tenant_id: whose.
        account_id: None in suspense.
        currency: ISO 4217.
        key: the event's own name, unique in the whole store.
        value_at: when it counts.
        legs: at least one.
    """

    tenant_id: int
    account_id: int | None
    currency: str
    key: str
    value_at: datetime
    legs: Sequence[Leg]

    def transfer_id(self, number: int) -> UUID:
        """The id of one leg's transfer."""
        return uuid5(NAMESPACE, f"{self.key}/{number}")


@dataclass(frozen=True, slots=True)
class Posted:
    """A transaction in the ledger; `id`: its first transfer, `ref`: that of the first posting."""

    id: UUID
    posted_at: datetime
    ref: Mapping[str, Any]
    replayed: bool


def check_amount(amount_mu: int) -> None:
    """Raises PrepaymentError(code="amount") unless 1..2**53."""
    if not 0 < amount_mu <= AMOUNT_MU_MAX:
        raise PrepaymentError("amount", f"an amount of {amount_mu} mu is not in 1..2**53")


def post(transaction: Transaction, now: datetime) -> Plan[Posted]:
    """Post a transaction once.

    Raises: PrepaymentError (amount), Conflict (its key belongs to another content).
    """
    legs = transaction.legs
    for leg in legs:
        check_amount(leg.amount_mu)
    ids = [transaction.transfer_id(number) for number in range(len(legs))]
    made = yield SQL(
        "insert_transfers",
        tenant_id=transaction.tenant_id,
        account_id=transaction.account_id,
        currency=transaction.currency,
        txn=transaction.key,
        value_at=transaction.value_at,
        now=now,
        ids=ids,
        keys=[f"{transaction.key}/{number}" for number in range(len(legs))],
        debits=[leg.debit for leg in legs],
        credits=[leg.credit for leg in legs],
        amounts=[leg.amount_mu for leg in legs],
        codes=[leg.code.value for leg in legs],
        steps=[leg.step.value for leg in legs],
        refs=[msgspec.json.encode(leg.ref).decode() for leg in legs],
    )
    if len(made) == len(legs):
        return Posted(ids[0], now, legs[0].ref, replayed=False)
    known = yield SQL("find_transaction", tenant_id=transaction.tenant_id, txn=transaction.key)
    if made or not _same(known, transaction):
        raise Conflict(f"the key {transaction.key!r} belongs to another transaction")
    return Posted(known[0]["id"], known[0]["posted_at"], known[0]["ref"], replayed=True)


def _same(known: list[Row], transaction: Transaction) -> bool:
    wanted = {
        (transaction.account_id, leg.debit, leg.credit, leg.amount_mu, leg.code.value)
        for leg in transaction.legs
    }
    return {
        (r["account_id"], r["debit"], r["credit"], r["amount_mu"], r["code"]) for r in known
    } == wanted


def reverse(tenant_id: int, key: str, reversal_key: str, now: datetime) -> Plan[Posted]:
    """Post the mirror of a transaction, once.

    Raises: PrepaymentError(code="unknown_transaction"), Conflict.
    """
    known = yield SQL("find_transaction", tenant_id=tenant_id, txn=key)
    if not known:
        raise PrepaymentError("unknown_transaction", f"there is no transaction {key}")
    legs = [
        Leg(row["credit"], row["debit"], row["amount_mu"], Code.REVERSAL, {"of": str(row["id"])})
        for row in known
    ]
    first_row = known[0]
    mirror = Transaction(
        tenant_id, first_row["account_id"], first_row["currency"], reversal_key, now, legs
    )
    return (yield from post(mirror, now))


def settle(pending_id: UUID, step: Step, code: Code, now: datetime) -> Plan[None]:
    """Post or void a pending transfer; nothing when it was settled before."""
    yield SQL(
        "settle",
        id=uuid5(NAMESPACE, f"settle:{pending_id}"),
        pending_id=pending_id,
        step=step.value,
        code=code.value,
        now=now,
        key=f"settle:{pending_id}",
    ).silently()


@dataclass(frozen=True, slots=True)
class Book:
    """One book's balance, credits - debits, in mu."""

    posted_mu: int = 0
    reserved_mu: int = 0
    """Pending debits."""

    @property
    def available_mu(self) -> int:
        """What a reservation may still take."""
        return self.posted_mu - self.reserved_mu


def purse(account_id: int) -> Plan[tuple[str, Book]]:
    """Currency and wallet of an account that is locked. Raises PrepaymentError(ledger_stopped)."""
    row = (yield SQL("purse", account_id=account_id))[0]
    if row["stopped"]:
        raise PrepaymentError("ledger_stopped", "the ledger does not add up: nothing is sold")
    return row["currency"], Book(row["posted_mu"], row["reserved_mu"])


def books(account_id: int) -> Plan[dict[str, Book]]:
    """All books of an account."""
    rows = yield SQL("books", account_id=account_id)
    return {row["book"]: Book(row["posted_mu"], row["reserved_mu"]) for row in rows}


def wallet_mu(account_id: int) -> Plan[int]:
    """The wallet's posted balance; 0 before the first transfer."""
    row = first((yield SQL("wallet", account_id=account_id)))
    return int(row["wallet_mu"]) if row else 0
