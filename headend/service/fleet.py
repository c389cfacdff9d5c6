"""Meters and gateways: what the head-end must know before their data is readings.

Registering twice with the same content gives the first id; with other content it is a Conflict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from firmware_profiles import registry
from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import Conflict, ModelError
from ohmesh.model.ids import Address, GatewayId, MeterId, address, gateway_id, meter_id

if TYPE_CHECKING:
    from headend.store.plan import Row

SQL: Final = Queries("headend.service", "fleet.sql")
INTERVAL_S_MIN, INTERVAL_S_MAX = 60, 86_400


@dataclass(frozen=True, slots=True)
class NewMeter:
    """A meter to register.

    Attributes:
        name: its id in the head-end.
        address: how gateways name it (`ohmesh.model.ids.mesh_address` for a mesh node); for a
            meter with its own modem the same as its name.
        profile: name of an installed profile.
        interval_s: load-profile interval, 60..86400.
        key_sealed: its key under the key-encryption key (`headend.keystore`); None: plain.
        service_point: name of a service point of the tenant, which must exist.
        market_keys_sealed: the keys of its market's encryption, kept the same way.
    """

    name: MeterId
    address: Address
    profile: str
    interval_s: int
    key_sealed: bytes | None = None
    service_point: str | None = None
    market_keys_sealed: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewGateway:
    """A gateway to register; x_m, y_m: metres on the utility's map."""

    name: GatewayId
    node: int | None = None
    x_m: float | None = None
    y_m: float | None = None


def register_meter(tenant_id: int, meter: NewMeter) -> Plan[int]:
    """Make a meter known.

    Returns: its number in the store.
    Raises: ModelError, ProfileError: bad content. Conflict: name or address is taken.
    """
    _check(meter)
    made = first(
        (
            yield SQL(
                "insert_meter",
                tenant_id=tenant_id,
                name=meter.name,
                address=meter.address,
                profile=meter.profile,
                service_point=meter.service_point,
                interval_s=meter.interval_s,
                key_sealed=meter.key_sealed,
                market_keys_sealed=meter.market_keys_sealed,
            )
        )
    )
    if made:
        return int(made["id"])
    known = first((yield SQL("find_meter", tenant_id=tenant_id, name=meter.name)))
    if known is None or not _same_meter(known, meter):
        raise Conflict(f"the meter {meter.name} or the address {meter.address} exists already")
    return int(known["id"])


def _check(meter: NewMeter) -> None:
    meter_id(meter.name)
    address(meter.address)
    registry.load(meter.profile)
    if not INTERVAL_S_MIN <= meter.interval_s <= INTERVAL_S_MAX:
        raise ModelError(f"an interval of {meter.interval_s} s is not in 60..86400")


def _same_meter(known: Row, meter: NewMeter) -> bool:
    return all(
        known[field] == getattr(meter, field)
        for field in ("address", "profile", "interval_s", "key_sealed", "market_keys_sealed")
    )


def lock_meter(tenant_id: int, name: str) -> Plan[int | None]:
    """The version of a meter, which nobody changes until the transaction ends; None: no such."""
    row = first((yield SQL("lock_meter", tenant_id=tenant_id, name=name)))
    return None if row is None else int(row["version"])


def change_meter(
    tenant_id: int,
    name: str,
    *,
    profile: str | None = None,
    interval_s: int | None = None,
    service_point: str | None = None,
    key_sealed: bytes | None = None,
    market_keys_sealed: bytes | None = None,
) -> Plan[bool]:
    """Change what is given; quarantined telegrams of the meter are then decoded again.

    Returns: whether anything is another now. Raises: ProfileError, ModelError.
    """
    if profile is not None:
        registry.load(profile)
    if service_point is not None:
        yield from _check_place(tenant_id, service_point)
    rows = yield SQL(
        "change_meter",
        tenant_id=tenant_id,
        name=name,
        profile=profile,
        interval_s=interval_s,
        service_point=service_point,
        key_sealed=key_sealed,
        market_keys_sealed=market_keys_sealed,
    )
    return bool(rows)


def _check_place(tenant_id: int, name: str) -> Plan[None]:
    if not (yield SQL("find_service_point", tenant_id=tenant_id, name=name)):
        raise ModelError(f"no service point {name}")


def add_service_point(
    tenant_id: int,
    name: str,
    *,
    zone: str = "UTC",
    x_m: float | None = None,
    y_m: float | None = None,
) -> Plan[int]:
    """The service point of a name, made when absent. Returns its number in the store."""
    rows = yield SQL(
        "insert_service_point", tenant_id=tenant_id, name=name, zone=zone, x_m=x_m, y_m=y_m
    )
    return int(rows[0]["id"])


def register_gateway(tenant_id: int, gateway: NewGateway) -> Plan[int]:
    """Make a gateway known; from now on its batches are taken.

    Returns: its number in the store. Raises: ModelError, or Conflict when the name is taken.
    """
    gateway_id(gateway.name)
    made = first(
        (
            yield SQL(
                "insert_gateway",
                tenant_id=tenant_id,
                name=gateway.name,
                node=gateway.node,
                x_m=gateway.x_m,
                y_m=gateway.y_m,
            )
        )
    )
    if made:
        return int(made["id"])
    known = first((yield SQL("find_gateway", tenant_id=tenant_id, name=gateway.name)))
    if known is None or known["node"] != gateway.node:
        raise Conflict(f"the gateway {gateway.name} exists already")
    return int(known["id"])
