"""What a gateway says of itself, as the payload of a telegram: TOPOLOGY, DELIVERY or POWER."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import msgspec

from ohmesh.wire import envelope

_Node = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
MAX_ROUTES = 5000
MAX_POWER_NODES = 5000


class Route(msgspec.Struct, array_like=True, frozen=True):
    """One node's way to the gateway: its preferred parent, the link's ETX and the hop count."""

    node: _Node
    parent: _Node
    etx_128ths: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    hops: Annotated[int, msgspec.Meta(ge=0, le=255)]


class TopologyReport(msgspec.Struct, array_like=True, frozen=True):
    """The routes of one gateway now; `root` is its own node number."""

    root: _Node
    routes: Annotated[list[Route], msgspec.Meta(max_length=MAX_ROUTES)]


class DeliveryStatus(IntEnum):
    """What became of a DownMessage at the gateway."""

    DELIVERED = 0
    NO_ROUTE = 1
    EXPIRED = 2
    REFUSED = 3
    """Malformed, too long, or over the gateway's own limit."""


class DeliveryReport(msgspec.Struct, array_like=True, frozen=True):
    """The gateway's answer to one DownMessage."""

    command: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    status: DeliveryStatus
    detail: Annotated[str, msgspec.Meta(max_length=200)] = ""


class PowerReport(msgspec.Struct, array_like=True, frozen=True):
    """Nodes of the mesh that said with their last energy that supply is lost, or that it is back.

    No meter's seal is on it: there is no energy for one. It may raise an alarm, and nothing else.
    """

    restored: bool
    nodes: Annotated[list[_Node], msgspec.Meta(min_length=1, max_length=MAX_POWER_NODES)]


_topology_decoder = msgspec.msgpack.Decoder(TopologyReport)
_delivery_decoder = msgspec.msgpack.Decoder(DeliveryReport)
_power_decoder = msgspec.msgpack.Decoder(PowerReport)


def encode_report(report: TopologyReport | DeliveryReport | PowerReport) -> bytes:
    """One report as a telegram's payload."""
    return envelope.pack(report)


def decode_topology(octets: bytes) -> TopologyReport:
    """The report in the bytes. Raises a WireError, whatever the bytes."""
    return envelope.unpack(octets, _topology_decoder)


def decode_delivery(octets: bytes) -> DeliveryReport:
    """The report in the bytes. Raises a WireError, whatever the bytes."""
    return envelope.unpack(octets, _delivery_decoder)


def decode_power(octets: bytes) -> PowerReport:
    """The report in the bytes. Raises a WireError, whatever the bytes."""
    return envelope.unpack(octets, _power_decoder)
