"""Vending tokens: one request, one token, whatever fails in between.

    prepare   reserves the money, takes the identifier and the random bits; all of it committed
    issue     makes the digits from what was committed: a retry makes the same digits
    finish    posts the money; the digits are kept sealed and are made again when asked for

A second token for a request is impossible: its key is unique. An issued token is never voided. One
whose digits could not be made within RESERVED_FOR, such as while the security module is away, gives
its money back and never leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from headend.prepayment import engine, ledger, notices
from headend.prepayment.charges import tariff_versions
from headend.prepayment.ledger import Code, Leg, Step, Transaction
from headend.prepayment.month import local_midnight
from headend.prepayment.purchase import buy_after
from headend.prepayment.tariff import valid_at
from headend.prepayment.tokens.vending import STS, Asked
from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import Conflict, PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from headend.prepayment.tokens.vending import Vending
    from headend.store.plan import Row

SQL: Final = Queries("headend.service", "tokens.sql")
NAMESPACE: Final = UUID("6f686d65-7368-5000-8000-746f6b656e73")
RESERVED_FOR: Final = timedelta(minutes=15)
_VOIDED_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class NewToken:
    """A wish for a token.

    Attributes:
        meter: the meter's name.
        kind: one of `headend.prepayment.tokens.vending.KINDS`.
        units: tenths of a kWh, 1e-5 currency units, W, days, or a number, by kind; None: as much
            energy as the amount buys by the contract's tariff on purchases.
        request_key: the requester's key, unique per tenant.
        amount_mu: what the contract's wallet pays for it; None: nothing.
    """

    meter: str
    kind: str
    units: int | None
    request_key: str
    amount_mu: int | None = None


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as it stands; `content` has all that its digits are made of.

    Attributes:
        units: that were asked for.
        carries: units that the meter will take, not below those asked for.
        vendor: of `headend.prepayment.tokens.vending`.
    """

    id: UUID
    meter: str
    kind: str
    units: int
    amount_mu: int | None
    state: str
    vendor: str
    content: str
    carries: int
    made_at: datetime
    replayed: bool


def set_device(
    tenant_id: int,
    meter: str,
    vendor: str,
    content: Mapping[str, object],
    vendings: Mapping[str, Vending],
) -> Plan[None]:
    """Say how a meter takes tokens; another device begins with a new record of numbers.

    Raises: PrepaymentError: `unknown_meter`, or what is wrong with the device.
    """
    kept = vendings[vendor].device(meter, content)
    made = yield SQL("set_device", tenant_id=tenant_id, meter=meter, vendor=vendor, params=kept)
    if not made and first((yield SQL("lock_meter", tenant_id=tenant_id, meter=meter))) is None:
        raise PrepaymentError("unknown_meter", f"there is no meter {meter}")


def prepare(
    tenant_id: int, wish: NewToken, vendings: Mapping[str, Vending], now: datetime
) -> Plan[TokenRecord]:
    """Reserve and prepare a token, or give back what was prepared under the same key.

    Raises: PrepaymentError: `unknown_token_meter`, `token_kind`, `insufficient_credit`, `tid_*`.
        Conflict: the key belongs to another token.
    """
    meter = first((yield SQL("lock_meter", tenant_id=tenant_id, meter=wish.meter)))
    known = yield from find(tenant_id, vendings, request_key=wish.request_key)
    if known is not None:
        return _same(known, wish)
    if meter is None:
        raise PrepaymentError("unknown_token_meter", f"the meter {wish.meter} takes no tokens")
    identity = uuid5(NAMESPACE, f"{tenant_id}/{wish.request_key}")
    units = yield from _units(tenant_id, meter, wish, now)
    vending = vendings[meter["vendor"]]
    asked = Asked(wish.kind, units, meter["last_tid"], meter["last_tid_at"])
    readied = vending.prepare(meter["params"], asked, now)
    if wish.amount_mu is not None:
        yield from _reserve(tenant_id, meter, wish.amount_mu, identity, now)
    yield SQL(
        "insert_token",
        id=identity,
        tenant_id=tenant_id,
        meter_id=meter["meter_id"],
        account_id=meter["account_id"],
        request_key=wish.request_key,
        kind=wish.kind,
        units=units,
        amount_mu=wish.amount_mu,
        vendor=meter["vendor"],
        prepared=readied.content,
        now=now,
    ).silently()
    yield SQL("save_tid", meter_id=meter["meter_id"], tid=readied.number, now=now).silently()
    return TokenRecord(
        id=identity,
        meter=wish.meter,
        kind=wish.kind,
        units=units,
        amount_mu=wish.amount_mu,
        state="prepared",
        vendor=meter["vendor"],
        content=readied.content,
        carries=vending.units(readied.content),
        made_at=now,
        replayed=False,
    )


def _units(tenant_id: int, meter: Row, wish: NewToken, now: datetime) -> Plan[int]:
    if wish.units is None and meter["vendor"] == STS:
        return (yield from _bought(tenant_id, meter, wish, now))
    return wish.units or 0


