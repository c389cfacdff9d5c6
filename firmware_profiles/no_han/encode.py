"""Aidon lists from reports: each value with OBIS, scaler and unit, in one HDLC frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.clock import date_time_bytes
from firmware_profiles.codecs.hdlc import LLC_RESPONSE, Frame
from firmware_profiles.codecs.units import DLMS_UNITS
from ohmesh.model.errors import ProfileError
from ohmesh.model.obis import Obis
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from datetime import tzinfo

    from firmware_profiles.api import ProfileSpec, Report
    from ohmesh.model.reading import Reading

_NOTIFICATION = bytes.fromhex("0f4000000000")
"""DataNotification, invoke id 40000000, no stamp of its own."""
_DESTINATION, _SOURCE, _UI = b"\x41", b"\x08\x83", 0x13
_CLOCK = Obis.parse("0-0:1.0.0")
_METER_ID = Obis.parse("0-0:96.1.0")
_UNIT_CODES = {unit: code for code, (unit, exponent) in DLMS_UNITS.items() if exponent == 0}
_UNIT_CODES |= {Unit.M3: 13}
_WIDTHS = {Unit.A: axdr.INT16, Unit.V: axdr.UINT16}
"""Aidon writes currents as long, voltages as long-unsigned, all else in 32 bits."""


def value_entry(obis: Obis, value: int, scaler: int, unit: Unit) -> bytes:
    """One value of a list: structure of OBIS, number, and structure of scaler and unit.

    Raises:
        OverflowError: a value that does not fit its type.
    """
    tag = _WIDTHS.get(unit, axdr.INT32 if value < 0 else axdr.UINT32)
    scaler_unit = axdr.structure(axdr.int8(scaler), axdr.enum(_UNIT_CODES[unit]))
    return axdr.structure(axdr.octets(obis.to_bytes()), axdr.integer(tag, value), scaler_unit)


def text_entry(obis: Obis, text: str) -> bytes:
    """One text of a list."""
    return axdr.structure(axdr.octets(obis.to_bytes()), axdr.visible(text))


def clock_entry(octets: bytes) -> bytes:
    """The clock of a list."""
    return axdr.structure(axdr.octets(_CLOCK.to_bytes()), axdr.octets(octets))


def frame_of(entries: list[bytes]) -> bytes:
    """An Aidon list as it comes from the HAN port."""
    apdu = _NOTIFICATION + axdr.array(*entries)
    return Frame(_DESTINATION, _SOURCE, _UI, LLC_RESPONSE + apdu).to_bytes()


def telegram_of(report: Report, spec: ProfileSpec, zone: tzinfo) -> bytes:
    """The telegram for a report. Raises ProfileError for what the list cannot hold."""
    entries = [
        clock_entry(date_time_bytes(report.time, zone)),
        text_entry(_METER_ID, report.meter),
    ]
    entries += [_reading_entry(reading, spec) for reading in report.readings]
    try:
        return frame_of(entries)
    except ValueError as error:
        raise ProfileError(f"{spec.name}: {error}") from error


def _reading_entry(reading: Reading, spec: ProfileSpec) -> bytes:
    register = reading.register
    if register.channel not in spec.registers:
        raise ProfileError(f"{spec.name} has no channel {register.channel}")
    try:
        return value_entry(register.obis, reading.value, register.scaler, register.unit)
    except OverflowError as error:
        raise ProfileError(f"{spec.name}: {register.channel} = {reading.value}: {error}") from error
