"""What a simulated meter is, what it says, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

from meter_sim.firmware import FirmwareState
from meter_sim.registers import Registers  # noqa: TC001 - msgspec reads the annotations
from meter_sim.tokenslot import TokenMemory
from ohmesh.model import relay
from ohmesh.model.command import RelayState  # noqa: TC001 - msgspec reads the annotations
from ohmesh.wire.commandbody import RATES

if TYPE_CHECKING:
    from firmware_profiles.api import Profile
    from meter_sim.household import Household
    from ohmesh.model.reading import Reading


class Priority(IntEnum):
    """How the mesh orders a message against others."""

    REPORT = 0
    EVENT = 2
    RESULT = 3


@dataclass(frozen=True, slots=True)
class MeterConfig:
    """What a meter is.

    Attributes:
        meter: its name in the head-end.
        address: its address at a gateway; sealed messages are bound to it.
        key: the key it shares with the head-end, 16 bytes; until it is given another.
        profile: what it speaks.
        interval_s: its load-profile interval.
        household: whose energy it counts.
        control_mode: of its relay (`ohmesh.model.relay`).
        decoder_key: of its tokens, 8 or 16 bytes; empty: it takes none.
        prepaid: whether it switches off by itself when its credit is used up.
        maker_key: Ed25519 public key of who makes its firmware; empty: it takes none.
        drift_ms: how far its clock is ahead when it is new.
    """

    meter: str
    address: str
    key: bytes
    profile: Profile
    interval_s: int
    household: Household
    control_mode: int = relay.DIRECT_RECONNECT
    decoder_key: bytes = b""
    prepaid: bool = False
    maker_key: bytes = b""
    drift_ms: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A sealed message for the head-end.

    Attributes:
        payload: the bytes.
        priority: how the mesh orders it.
        readings: what it newly says, with the times of the readings; empty for a result.
    """

    payload: bytes
    priority: Priority
    readings: tuple[Reading, ...] = ()


class MeterState(msgspec.Struct):
    """All that a meter remembers over a restart.

    Attributes:
        registers: what it has counted.
        relay: the control state of its supply switch.
        counter: the next counter of the seal.
        read_ms: the moment of the last report.
        fence: sequence of the last relay command executed, -1 before the first.
        results: command id -> encoded result, oldest first.
        reports: reports produced so far.
        readings: values in them.
        closed_ms: end of the last interval closed; none is closed twice when the clock goes back.
        drift_ms: how far its clock is ahead of the calendar.
        fences: kind -> sequence of the last one executed, for what sets something.
        key: of its seal; empty: the one it came with.
        old_key: the one before, until the head-end has used the new one.
        tariff: the table in force, encoded; empty: one rate.
        rates_wms: drawn at each rate, watt x milliseconds.
        tokens: what its token reader keeps.
        firmware: what runs, and what is on its way.
        tamper_wms: drawn while off and not yet told of.
    """

    registers: Registers
    relay: RelayState
    counter: int = 0
    read_ms: int = 0
    fence: int = -1
    results: dict[bytes, bytes] = msgspec.field(default_factory=dict)
    reports: int = 0
    readings: int = 0
    closed_ms: int = 0
    drift_ms: int = 0
    fences: dict[int, int] = msgspec.field(default_factory=dict)
    key: bytes = b""
    old_key: bytes = b""
    tariff: bytes = b""
    rates_wms: list[int] = msgspec.field(default_factory=lambda: [0] * len(RATES))
    tokens: TokenMemory = msgspec.field(default_factory=TokenMemory)
    firmware: FirmwareState = msgspec.field(default_factory=FirmwareState)
    tamper_wms: int = 0
