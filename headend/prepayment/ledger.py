"""The ledger: append-only double entry in integer mu (1e-5 currency units).

Theory of operation. A transfer moves an amount from one book of an account to another; it is
never changed or deleted, and no role may. `account_balance` is the fold of the transfers, kept in
the same transaction. The wallet is a credit book: its balance is credits - debits.

The idempotency key names the event in the world (`topup:<tenant>:<key>`, `energy:<account>:<END>`).
The same key with the same content gives the first transfer; with other content it is a Conflict.
Callers hold the account's supply row locked, so that balance and decision move together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import msgspec

from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import Conflict, PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from headend.store.plan import Row

SQL: Final = Queries("headend.prepayment", "ledger.sql")
NAMESPACE: Final = UUID("6f686d65-7368-5000-8000-7472616e7366")
AMOUNT_MU_MAX: Final = 2**53
"""Above it JSON numbers are no longer exact for everybody."""


class Code(IntEnum):
    """Kinds of transfers."""

    TOPUP = 10
    ENERGY = 20
    REVERSAL = 40
    ADJUST = 50


WALLET: Final = "wallet"
CASH: Final = "cash"
REV_ENERGY: Final = "rev_energy"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One movement.

    Attributes:
        tenant_id, account_id: whose.
        debit, credit: books; the amount leaves none: it is written in both.
        amount_mu: 1..2**53.
        code: kind.
        value_at: when it counts.
        idempotency_key: the event's own name, unique in the whole store.
        ref: what a statement says about it.
    """

    tenant_id: int
    account_id: int
    debit: str
    credit: str
    amount_mu: int
    code: Code
    value_at: datetime
    idempotency_key: str
    ref: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Posted:
    """A transfer in the ledger; `ref` is that of the first posting."""

    id: UUID
    posted_at: datetime
    ref: Mapping[str, Any]
    replayed: bool


def check_amount(amount_mu: int) -> None:
    """Raises PrepaymentError(code="amount") unless 1..2**53."""
    if not 0 < amount_mu <= AMOUNT_MU_MAX:
        raise PrepaymentError("amount", f"an amount of {amount_mu} mu is not in 1..2**53")


def post(transfer: Transfer, now: datetime) -> Plan[Posted]:
    """Post a transfer once. Raises PrepaymentError (amount), Conflict (key of another content)."""
    check_amount(transfer.amount_mu)
    identity = uuid5(NAMESPACE, transfer.idempotency_key)
    made = yield SQL(
        "insert_transfer",
        id=identity,
        tenant_id=transfer.tenant_id,
        account_id=transfer.account_id,
        debit=transfer.debit,
        credit=transfer.credit,
        amount_mu=transfer.amount_mu,
        code=transfer.code.value,
        value_at=transfer.value_at,
        now=now,
        idempotency_key=transfer.idempotency_key,
        ref=msgspec.json.encode(transfer.ref).decode(),
    )
    if not made:
        return (yield from _first_posting(transfer))
    entries = {transfer.debit: (transfer.amount_mu, 0), transfer.credit: (0, transfer.amount_mu)}
    for book, (debit_mu, credit_mu) in sorted(entries.items()):
        yield SQL(
            "add_to_book",
            account_id=transfer.account_id,
            book=book,
            debit_mu=debit_mu,
            credit_mu=credit_mu,
        )
    return Posted(identity, now, transfer.ref, replayed=False)


def find(transfer: Transfer) -> Plan[Posted | None]:
    """The first posting of the same event, None when there is none. Raises Conflict."""
    known = first(
        (
            yield SQL(
                "find_transfer",
                tenant_id=transfer.tenant_id,
                idempotency_key=transfer.idempotency_key,
            )
        )
    )
    if known is None:
        return None
    if not _same(known, transfer):
        raise Conflict(
            f"the idempotency key {transfer.idempotency_key!r} belongs to another transfer"
        )
    return Posted(known["id"], known["posted_at"], known["ref"], replayed=True)


def _first_posting(transfer: Transfer) -> Plan[Posted]:
    posted = yield from find(transfer)
    if posted is None:
        raise Conflict(f"the idempotency key {transfer.idempotency_key!r} is taken")
    return posted


def _same(known: Row, transfer: Transfer) -> bool:
    return all(
        known[field] == getattr(transfer, field)
        for field in ("account_id", "debit", "credit", "amount_mu", "code")
    )


def wallet_mu(account_id: int) -> Plan[int]:
    """The wallet's posted balance; 0 before the first transfer."""
    row = first((yield SQL("wallet", account_id=account_id)))
    return int(row["wallet_mu"]) if row else 0
