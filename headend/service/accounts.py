"""Prepaid accounts as the API asks for them: tariffs, opening, top-ups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headend.prepayment import engine, ledger
from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import Conflict, PrepaymentError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from headend.store.plan import Row

SQL: Final = Queries("headend.service", "accounts.sql")


@dataclass(frozen=True, slots=True)
class TopUp:
    """A booked top-up.

    Attributes:
        transfer_id: its transfer in the ledger.
        account: name of the account.
        amount_mu: what was paid, 1e-5 currency units.
        wallet_mu: the wallet right after this top-up; a replay gives the first answer.
        currency: ISO 4217.
        posted_at: when it was booked.
        replayed: an earlier request had the same idempotency key.
    """

    transfer_id: UUID
    account: str
    amount_mu: int
    wallet_mu: int
    currency: str
    posted_at: datetime
    replayed: bool


def add_tariff(
    tenant_id: int,
    name: str,
    *,
    currency: str,
    price_mu_per_kwh: int,
    valid_from: datetime | None = None,
) -> Plan[int]:
    """The tariff of a name, made when absent.

    Returns: its number in the store.
    Raises: PrepaymentError: price or currency out of range. Conflict: same name, other price.
    """
    if not 0 <= price_mu_per_kwh <= ledger.AMOUNT_MU_MAX:
        raise PrepaymentError("price", f"a price of {price_mu_per_kwh} mu/kWh is not in 0..2**53")
    if len(currency) != 3 or not (currency.isascii() and currency.isupper()):
        raise PrepaymentError("currency", f"{currency!r} is not an ISO 4217 code such as EUR")
    made = first(
        (
            yield SQL(
                "insert_tariff",
                tenant_id=tenant_id,
                name=name,
                currency=currency,
                price_mu_per_kwh=price_mu_per_kwh,
                valid_from=valid_from,
            )
        )
    )
    if made:
        return int(made["id"])
    known = first((yield SQL("find_tariff", tenant_id=tenant_id, name=name)))
    if known is None or (known["currency"], known["price_mu_per_kwh"]) != (
        currency,
        price_mu_per_kwh,
    ):
        raise Conflict(f"the tariff {name} exists with another price")
    return int(known["id"])


def open_account(
    tenant_id: int,
    name: str,
    *,
    meter: str,
    tariff: str,
    now: datetime,
    rated_from: datetime | None = None,
) -> Plan[int]:
    """Open a prepaid account on a meter; its supply stays on until its credit is used up.

    Args:
        tenant_id: whose.
        name: unique per tenant.
        meter: name of a meter with a key: a relay command must be sealed for it.
        tariff: name of a tariff.
        now: time of opening.
        rated_from: energy behind this instant is charged; None: behind the newest reading there is.

    Returns: its number in the store; the same when it is open with the same meter and tariff.
    Raises: PrepaymentError: unknown_meter, no_key, unknown_tariff.
        Conflict: the name or the meter is taken.
    """
    found = first((yield SQL("find_meter", tenant_id=tenant_id, meter=meter)))
    if found is None:
        raise PrepaymentError("unknown_meter", f"there is no meter {meter}")
    if not found["has_key"]:
        raise PrepaymentError("no_key", f"the meter {meter} has no key: its relay cannot be driven")
    price = first((yield SQL("find_tariff", tenant_id=tenant_id, name=tariff)))
    if price is None:
        raise PrepaymentError("unknown_tariff", f"there is no tariff {tariff}")
    made = first(
        (
            yield SQL(
                "insert_account",
                tenant_id=tenant_id,
                name=name,
                meter_id=found["id"],
                tariff_id=price["id"],
                now=now,
            )
        )
    )
    if made is None:
        return (yield from _opened(tenant_id, name, found["id"], price["id"]))
    yield SQL("insert_supply", account_id=made["id"], now=now)
    yield SQL("insert_rating", account_id=made["id"], rated_from=rated_from)
    return int(made["id"])


def _opened(tenant_id: int, name: str, meter_id: int, tariff_id: int) -> Plan[int]:
    known = first((yield SQL("find_account", tenant_id=tenant_id, name=name)))
    if known is None or (known["meter_id"], known["tariff_id"]) != (meter_id, tariff_id):
        raise Conflict(f"the account {name} or an account of this meter is open already")
    return int(known["id"])


def top_up(
    tenant_id: int,
    account: str,
    *,
    amount_mu: int,
    idempotency_key: str,
    now: datetime,
) -> Plan[TopUp]:
    """Book a payment into the wallet and look at the supply, in one transaction.

    Raises: PrepaymentError: unknown_account, amount. Conflict: the key has another content.
    """
    ledger.check_amount(amount_mu)
    found = first((yield SQL("find_account", tenant_id=tenant_id, name=account)))
    if found is None:
        raise PrepaymentError("unknown_account", f"there is no account {account}")
    row = yield from engine.lock_account(found["id"])
    before_mu = yield from ledger.wallet_mu(row["id"])
    transfer = ledger.Transfer(
        tenant_id=tenant_id,
        account_id=row["id"],
        debit=ledger.CASH,
        credit=ledger.WALLET,
        amount_mu=amount_mu,
        code=ledger.Code.TOPUP,
        value_at=now,
        idempotency_key=f"topup:{tenant_id}:{idempotency_key}",
        ref={"wallet_mu": before_mu + amount_mu},
    )
    posted = yield from ledger.post(transfer, now)
    if not posted.replayed:
        yield from engine.evaluate(row, now)
    return _top_up(row, transfer, posted)


def _top_up(row: Row, transfer: ledger.Transfer, posted: ledger.Posted) -> TopUp:
    return TopUp(
        transfer_id=posted.id,
        account=row["name"],
        amount_mu=transfer.amount_mu,
        wallet_mu=posted.ref["wallet_mu"],
        currency=row["currency"],
        posted_at=posted.posted_at,
        replayed=posted.replayed,
    )
