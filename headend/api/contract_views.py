"""What the API answers about contracts, tokens, releases and webhooks."""

from __future__ import annotations

from datetime import date
from typing import Any, Final
from uuid import UUID

from headend.api.views import Instant, View


class Payment(View, frozen=True):
    """A payment as it stands: `booked`, `suspense`, `received` or `reversed`.

    In suspense the money is in the ledger and waits for a person; `reason` says why. `balance_mu`
    is the wallet right after it was booked.
    """

    id: UUID
    txn: str
    contract: str
    amount_mu: int
    currency: str
    state: str
    reason: str | None
    balance_mu: int | None
    decision_seq: int | None
    at: Instant


class Balance(View, frozen=True):
    """A contract's money, in mu.

    `posted` by actual readings; `estimated` less what estimates would take; `pending` reserved for
    tokens; supply may be cut at or below `floor`. `days_left` at the mean use of the last days.
    """

    contract: str
    currency: str
    posted: int
    estimated: int
    pending: int
    floor: int
    emergency: int
    emergency_active: bool
    days_left: int | None
    rated_to: Instant | None
    decision_seq: int
    as_of: Instant


class StatementLine(View, frozen=True):
    """One transfer; `wallet_mu` is what it moved in or out of the wallet, 0 for other books.

    `step`: posted, pending, post or void.
    """

    id: UUID
    txn: str
    code: str
    debit: str
    credit: str
    amount_mu: int
    wallet_mu: int
    currency: str
    step: str
    value_at: Instant
    posted_at: Instant
    ref: dict[str, Any]


class SupplyState(View, frozen=True):
    """A contract's supply: what was decided, what was read back, and why."""

    contract: str
    state: str
    desired: str
    actual: str | None
    reason: str
    why_not_cut: str | None
    next_permitted: Instant | None
    decision_seq: int
    hold: str | None
    exempt: bool
    flags: list[str]
    emergency_active: bool
    unreachable: bool
    alarms: list[str]


class TariffVersion(View, frozen=True):
    """A version of a tariff, as data."""

    tariff: str
    currency: str
    version: int
    content: dict[str, Any]


class Charge(View, frozen=True):
    """What one local day's component costs."""

    day: date
    component: str
    amount_mu: int


class Simulation(View, frozen=True):
    """What intervals would cost; nothing is kept."""

    total_mu: int
    charges: list[Charge]


class MayDisconnect(View, frozen=True):
    """Whether the hours of a rule pack permit cutting at an instant."""

    pack: str
    at: Instant
    ok: bool
    reason: str | None
    next_permitted: Instant | None


class Reconciliation(View, frozen=True):
    """The ledger held against itself on one day; it is stopped while `ok` is false.

    A finding `metered` is one contract's: the energy counted is not what its register advanced.
    """

    day: date
    ok: bool
    findings: list[dict[str, Any]]
    made_at: Instant


class Breaker(View, frozen=True):
    """Whether all cuts are stopped. `subject` is what two people sign to close it."""

    open: bool
    opened_at: Instant | None
    reason: str
    subject: str | None


class WaitingPayment(View, frozen=True):
    """Money that waits for a person: `account` is what the payer wrote, `reason` why it waits."""

    id: UUID
    account: str
    amount_mu: int
    currency: str
    state: str
    reason: str | None
    received_at: Instant
    channel: str


class NewPaymentChannel(View, frozen=True):
    """Who sends payments, and the secret that signs them; it is shown once."""

    channel: str
    secret: str


class Rerate(View, frozen=True):
    """A rating anew: `asked`, `weighed`, `approved`, `booked` or `failed` (`problem` says why).

    `difference_mu` is what the wallet pays, below 0 what it gets back, over so many local `days`.
    """

    id: UUID
    contract: str
    from_day: date
    dry_run: bool
    reason: str
    state: str
    difference_mu: int | None
    days: int | None
    currency: str
    problem: str | None
    asked_at: Instant
    done_at: Instant | None


class HeldRelease(View, frozen=True):
    """A disconnection in quarantine. `subject` is what two people sign to let it go."""

    command: UUID
    meter: str
    reason: str
    at: Instant
    not_after: Instant
    subject: str


class GateApproval(View, frozen=True):
    """A person's signature under a subject, handed to the gate; only the gate judges it."""

    name: str
    subject: str
    not_after: Instant


class Token(View, frozen=True):
    """A token. `digits` for the keypad; `units` that the meter will take, not below those asked."""

    id: UUID
    meter: str
    kind: str
    units: int
    amount_mu: int | None
    state: str
    digits: str
    made_at: Instant


class TokenMeaning(View, frozen=True):
    """What a token says to a meter; an own one or not is for the meter's record to judge."""

    meter: str
    kind: str
    units: int
    tid: int
    named_at: Instant


class TokenIdentity(View, frozen=True):
    """How a meter takes tokens."""

    meter: str
    pan: str
    supply_group: str
    tariff_index: int
    key_revision: int
    base_year: int


class TokenDevice(View, frozen=True):
    """Whose tokens a meter takes: `paygo` or `utrn`."""

    meter: str
    vendor: str


class Webhook(View, frozen=True):
    """Where events of these kinds are sent."""

    id: UUID
    url: str
    kinds: list[str]
    created_at: Instant


class NewWebhook(View, frozen=True):
    """A webhook with its secret, which is shown here and never again."""

    id: UUID
    url: str
    kinds: list[str]
    created_at: Instant
    secret: str


class Delivery(View, frozen=True):
    """One event's way to a webhook; `next_try_at` null: delivered, or given up."""

    id: int
    event: UUID
    kind: str
    attempts: int
    delivered_at: Instant | None
    next_try_at: Instant | None
    outcome: str


class OdysseyPayment(View, frozen=True, rename="camel"):
    """A booked payment in the field names of the Odyssey data export."""

    timestamp: Instant
    amount: str
    currency: str
    transaction_type: str
    transaction_id: str
    serial_number: str
    customer_id: str
    meter_id: str


KINDS: Final = (
    Payment,
    Balance,
    StatementLine,
    SupplyState,
    TariffVersion,
    Simulation,
    MayDisconnect,
    Reconciliation,
    Breaker,
    HeldRelease,
    Rerate,
    WaitingPayment,
    NewPaymentChannel,
    GateApproval,
    Token,
    TokenMeaning,
    TokenIdentity,
    TokenDevice,
    Webhook,
    NewWebhook,
    Delivery,
    OdysseyPayment,
)
PAGED: Final = (
    StatementLine,
    Reconciliation,
    HeldRelease,
    WaitingPayment,
    Webhook,
    Delivery,
    OdysseyPayment,
)
