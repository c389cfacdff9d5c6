"""Head-end -> gateway: one command on its way to one meter, sealed for that meter.

The deadline and the ids travel inside the message: nothing rests on MQTT expiry or correlation
data alone. The gateway drops what is past its deadline and answers each message with a
`DeliveryReport` that rides up as a telegram.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ohmesh.wire import envelope

_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_Approval = tuple[
    Annotated[str, msgspec.Meta(max_length=64)],
    Annotated[int, msgspec.Meta(ge=0, le=2**40)],
    Annotated[bytes, msgspec.Meta(max_length=64)],
]


class DownMessage(msgspec.Struct, array_like=True, frozen=True):
    """One command.

    Attributes:
        command: the command's id, 16 bytes.
        meter: the meter's address at this gateway.
        not_after_s: UTC seconds since 1970; later than that nobody sends or executes it.
        priority: 0 bulk .. 3 relay commands.
        payload: the bytes for the meter, sealed (`ohmesh.wire.sealed`); at most 140 for a mesh.
        release: of a payload that takes supply away, the gate's word (`ohmesh.wire.release`).
        approvals: of such a payload, people's words under `release:<command id>`: name,
            not_after_s, signature. A gateway whose limit is reached asks for two.
    """

    command: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    meter: _Id
    not_after_s: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    priority: Annotated[int, msgspec.Meta(ge=0, le=3)]
    payload: Annotated[bytes, msgspec.Meta(max_length=4096)]
    release: Annotated[bytes, msgspec.Meta(max_length=512)] = b""
    approvals: Annotated[tuple[_Approval, ...], msgspec.Meta(max_length=4)] = ()


_decoder = msgspec.msgpack.Decoder(DownMessage)


def encode_down(message: DownMessage) -> bytes:
    """One downlink message."""
    return envelope.pack(message)


def decode_down(octets: bytes) -> DownMessage:
    """The message in the bytes. Raises a WireError, whatever the bytes."""
    return envelope.unpack(octets, _decoder)
