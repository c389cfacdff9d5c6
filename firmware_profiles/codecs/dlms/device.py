"""The logical device of a simulated meter, built from a profile's data.

A register for each channel, the clock, the load profile of the reported channels, the supply
switch, and the objects that a client needs to find its way: logical device name and, readable by
anyone, the invocation counter that the next session has to exceed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.lists import number
from firmware_profiles.codecs.dlms.objects.control import DisconnectControl
from firmware_profiles.codecs.dlms.objects.measure import (
    Clock,
    Column,
    ProfileGeneric,
    data,
    register,
)
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, tzinfo

    from firmware_profiles.api import ProfileSpec
    from firmware_profiles.codecs.dlms.objects.base import Attribute, CosemObject
    from ohmesh.model.reading import Register

LOAD_PROFILE = Obis.parse("1-0:99.1.0")
LOGICAL_DEVICE_NAME = Obis.parse("0-0:42.0.0")
INVOCATION_COUNTER = Obis.parse("0-0:43.1.0")
_RELAY = "relay.state"
_DAYS_KEPT = 60
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Device:
    """A simulated meter's objects, and the ones that its program works with.

    Attributes:
        objects: all of them, for `Server`.
        clock: the meter's clock.
        profile: the load profile; call `capture` at the end of each interval.
        relay: the supply switch.
    """

    objects: tuple[CosemObject, ...]
    clock: Clock
    profile: ProfileGeneric
    relay: DisconnectControl


def build_device(
    spec: ProfileSpec,
    *,
    meter: str,
    zone: tzinfo,
    value: Callable[[str, datetime], int],
    counter: Callable[[], int],
) -> Device:
    """The device of a meter.

    Args:
        spec: of its profile.
        meter: logical device name, 16 characters at most by the standard.
        zone: of its clock.
        value: channel and UTC time -> integer at the register's scaler.
        counter: highest invocation counter of the client so far.
    """
    clock, relay = Clock(zone), DisconnectControl()
    registers = {
        channel: _register(channel, known, value)
        for channel, known in spec.registers.items()
        if channel != _RELAY
    }
    profile = ProfileGeneric(
        LOAD_PROFILE,
        [Column(clock, 2), *(Column(registers[channel], 2) for channel in spec.reported)],
        period_s=spec.interval_s,
        entries_max=_DAYS_KEPT * _DAY_S // spec.interval_s,
    )
    name = data(LOGICAL_DEVICE_NAME, axdr.octets(meter.encode()), public=True)
    floor = data(INVOCATION_COUNTER, lambda _now: axdr.uint32(counter()), public=True)
    objects = (name, floor, clock, relay, profile, *registers.values())
    return Device(objects, clock, profile, relay)


def _register(channel: str, known: Register, value: Callable[[str, datetime], int]) -> CosemObject:
    def encoded(now: datetime) -> bytes:
        return number(value(channel, now), known.unit)

    attribute: Attribute = encoded
    return register(known.obis, attribute, scaler=known.scaler, unit=known.unit)
