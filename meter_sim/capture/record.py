"""One captured message, and what a capture says of itself."""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

RETAIN = 4
"""Flag: an MQTT message that the broker kept. The two bits below it are the QoS."""
MQTT, SERIAL, BENCH = "mqtt", "serial", "bench"
"""Kinds of channels: a topic, a serial line, a gateway's bench port."""
_Int63 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Clock(IntEnum):
    """What the times of a capture count."""

    REAL = 0
    """Microseconds since 1970 by the clock of the machine that recorded."""
    VIRTUAL = 1
    """Microseconds since 1970 of a simulation: the same in every run."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a capture says of itself.

    Attributes:
        made_by: program and version.
        config_sha256: hex digest of the configuration that produced it; empty when unknown.
        seed: of the simulation behind it; None for the real world.
        clock: what `Record.at_us` counts.
        base_us: time zero of the run, microseconds since 1970.
        note: whatever the person who recorded wants to say.
    """

    made_by: str = ""
    config_sha256: str = ""
    seed: int | None = None
    clock: Clock = Clock.REAL
    base_us: _Int63 = 0
    note: str = ""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One message.

    Attributes:
        at_us: when, microseconds since 1970, by the header's clock.
        channel: where: `mqtt TOPIC`, `serial NAME`, `bench NAME`.
        payload: the bytes.
        flags: for MQTT the QoS in bits 0 and 1, and RETAIN.
    """

    at_us: int
    channel: str
    payload: bytes
    flags: int = 0

    @property
    def kind(self) -> str:
        """The channel's first word."""
        return self.channel.partition(" ")[0]

    @property
    def place(self) -> str:
        """The rest of the channel: topic, port or name."""
        return self.channel.partition(" ")[2]

    @property
    def qos(self) -> int:
        """MQTT quality of service, 0 to 2."""
        return self.flags & 3


_encoder = msgspec.msgpack.Encoder()


def digest(records: Iterable[Record]) -> str:
    """SHA-256 over the records, in order; it does not depend on blocks or compression."""
    found = hashlib.sha256()
    for record in records:
        found.update(_encoder.encode(record))
    return found.hexdigest()


def config_digest(config: object) -> str:
    """The header's `config_sha256` of anything that msgspec can encode."""
    return hashlib.sha256(msgspec.json.encode(config, order="deterministic")).hexdigest()
