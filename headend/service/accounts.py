"""Prepaid contracts as the API asks for them: tariffs, opening, terms, balance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from headend.prepayment import engine, ledger, supplying
from headend.prepayment.contract import EmergencyTaken, FlagsChanged, HoldReleased, HoldSet
from headend.prepayment.tariff import Tariff, load_tariff
from headend.prepayment.terms import check_terms, encode_terms, parse_terms
from headend.service.payments import Payment, pay
from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import ConfigError, Conflict, PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headend.prepayment.contract import Event, Supply
    from headend.service.payments import TopUp
    from headend.store.plan import Row

SQL: Final = Queries("headend.service", "accounts.sql")
ENGINE_SQL: Final = Queries("headend.prepayment", "engine.sql")
ALWAYS: Final = "1970-01-01T00:00:00Z"
"""`valid_from` of a tariff that was given without one."""
DAYS_LEFT_OVER: Final = timedelta(days=7)


def flat_tariff(
    name: str, price_mu_per_kwh: int, valid_from: datetime | None = None
) -> dict[str, Any]:
    """The content of a tariff with one price of energy."""
    return {
        "id": name,
        "version": 1,
        "valid_from": ALWAYS if valid_from is None else valid_from.isoformat(),
        "tz": "UTC",
        "block_upto_wh": [None],
        "price_mu_per_kwh": {"all": [price_mu_per_kwh]},
    }


def add_tariff(
    tenant_id: int,
    name: str,
    *,
    currency: str,
    price_mu_per_kwh: int,
    valid_from: datetime | None = None,
) -> Plan[int]:
    """The flat tariff of a name, made when absent.

    Returns: the version.
    Raises: PrepaymentError: price or currency out of range. Conflict: same name, other price.
    """
    if not 0 <= price_mu_per_kwh <= ledger.AMOUNT_MU_MAX:
        raise PrepaymentError("price", f"a price of {price_mu_per_kwh} mu/kWh is not in 0..2**53")
    content = flat_tariff(name, price_mu_per_kwh, valid_from)
    known = yield SQL("find_tariff", tenant_id=tenant_id, name=name)
    if known and valid_from is None:
        return _same_price(known, currency, price_mu_per_kwh, name)
    return (yield from add_version(tenant_id, content, currency=currency))


def _same_price(known: list[Row], currency: str, price: int, name: str) -> int:
    newest = known[-1]
    tariff = msgspec.json.decode(newest["body"], type=Tariff)
    if (newest["currency"], first_price(tariff)) != (currency, price):
        raise Conflict(f"the tariff {name} exists with another price")
    return int(newest["version"])


def first_price(tariff: Tariff) -> int:
    """The price with which a month begins outside all windows, mu a kWh."""
    return tariff.price_mu_per_kwh[tariff.default_period][0]


def add_version(tenant_id: int, content: Mapping[str, Any], *, currency: str) -> Plan[int]:
    """A version of a tariff, as data; the same content again changes nothing.

    Args:
        tenant_id: whose.
        content: as `headend.prepayment.tariff` describes it; without `version` it is the next.
        currency: ISO 4217; the same for all versions.

    Returns: the version.
    Raises: PrepaymentError: `tariff`, `currency`. Conflict: the version has another content.
    """
    if len(currency) != 3 or not (currency.isascii() and currency.isupper()):
        raise PrepaymentError("currency", f"{currency!r} is not an ISO 4217 code such as EUR")
    name = str(content.get("id", ""))
    known = yield SQL("find_tariff", tenant_id=tenant_id, name=name)
    tariff = _next_version(content, known, currency)
    body = msgspec.json.encode(tariff).decode()
    same = [row for row in known if row["valid_from"] == _effective(tariff)]
    if same:
        if msgspec.json.decode(same[0]["body"]) | {"version": 0} != msgspec.json.decode(body) | {
            "version": 0
        }:
            raise Conflict(
                f"the tariff {name} exists from {tariff.valid_from} with another content"
            )
        return int(same[0]["version"])
    made = yield SQL(
        "insert_tariff",
        tenant_id=tenant_id,
        name=name,
        currency=currency,
        price_mu_per_kwh=first_price(tariff),
        valid_from=_effective(tariff),
        version=tariff.version,
        body=body,
    )
    if not made:
        raise Conflict(f"the tariff {name} was changed by somebody else: try again")
    return tariff.version


def _effective(tariff: Tariff) -> datetime:
    return tariff.valid_from.astimezone(UTC)


def _next_version(content: Mapping[str, Any], known: list[Row], currency: str) -> Tariff:
    number = max((row["version"] for row in known), default=0) + 1
    try:
        tariff = load_tariff({"version": number, **content})
    except ConfigError as error:
        raise PrepaymentError("tariff", str(error)) from error
    for row in known:
        other = msgspec.json.decode(row["body"], type=Tariff)
        if other.tz != tariff.tz and row["valid_from"] != _effective(tariff):
            raise PrepaymentError("tariff", f"all versions of {tariff.id} are in {other.tz}")
        if row["currency"] != currency:
            raise PrepaymentError("currency", f"{tariff.id} is in {row['currency']}")
    return msgspec.structs.replace(tariff, version=number) if known else tariff


def open_account(
    tenant_id: int,
    name: str,
    *,
    meter: str,
    tariff: str,
    now: datetime,
    rated_from: datetime | None = None,
    terms: Mapping[str, Any] | None = None,
    register_modulus_wh: int | None = None,
) -> Plan[int]:
    """Open a prepaid contract on a meter; its supply stays on until its credit is used up.

    Args:
        tenant_id: whose.
        name: unique per tenant.
        meter: name of a meter with a key: a relay command must be sealed for it.
        tariff: name of a tariff.
        now: time of opening.
        rated_from: energy behind this instant is charged; None: behind the newest reading there is.
        terms: as `headend.prepayment.terms` describes them; without a pack nobody is cut.
        register_modulus_wh: where the meter's register begins anew; None: it does not.

    Returns: its number in the store; the same when it is open with the same meter and tariff.
    Raises: PrepaymentError: unknown_meter, no_key, unknown_tariff, terms.
        Conflict: the name or the meter is taken.
    """
    agreed = check_terms(terms or {})
    found = first((yield SQL("find_meter", tenant_id=tenant_id, meter=meter)))
    if found is None:
        raise PrepaymentError("unknown_meter", f"there is no meter {meter}")
    if not found["has_key"]:
        raise PrepaymentError("no_key", f"the meter {meter} has no key: its relay cannot be driven")
    versions = yield SQL("find_tariff", tenant_id=tenant_id, name=tariff)
    if not versions:
        raise PrepaymentError("unknown_tariff", f"there is no tariff {tariff}")
    made = first(
        (
            yield SQL(
                "insert_account",
                tenant_id=tenant_id,
                name=name,
                meter_id=found["id"],
                tariff=tariff,
                currency=versions[0]["currency"],
                terms=encode_terms(agreed),
                register_modulus_wh=register_modulus_wh,
                now=now,
            )
        )
    )
    if made is None:
        return (yield from _opened(tenant_id, name, found["id"], tariff))
    yield SQL("insert_supply", account_id=made["id"], now=now)
    yield SQL("insert_rating", account_id=made["id"], rated_from=rated_from)
    yield ENGINE_SQL("add_news", account_id=made["id"])
    return int(made["id"])


def _opened(tenant_id: int, name: str, meter_id: int, tariff: str) -> Plan[int]:
    known = first((yield SQL("find_account", tenant_id=tenant_id, name=name)))
    if known is None or (known["meter_id"], known["tariff"]) != (meter_id, tariff):
        raise Conflict(f"the account {name} or an account of this meter is open already")
    return int(known["id"])


def find_contract(tenant_id: int, name: str) -> Plan[Row]:
    """The contract's row. Raises PrepaymentError(code="unknown_account")."""
    found = first((yield SQL("find_account", tenant_id=tenant_id, name=name)))
    if found is None:
        raise PrepaymentError("unknown_account", f"there is no account {name}")
    return found


