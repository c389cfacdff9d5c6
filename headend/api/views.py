"""What the API answers with: one frozen struct a thing, in the order of its query's columns.

They are msgspec structs because a list of ten thousand must cost little; the OpenAPI document is
made from them too. Times are UTC, RFC 3339. Integers of money are mu, 1e-5 of the currency unit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class View(msgspec.Struct, frozen=True):
    """The base of all answers."""


class Meter(View, frozen=True):
    """A registered meter and what was last heard of it.

    `hops` is the way's length in the mesh as last reported; `relay` the supply switch as the meter
    read it back. null: not known.
    """

    meter: str
    address: str
    profile: str
    interval_s: int
    registered_at: Instant
    sealed: bool
    service_point: str | None
    zone: str
    x_m: float | None
    y_m: float | None
    gateway: str | None
    hops: int | None
    last_seen: Instant | None
    relay: str | None
    relay_at: Instant | None
    account: str | None
    version: int


class Reading(View, frozen=True):
    """One value: `value` x 10^`scaler` in `unit`, at `time` (for an interval its END).

    `quality` lists flags; an empty list is an actual value with a trusted clock.
    """

    channel: str
    time: Instant
    value: int
    scaler: int
    unit: str
    quality: list[str]


class Gateway(View, frozen=True):
    """A gateway: `state` is what it (or the broker for it) said last."""

    gateway: str
    node: int | None
    x_m: float | None
    y_m: float | None
    registered_at: Instant
    state: str
    state_at: Instant | None
    last_seen: Instant | None
    meters: int


class Node(View, frozen=True):
    """One node of the mesh picture.

    `kind` is gateway, meter or unknown (a node that routes but is not registered here). `parent`
    is the node it sends to first, null for a gateway and for a node without a route. `behind` is
    how many intervals its newest value is older than the fleet's newest, null without a value.
    """

    node: int
    kind: str
    id: str | None
    gateway: str | None
    parent: int | None
    hops: int | None
    etx_128ths: int | None
    reported_at: Instant | None
    last_seen: Instant | None
    behind: int | None
    x_m: float | None
    y_m: float | None


class Topology(View, frozen=True):
    """The mesh as the gateways last reported it."""

    nodes: list[Node]
    reported_at: Instant | None


class Quarantined(View, frozen=True):
    """A telegram that gave no readings, why, and its first bytes."""

    id: int
    quarantined_at: Instant
    received_at: Instant
    gateway: str | None
    meter: str | None
    address: str
    profile: str
    reason: str
    message: str
    payload_bytes: int
    payload_hex: str
    resolved_at: Instant | None


class CommandReceipt(View, frozen=True):
    """A command as it was accepted; the same for every repeat of the request."""

    id: UUID
    meter: str
    kind: str
    argument: int
    not_after: Instant
    created_at: Instant


class Command(View, frozen=True):
    """A command and where it is; a relay command is done only when `relay` read back agrees.

    `read_back` is what else the meter said: rows sent, the verdict on a token, the firmware.
    """

    id: UUID
    meter: str
    kind: str
    argument: int
    not_after: Instant
    priority: int
    requested_by: str
    created_at: Instant
    state: str
    attempts: int
    sent_at: Instant | None
    resolved_at: Instant | None
    result: str | None
    relay: str | None
    detail: str
    read_back: str


class Firmware(View, frozen=True):
    """A firmware image that meters can be offered."""

    firmware: str
    version: int
    size: int
    sha256: str
    added_at: Instant


class Tariff(View, frozen=True):
    """A flat price; `price_mu_per_kwh` in 1e-5 of the currency unit."""

    tariff: str
    currency: str
    price_mu_per_kwh: int
    valid_from: Instant | None


class Account(View, frozen=True):
    """A prepaid contract on one meter.

    `supply_wanted` is decided here, `supply_actual` is read back from the meter; `reason` is the
    rule that decided. `rated_to`: consumption up to this instant is in the balance.
    """

    account: str
    meter: str
    tariff: str
    currency: str
    price_mu_per_kwh: int
    balance_mu: int
    opened_at: Instant
    rated_to: Instant | None
    supply_wanted: str | None
    supply_actual: str | None
    supply_actual_at: Instant | None
    reason: str
    decided_at: Instant | None
    command: UUID | None


class AccountReceipt(View, frozen=True):
    """An account as it was opened; the same for every repeat of the request."""

    account: str
    meter: str
    tariff: str
    currency: str
    price_mu_per_kwh: int
    opened_at: Instant


class TopUpReceipt(View, frozen=True):
    """A payment as it was booked; `balance_mu` is the wallet right after it."""

    id: UUID
    account: str
    amount_mu: int
    balance_mu: int
    currency: str
    posted_at: Instant


class Transfer(View, frozen=True):
    """One line of the ledger; it is never changed, a correction is a further line.

    `step`: posted, pending, post or void. What is pending is reserved until a line posts or voids
    it; only posted and post move money.
    """

    id: UUID
    account: str
    code: str
    debit: str
    credit: str
    amount_mu: int
    value_at: Instant
    posted_at: Instant
    ref: dict[str, Any]
    step: str


class Event(View, frozen=True):
    """Something that happened, as a gateway, a meter or the head-end reported it."""

    id: int
    at: Instant
    kind: str
    meter: str | None
    gateway: str | None
    detail: dict[str, Any]


class MeterReadSuccess(View, frozen=True):
    """One meter's part of a read-success report."""

    meter: str
    interval_s: int
    expected: int
    stored: int


class ReadSuccess(View, frozen=True):
    """Stored against expected intervals in a window.

    `expected` is the denominator: for each meter the interval ENDs in (`period_from`, `period_to`],
    counted from its registration, or from its first stored interval when it was registered later
    than that. `stored` counts those of them with at least one value of `channel`. A meter with
    nothing in the window that was registered after it counts in `meters_not_counted`. `newest` is
    the newest value of `channel` in the fleet that bears a trusted stamp of its meter.
    """

    period_from: Instant
    period_to: Instant
    newest: Instant | None
    channel: str
    meters: int
    meters_not_counted: int
    expected: int
    stored: int
    ratio_ppm: int | None
    worst: list[MeterReadSuccess]


class Health(View, frozen=True):
    """Whether the server can do its work."""

    status: str
    detail: str = ""


_KINDS = (
    Meter,
    Reading,
    Gateway,
    Topology,
    Quarantined,
    CommandReceipt,
    Command,
    Firmware,
    Tariff,
    Account,
    AccountReceipt,
    TopUpReceipt,
    Transfer,
    Event,
    ReadSuccess,
    Health,
)
PAGED = (Meter, Reading, Gateway, Quarantined, Command, Firmware, Tariff, Account, Transfer, Event)


def schemas(
    kinds: tuple[type[View], ...] = _KINDS, paged: tuple[type[View], ...] = PAGED
) -> dict[str, Any]:
    """The JSON schemas of answers by name, and of a page of each kind that comes in pages."""
    found: dict[str, Any] = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )[1]
    for kind in paged:
        found[f"{kind.__name__}Page"] = {
            "title": f"{kind.__name__}Page",
            "type": "object",
            "required": ["items", "next"],
            "properties": {
                "items": {
                    "type": "array",
                    "items": {"$ref": f"#/components/schemas/{kind.__name__}"},
                },
                "next": {
                    "description": "cursor of the next page, null on the last",
                    "anyOf": [{"type": "string"}, {"type": "null"}],
                },
            },
        }
    return found
