"""Many meters, or their history, at once: each row by itself is added, there already, or refused.

A row that is there with the same content counts as unchanged, so a file may be sent again; one that
is there with other content is refused and changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from firmware_profiles import canonical, registry
from headend.store.plan import Plan, Queries
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from headend.service.fleet import NewMeter
    from headend.store.plan import Row, Statement

SQL: Final = Queries("headend.service", "imports.sql")
ADDED, UNCHANGED = "added", "unchanged"
Outcomes: TypeAlias = "list[str]"
"""Of each row, in order: ADDED, UNCHANGED, or why it was refused."""
_VALUE_MAX: Final = 2**63 - 1
_PREFIXES: Final = {"": 0, "k": 3, "M": 6, "G": 9}


@dataclass(frozen=True, slots=True)
class Place:
    """A service point to make or to change; None leaves what is there."""

    name: str
    zone: str | None = None
    x_m: float | None = None
    y_m: float | None = None
    transformer: str | None = None
    feeder: str | None = None
    area: str | None = None

    def over(self, older: Place | None) -> Place:
        """This with what only an older word about the place said."""
        return self if older is None else Place(**asdict(older) | _said(self))


def _said(place: Place) -> dict[str, Any]:
    return {name: value for name, value in asdict(place).items() if value is not None}


@dataclass(frozen=True, slots=True)
class OldReading:
    """A reading of the past: `quantity` in `unit`, or in the channel's own when that is empty."""

    meter: str
    channel: str
    time: datetime
    quantity: Decimal
    unit: str = ""
    flags: int = 0


def import_meters(
    tenant_id: int, meters: Sequence[NewMeter], places: Iterable[Place]
) -> Plan[Outcomes]:
    """Make meters known with their service points; no two of one name."""
    yield from _put_places(tenant_id, list(places))
    faults = {profile: _profile_fault(profile) for profile in {one.profile for one in meters}}
    fit = [one for one in meters if not faults[one.profile]]
    made = {row["name"] for row in (yield _add_meters(tenant_id, fit))}
    names = [one.name for one in fit if one.name not in made]
    known = {
        row["name"]: row for row in (yield SQL("meters_named", tenant_id=tenant_id, names=names))
    }
    return [
        faults[one.profile] or (ADDED if one.name in made else _held(known.get(one.name), one))
        for one in meters
    ]


def _put_places(tenant_id: int, places: list[Place]) -> Plan[None]:
    if not places:
        return
    columns = {
        "names": [one.name for one in places],
        "zones": [one.zone for one in places],
        "x_m": [one.x_m for one in places],
        "y_m": [one.y_m for one in places],
        "transformers": [one.transformer for one in places],
        "feeders": [one.feeder for one in places],
        "areas": [one.area for one in places],
    }
    yield SQL("move_service_points", tenant_id=tenant_id, **columns)
    yield SQL("add_service_points", tenant_id=tenant_id, **columns)


def _profile_fault(profile: str) -> str:
    try:
        registry.load(profile)
    except ProfileError as error:
        return str(error)
    return ""


def _add_meters(tenant_id: int, meters: Sequence[NewMeter]) -> Statement:
    return SQL(
        "add_meters",
        tenant_id=tenant_id,
        names=[one.name for one in meters],
        addresses=[one.address for one in meters],
        profiles=[one.profile for one in meters],
        places=[one.service_point for one in meters],
        intervals_s=[one.interval_s for one in meters],
        keys=[one.key_sealed for one in meters],
        market_keys=[one.market_keys_sealed for one in meters],
    )


def _held(known: Row | None, meter: NewMeter) -> str:
    fields = ("address", "profile", "interval_s", "key_sealed", "market_keys_sealed")
    if known is not None and all(known[field] == getattr(meter, field) for field in fields):
        return UNCHANGED
    return (
        f"the meter {meter.name} or the address {meter.address} exists already, with other content"
    )


def import_readings(tenant_id: int, readings: Sequence[OldReading]) -> Plan[Outcomes]:
    """Add readings of the past; no two of one meter, channel and time."""
    meters = yield from _meters(tenant_id, {one.meter for one in readings})
    channels = yield from _channels({one.channel for one in readings})
    outcomes, fit = [ADDED] * len(readings), []
    for at, one in enumerate(readings):
        try:
            fit.append((at, *_resolved(one, meters, channels)))
        except LookupError as error:
            outcomes[at] = str(error.args[0])
    if not fit:
        return outcomes
    held = yield SQL(
        "add_readings",
        meters=[row[1] for row in fit],
        channels=[row[2] for row in fit],
        times=[readings[row[0]].time for row in fit],
        amounts=[row[3] for row in fit],
        flags=[readings[row[0]].flags for row in fit],
    )
    for row in held:
        at, _, _, amount = fit[row["place"] - 1]
        same = row["held"] == amount
        outcomes[at] = UNCHANGED if same else f"there is another value: {row['held']}"
    return outcomes


def _meters(tenant_id: int, names: set[str]) -> Plan[dict[str, int]]:
    rows = yield SQL("meters_named", tenant_id=tenant_id, names=sorted(names))
    return {row["name"]: row["id"] for row in rows}


def _channels(names: set[str]) -> Plan[dict[str, list[Row]]]:
    """Rows of the dictionary by name; a canonical name that nobody used yet is entered."""
    table = canonical.table()
    rows = yield SQL("channels", names=sorted(names))
    absent = sorted(names & table.keys() - {row["name"] for row in rows})
    for name in absent:
        own = table[name].register
        yield SQL(
            "add_channel", name=name, obis=str(own.obis), unit=own.unit.value, scaler=own.scaler
        )
    if absent:
        rows = yield SQL("channels", names=sorted(names))
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["name"], []).append(row)
    return found


def _resolved(
    one: OldReading, meters: Mapping[str, int], channels: Mapping[str, list[Row]]
) -> tuple[int, int, int]:
    """Numbers of meter and channel, and the value as an integer. Raises LookupError: the reason."""
    if one.meter not in meters:
        raise LookupError(f"no meter {one.meter!r}")
    if one.channel not in channels:
        raise LookupError(f"no channel {one.channel!r}: GET /v1/channels lists them")
    for row in channels[one.channel]:
        amount = _amount(one, row)
        if amount is not None:
            return meters[one.meter], row["id"], amount
    kinds = ", ".join(f"10^{row['scaler']} {row['unit']}" for row in channels[one.channel])
    raise LookupError(f"{one.quantity} {one.unit} is no whole number of {kinds}")


def _amount(one: OldReading, channel: Row) -> int | None:
    unit = str(channel["unit"])
    given = one.unit or unit
    if not given.endswith(unit) or given.removesuffix(unit) not in _PREFIXES:
        return None
    power = _PREFIXES[given.removesuffix(unit)]
    amount = one.quantity.scaleb(power - channel["scaler"])
    whole = amount == amount.to_integral_value() and abs(amount) <= _VALUE_MAX
    return int(amount) if whole else None