def set_terms(tenant_id: int, name: str, terms: Mapping[str, Any], now: datetime) -> Plan[Supply]:
    """Agree on other terms, whole, and look at the supply under them. Raises PrepaymentError."""
    agreed = check_terms(terms)
    found = yield from find_contract(tenant_id, name)
    yield from engine.lock_account(found["id"])
    yield SQL("set_terms", account_id=found["id"], terms=encode_terms(agreed))
    return (yield from engine.apply_events(found["id"], [], now))


# -- what people do to a supply ------------------------------------------------------------------


def take_emergency(tenant_id: int, name: str, now: datetime) -> Plan[Supply]:
    """Lower the floor by the agreed emergency credit.

    Raises: PrepaymentError: `emergency_active` until it is paid back, `emergency_none`.
    """
    return (yield from _happen(tenant_id, name, EmergencyTaken(), now))


def hold(tenant_id: int, name: str, reason: str, now: datetime) -> Plan[Supply]:
    """Hold the supply off, whatever the credit."""
    return (yield from _happen(tenant_id, name, HoldSet(reason), now))


def release_hold(
    tenant_id: int, name: str, who: str, approved_by: str, now: datetime
) -> Plan[Supply]:
    """Let a hold go, by two people's word. Raises PrepaymentError: `two_people`."""
    return (yield from _happen(tenant_id, name, HoldReleased(who, approved_by), now))


