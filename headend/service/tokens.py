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

import msgspec

from headend.prepayment import engine, ledger, notices
from headend.prepayment.charges import tariff_versions
from headend.prepayment.ledger import Code, Leg, Step, Transaction
from headend.prepayment.month import local_midnight
from headend.prepayment.purchase import buy_after
from headend.prepayment.tariff import valid_at
from headend.prepayment.tokens.vendor import Prepared, VendRequest
from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import Conflict, PrepaymentError
from ohmesh.tokens import amounts
from ohmesh.tokens.keys import KeyParams
from ohmesh.tokens.pan import MeterPan
from ohmesh.tokens.sts import TokenKind
from ohmesh.tokens.tid import LastTid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from headend.prepayment.tokens.vendor import TokenVendor
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
        kind: name of a TokenKind, lower case.
        units: tenths of a kWh, 1e-5 currency units, W, or a number, by kind; None: as much energy
            as the amount buys by the contract's tariff on purchases.
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
    """A token as it stands; `prepared` has all that its digits are made of."""

    id: UUID
    meter: str
    kind: str
    units: int
    amount_mu: int | None
    state: str
    prepared: Prepared
    made_at: datetime
    replayed: bool


class _Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pan: str
    supply_group: str
    tariff_index: int = 1
    key_revision: int = 1
    base_year: int = 2014

    def params(self) -> KeyParams:
        """What the meter's key is derived from. Raises PrepaymentError."""
        return KeyParams(
            MeterPan.parse(self.pan),
            self.supply_group,
            self.tariff_index,
            self.key_revision,
            base_year=self.base_year,
        )


def set_identity(
    tenant_id: int, meter: str, content: Mapping[str, object], vendor: TokenVendor
) -> Plan[None]:
    """Say how a meter takes tokens; another identity begins with a new record of identifiers.

    Raises: PrepaymentError: `unknown_meter`, or what is wrong with the identity.
    """
    try:
        identity = msgspec.convert(content, _Identity)
    except msgspec.ValidationError as error:
        raise PrepaymentError("token_identity", str(error)) from error
    vendor.check(identity.params())
    params = msgspec.json.encode(identity).decode()
    made = yield SQL("set_identity", tenant_id=tenant_id, meter=meter, params=params)
    if not made and first((yield SQL("lock_meter", tenant_id=tenant_id, meter=meter))) is None:
        raise PrepaymentError("unknown_meter", f"there is no meter {meter}")


def prepare(
    tenant_id: int, wish: NewToken, vendor: TokenVendor, now: datetime
) -> Plan[TokenRecord]:
    """Reserve and prepare a token, or give back what was prepared under the same key.

    Raises: PrepaymentError: `unknown_token_meter`, `token_kind`, `insufficient_credit`, `tid_*`.
        Conflict: the key belongs to another token.
    """
    meter = first((yield SQL("lock_meter", tenant_id=tenant_id, meter=wish.meter)))
    known = yield from find(tenant_id, request_key=wish.request_key)
    if known is not None:
        return _same(known, wish)
    if meter is None:
        raise PrepaymentError("unknown_token_meter", f"the meter {wish.meter} takes no tokens")
    identity = uuid5(NAMESPACE, f"{tenant_id}/{wish.request_key}")
    last = None
    if meter["last_tid"] is not None:
        last = LastTid(meter["last_tid"], meter["last_tid_at"])
    params = msgspec.json.decode(meter["params"], type=_Identity).params()
    units = wish.units
    if units is None:
        units = yield from _bought(tenant_id, meter, wish, now)
    prepared = vendor.prepare(VendRequest(_kind(wish.kind), units, params, last), now)
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
        prepared=_encode(prepared),
        now=now,
    ).silently()
    yield SQL("save_tid", meter_id=meter["meter_id"], tid=prepared.tid, now=now).silently()
    return TokenRecord(
        id=identity,
        meter=wish.meter,
        kind=wish.kind,
        units=units,
        amount_mu=wish.amount_mu,
        state="prepared",
        prepared=prepared,
        made_at=now,
        replayed=False,
    )


def _kind(name: str) -> TokenKind:
    try:
        return TokenKind[name.upper()]
    except KeyError:
        raise PrepaymentError("token_kind", f"there is no kind of token {name!r}") from None


def _bought(tenant_id: int, meter: Row, wish: NewToken, now: datetime) -> Plan[int]:
    """Tenths of a kWh that the amount buys, from what was bought this local month on."""
    if wish.amount_mu is None or _kind(wish.kind) is not TokenKind.ELECTRICITY:
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


def finish(tenant_id: int, record: TokenRecord, sealed: bytes, now: datetime) -> Plan[TokenRecord]:
    """The digits were made: post the money and tell. A repeat changes nothing.

    Raises: PrepaymentError(token_voided): it took too long, and the money went back.
    """
    issued = first((yield SQL("issued", id=record.id, sealed=sealed, now=now)))
    if issued is not None:
        detail = {"token": str(record.id), "kind": record.kind, "units": record.prepared.units}
        key = str(record.id)
        yield from notices.publish(issued, "token.issued", detail, now, key=key)
        if record.amount_mu is not None:
            yield from ledger.settle(_pending(record.id), Step.POST, Code.TOKEN, now)
        return replace(record, state="issued")
    done = yield from find(tenant_id, token_id=record.id)
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
    tenant_id: int, *, request_key: str | None = None, token_id: UUID | None = None
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
        prepared=_decode(row["prepared"]),
        made_at=row["made_at"],
        replayed=row["state"] != "prepared",
    )


def confirm(tenant_id: int, token_id: UUID, *, accepted: bool) -> Plan[None]:
    """The meter has taken a token, or refused it. Raises PrepaymentError(unknown_token)."""
    found = yield from find(tenant_id, token_id=token_id)
    if found is None or found.state in {"prepared", "voided"}:
        raise PrepaymentError("unknown_token", f"there is no issued token {token_id}")
    yield SQL("settle", id=token_id, state="confirmed" if accepted else "failed")


def _encode(prepared: Prepared) -> str:
    p = prepared
    content = {
        "kind": p.kind.name,
        "amount": [p.amount.exponent, p.amount.mantissa],
        "tid": p.tid,
        "rnd": p.rnd,
        "identity": _Identity(
            str(p.params.pan),
            p.params.supply_group,
            p.params.tariff_index,
            p.params.key_revision,
            p.params.base_year,
        ),
    }
    return msgspec.json.encode(content).decode()


def _decode(text: str) -> Prepared:
    content = msgspec.json.decode(text)
    exponent, mantissa = content["amount"]
    return Prepared(
        TokenKind[content["kind"]],
        amounts.Amount(exponent, mantissa),
        content["tid"],
        content["rnd"],
        msgspec.convert(content["identity"], _Identity).params(),
    )


def identity_of(tenant_id: int, meter: str) -> Plan[KeyParams]:
    """What a meter's key is derived from. Raises PrepaymentError(unknown_token_meter)."""
    row = first((yield SQL("identity", tenant_id=tenant_id, meter=meter)))
    if row is None:
        raise PrepaymentError("unknown_token_meter", f"the meter {meter} takes no tokens")
    return msgspec.json.decode(row["params"], type=_Identity).params()
