"""The simulated radio over MQTT: what the ether lets the nodes of one process hear.

Sent by `ohmesh sim ether` to `topics.air_rx(net, listener)`; a transmission is the bare frame on
`topics.air_tx(net, node)`. Every process of nodes announces itself and its nodes on
`topics.air_rx(net, "hello")`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ohmesh.wire import envelope

_Node = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class Heard(msgspec.Struct, array_like=True, frozen=True):
    """One frame at one receiver: RSSI in dBm, the ether's time stamp in microseconds."""

    node: _Node
    rssi_dbm: Annotated[int, msgspec.Meta(ge=-200, le=50)]
    t_us: int
    frame: Annotated[bytes, msgspec.Meta(max_length=512)]


class HeardBatch(msgspec.Struct, array_like=True, frozen=True):
    """Frames for the nodes of one process."""

    heard: list[Heard]


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """A process of nodes: its listener name and its nodes."""

    listener: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    nodes: Annotated[list[_Node], msgspec.Meta(max_length=100_000)]


_heard_decoder = msgspec.msgpack.Decoder(HeardBatch)
_hello_decoder = msgspec.msgpack.Decoder(Hello)


def encode_air(message: HeardBatch | Hello) -> bytes:
    """One message of the ether or to it."""
    return envelope.pack(message)


def decode_heard(octets: bytes) -> HeardBatch:
    """Raises a WireError, whatever the bytes."""
    return envelope.unpack(octets, _heard_decoder)


def decode_hello(octets: bytes) -> Hello:
    """Raises a WireError, whatever the bytes."""
    return envelope.unpack(octets, _hello_decoder)
