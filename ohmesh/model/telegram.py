"""What travels from a gateway to the head-end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ohmesh.model.ids import Address


class TelegramKind(IntEnum):
    """Who speaks in the payload."""

    METER = 0
    """A meter: bytes of its profile, or a sealed meter message when the meter has a key."""
    TOPOLOGY = 1
    """The gateway: its routes (`ohmesh.wire.report.TopologyReport`)."""
    DELIVERY = 2
    """The gateway: what became of a command on its way (`ohmesh.wire.report.DeliveryReport`)."""
    POWER = 3
    """The gateway: whose supply went or came back, as its mesh heard it (`PowerReport`, there)."""


@dataclass(frozen=True, slots=True)
class Telegram:
    """One message of one source, opaque to the gateway.

    Attributes:
        kind: who speaks.
        source: the gateway's driver: `mesh`, `p1`, `modbus`, `bench` ...
        meter: the meter's address at this gateway; empty when the gateway itself speaks.
        profile: hint for the decoder, empty when the gateway does not know.
        received_at_ms: UTC milliseconds since 1970 when the gateway took it.
        payload: the bytes.
    """

    kind: TelegramKind
    source: str
    meter: Address
    profile: str
    received_at_ms: int
    payload: bytes