def protect(
    tenant_id: int, name: str, *, flags: frozenset[str], exempt: bool, now: datetime
) -> Plan[Supply]:
    """Set a customer's protection: flags such as `medical_dependency`, or never to be cut."""
    return (yield from _happen(tenant_id, name, FlagsChanged(flags, exempt), now))


def _happen(tenant_id: int, name: str, event: Event, now: datetime) -> Plan[Supply]:
    found = yield from find_contract(tenant_id, name)
    return (yield from engine.apply_events(found["id"], [event], now))


# -- balance -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Balance:
    """A contract's money, in mu.

    Attributes:
        posted_mu: the wallet by actual readings.
        estimated_mu: less what the estimates would take.
        pending_mu: reserved, such as for a token.
        floor_mu: how far the wallet may fall.
        emergency_limit_mu, emergency_active: the agreed emergency credit.
        days_left: at the mean use of the last days; None: not known.
        rated_to: consumption up to there is in it.
    """

    contract: str
    currency: str
    posted_mu: int
    estimated_mu: int
    pending_mu: int
    floor_mu: int
    emergency_limit_mu: int
    emergency_active: bool
    days_left: int | None
    rated_to: datetime | None
    decision_seq: int
    as_of: datetime


def balance(tenant_id: int, name: str, now: datetime) -> Plan[Balance]:
    """A contract's balance. Raises PrepaymentError(code="unknown_account")."""
    found = yield from find_contract(tenant_id, name)
    account = yield from engine.locked_account(found["id"])
    books = yield from ledger.books(found["id"])
    wallet = books.get(ledger.WALLET, ledger.Book())
    terms, supply = parse_terms(account["terms"]), supplying.supply_of(account["kept"])
    lower = terms.emergency_limit_mu if supply.ec_active else 0
    floor = terms.disablement_mu - lower
    days = yield from _days_left(account, wallet.posted_mu - floor, now)
    return Balance(
        contract=account["name"],
        currency=account["currency"],
        posted_mu=wallet.posted_mu,
        estimated_mu=wallet.posted_mu - account["estimated_mu"],
        pending_mu=wallet.reserved_mu - account["estimated_mu"],
        floor_mu=floor,
        emergency_limit_mu=terms.emergency_limit_mu,
        emergency_active=supply.ec_active,
        days_left=days,
        rated_to=account["rated_to"],
        decision_seq=supply.decision_seq,
        as_of=now,
    )


def _days_left(account: Row, above_floor_mu: int, now: datetime) -> Plan[int | None]:
    """Whole days at the mean of the last whole days."""
    today = now.astimezone(supplying.policy_of(account).zone).date()
    spent = (
        yield SQL(
            "spent_since", account_id=account["id"], since=today - DAYS_LEFT_OVER, until=today
        )
    )[0]
    if spent["days"] == 0 or spent["spent_mu"] <= 0:
        return None
    return max(0, above_floor_mu * int(spent["days"]) // int(spent["spent_mu"]))


def top_up(
    tenant_id: int, account: str, *, amount_mu: int, idempotency_key: str, now: datetime
) -> Plan[TopUp]:
    """Book a payment to a contract that exists.

    Raises: PrepaymentError: unknown_account, amount. Conflict: the key has another content.
    """
    return (yield from pay(tenant_id, Payment(account, amount_mu, idempotency_key), now))
