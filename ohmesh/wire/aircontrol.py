"""Faults for simulated nodes, and what a process of simulated meters says of itself; both JSON.

`AirControl` on `topics.air_ctl(net, node)`, QoS 1, not retained, such as `{"action": "kill"}`.
The ether obeys `kill`, `revive` and `loss`; `ohmesh sim fleet` obeys all but `loss`.
`AirStatus` on `topics.air_status(net, listener)`, QoS 0, about once a second and after a change.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from ohmesh.model.errors import Malformed

_Node = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class AirAction(StrEnum):
    """What is to happen."""

    KILL = "kill"
    """The node's radio and mesh processor die; its metering goes on, unless `meter` is true."""
    REVIVE = "revive"
    """The node boots again from what it had stored."""
    LOSS = "loss"
    """Links of the node lose `loss_percent` of all frames; null gives the radio model back."""
    STOP = "stop"
    """Meters close no further interval; on node 0, for the whole network."""
    STICK = "stick"
    """The contact of the meter's relay does not move; unless `on`, it does again."""
    BYPASS = "bypass"
    """A wire lies around the relay; unless `on`, it is gone."""
    EVENT = "event"
    """The meter notices an `event` and tells it, such as `cover_opened`."""


class AirControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One order.

    Attributes:
        action: what is to happen.
        meter: KILL: stop the metering too.
        peer: LOSS: only the link to this node; None means all links.
        loss_percent: LOSS: 0..100, None for the radio model.
        on: STICK, BYPASS: it is so; False mends it.
        event: EVENT: its kind.
    """

    action: AirAction
    meter: bool = False
    peer: _Node | None = None
    loss_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    on: bool = True
    event: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None = None


class AirStatus(msgspec.Struct, frozen=True):
    """A process of simulated meters, now.

    Attributes:
        listener: its name on the air.
        meters: meters in this process.
        alive: meters whose mesh processor runs.
        joined: meters with a route to a gateway.
        reports: reports produced since the first start.
        readings: values in these reports; lines of the truth file.
        backlog: reports that no gateway has acknowledged yet.
        stopped: no further interval will be closed.
        time: the calendar's time, UTC, ISO 8601.
    """

    listener: str
    meters: _Count
    alive: _Count
    joined: _Count
    reports: _Count
    readings: _Count
    backlog: _Count
    stopped: bool
    time: str


_encoder = msgspec.json.Encoder()
_control_decoder = msgspec.json.Decoder(AirControl)
_status_decoder = msgspec.json.Decoder(AirStatus)


def encode_control(message: AirControl | AirStatus) -> bytes:
    """One order or one status."""
    return _encoder.encode(message)


def decode_control(octets: bytes) -> AirControl:
    """Raises Malformed, whatever the bytes."""
    try:
        return _control_decoder.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from error


def decode_status(octets: bytes) -> AirStatus:
    """Raises Malformed, whatever the bytes."""
    try:
        return _status_decoder.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from error