def _bought(tenant_id: int, meter: Row, wish: NewToken, now: datetime) -> Plan[int]:
    """Tenths of a kWh that the amount buys, from what was bought this local month on."""
    if wish.amount_mu is None or wish.kind != "electricity":
        raise PrepaymentError("token_units", "name units, or an amount that buys electricity")
    if meter["account_id"] is None:
        raise PrepaymentError("unknown_account", "the meter has no contract to pay from")
    yield from engine.lock(meter["account_id"])
    tariff = valid_at((yield from tariff_versions(tenant_id, meter["tariff"])), now)
    if tariff is None or tariff.block_basis != "purchase" or tariff.tax:
        raise PrepaymentError(
            "block_basis", "name units: the contract's tariff has no prices of purchases, taxes in"
        )
    first_day = now.astimezone(tariff.zone).date().replace(day=1)
    since = local_midnight(first_day, tariff.zone)
    spent = yield SQL("spent_on_energy", account_id=meter["account_id"], since=since)
    return buy_after(
        wish.amount_mu,
        spent[0]["spent_mu"],
        block_upto_wh=tariff.block_upto_wh,
        price_mu_per_kwh=tariff.price_mu_per_kwh[tariff.default_period],
    ).token_tenths_kwh


def _same(known: TokenRecord, wish: NewToken) -> TokenRecord:
    units = known.units if wish.units is None else wish.units
    wished = (wish.meter, wish.kind, units, wish.amount_mu)
    if (known.meter, known.kind, known.units, known.amount_mu) != wished:
        raise Conflict(f"the key {wish.request_key!r} belongs to another token")
    return _alive(known)


def _reserve(tenant_id: int, meter: Row, amount_mu: int, token: UUID, now: datetime) -> Plan[None]:
    """A pending transfer; a token is never sold on credit."""
    ledger.check_amount(amount_mu)
    if meter["account_id"] is None:
        raise PrepaymentError("unknown_account", "the meter has no contract to pay from")
    yield from engine.lock(meter["account_id"])
    currency, wallet = yield from ledger.purse(meter["account_id"])
    if wallet.available_mu < amount_mu:
        raise PrepaymentError(
            "insufficient_credit", f"{wallet.available_mu} mu are available of {amount_mu} mu"
        )
    leg = Leg(ledger.WALLET, ledger.TOKENS, amount_mu, Code.TOKEN_RESERVE, {}, Step.PENDING)
    key = f"token:{token}"
    reserved = Transaction(tenant_id, meter["account_id"], currency, key, now, [leg])
    yield from ledger.post(reserved, now)


def finish(
    tenant_id: int,
    record: TokenRecord,
    vendings: Mapping[str, Vending],
    sealed: bytes,
    now: datetime,
) -> Plan[TokenRecord]:
    """The digits were made: post the money and tell. A repeat changes nothing.

    Raises: PrepaymentError(token_voided): it took too long, and the money went back.
    """
    issued = first((yield SQL("issued", id=record.id, sealed=sealed, now=now)))
    if issued is not None:
        detail = {"token": str(record.id), "kind": record.kind, "units": record.carries}
        key = str(record.id)
        yield from notices.publish(issued, "token.issued", detail, now, key=key)
        if record.amount_mu is not None:
            yield from ledger.settle(_pending(record.id), Step.POST, Code.TOKEN, now)
        return replace(record, state="issued")
    done = yield from find(tenant_id, vendings, token_id=record.id)
    assert done is not None
    return _alive(done)


def _pending(token_id: UUID) -> UUID:
    """The reservation of a token."""
    return uuid5(ledger.NAMESPACE, f"token:{token_id}/0")


def _alive(record: TokenRecord) -> TokenRecord:
    if record.state == "voided":
        raise PrepaymentError("token_voided", "it was not made in time: ask again with a new key")
    return record


def void_stale(now: datetime) -> Plan[int]:
    """Give back what is reserved for tokens that were never made; their number."""
    rows = yield SQL("stale", before=now - RESERVED_FOR, limit=_VOIDED_AT_ONCE)
    for row in rows:
        if row["amount_mu"] is not None:
            yield from ledger.settle(_pending(row["id"]), Step.VOID, Code.TOKEN_VOID, now)
    return len(rows)


def find(
    tenant_id: int,
    vendings: Mapping[str, Vending],
    *,
    request_key: str | None = None,
    token_id: UUID | None = None,
) -> Plan[TokenRecord | None]:
    """A token by the key of its request, or by its id."""
    row = first(
        (yield SQL("find_token", tenant_id=tenant_id, request_key=request_key, id=token_id))
    )
    if row is None:
        return None
    return TokenRecord(
        id=row["id"],
        meter=row["meter"],
        kind=row["kind"],
        units=row["units"],
        amount_mu=row["amount_mu"],
        state=row["state"],
        vendor=row["vendor"],
        content=row["prepared"],
        carries=vendings[row["vendor"]].units(row["prepared"]),
        made_at=row["made_at"],
        replayed=row["state"] != "prepared",
    )


def confirm(
    tenant_id: int, token_id: UUID, vendings: Mapping[str, Vending], *, accepted: bool
) -> Plan[None]:
    """The meter has taken a token, or refused it. Raises PrepaymentError(unknown_token)."""
    found = yield from find(tenant_id, vendings, token_id=token_id)
    if found is None or found.state in {"prepared", "voided"}:
        raise PrepaymentError("unknown_token", f"there is no issued token {token_id}")
    yield SQL("settle", id=token_id, state="confirmed" if accepted else "failed")


def device_of(tenant_id: int, meter: str) -> Plan[tuple[str, str]]:
    """How a meter takes tokens: vendor, device. Raises PrepaymentError(unknown_token_meter)."""
    row = first((yield SQL("device", tenant_id=tenant_id, meter=meter)))
    if row is None:
        raise PrepaymentError("unknown_token_meter", f"the meter {meter} takes no tokens")
    return row["vendor"], row["params"]
