"""Push lists from reports: the two shapes that name every value.

By OBIS, as Aidon writes it: array of (obis, value, (scaler, unit)). By description, as Landis+Gyr
writes it: structure of the descriptions, then the values alone.
"""

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

UNIT_CODES = {unit: code for code, (unit, exponent) in DLMS_UNITS.items() if exponent == 0} | {
    Unit.M3: 13,
    Unit.M3_PER_H: 15,
    Unit.COUNT: 255,
    Unit.CODE: 255,
}
"""Base unit -> DLMS unit code; where two codes have the unit, the one without correction."""
_NOTIFICATION = bytes.fromhex("0f40000000")
"""DataNotification, invoke id 40000000."""
_CLOCK = Obis.parse("0-0:1.0.0")
_METER_ID = Obis.parse("0-0:96.1.0")
_LOGICAL_NAME = Obis.parse("0-0:42.0.0")
_PUSH_SETUP = Obis.parse("0-0:25.9.0")
_CLASS_DATA, _CLASS_REGISTER, _CLASS_PUSH = 1, 3, 40
_WIDTHS = {Unit.A: axdr.INT16, Unit.V: axdr.UINT16}
"""Currents are written as long, voltages as long-unsigned, all else in 32 bits."""
_HDLC_UI = 0x13


def number(value: int, unit: Unit) -> bytes:
    """A value in the type of its unit. Raises OverflowError when it does not fit."""
    return axdr.integer(_WIDTHS.get(unit, axdr.INT32 if value < 0 else axdr.UINT32), value)


def value_entry(obis: Obis, value: int, scaler: int, unit: Unit) -> bytes:
    """One value by OBIS: structure of name, number, and structure of scaler and unit."""
    scaler_unit = axdr.structure(axdr.int8(scaler), axdr.enum(UNIT_CODES[unit]))
    return axdr.structure(axdr.octets(obis.to_bytes()), number(value, unit), scaler_unit)


def text_entry(obis: Obis, text: str) -> bytes:
    """One text by OBIS."""
    return axdr.structure(axdr.octets(obis.to_bytes()), axdr.visible(text))


def clock_entry(octets: bytes) -> bytes:
    """The clock by OBIS."""
    return axdr.structure(axdr.octets(_CLOCK.to_bytes()), axdr.octets(octets))


def notification(body: bytes, date_time: bytes = b"") -> bytes:
    """A DataNotification APDU."""
    return _NOTIFICATION + bytes((len(date_time),)) + date_time + body


def framed(apdu: bytes, *, destination: bytes, source: bytes) -> bytes:
    """An APDU behind the LLC header in one unnumbered HDLC frame. Raises ValueError above 2 KiB."""
    return Frame(destination, source, _HDLC_UI, LLC_RESPONSE + apdu).to_bytes()


def list_by_obis(report: Report, spec: ProfileSpec, zone: tzinfo) -> bytes:
    """The APDU of a report: clock, meter id, and each reading with scaler and unit.

    Raises:
        ProfileError: a reading that the profile does not have or the list cannot hold.
    """
    entries = [
        clock_entry(date_time_bytes(report.time, zone)),
        text_entry(_METER_ID, report.meter),
    ]
    return notification(axdr.array(*entries, *[_entry(r, spec) for r in report.readings]))


def _checked(reading: Reading, spec: ProfileSpec) -> Reading:
    if reading.register.channel not in spec.registers:
        raise ProfileError(f"{spec.name} has no channel {reading.register.channel}")
    return reading


def _entry(reading: Reading, spec: ProfileSpec) -> bytes:
    register = _checked(reading, spec).register
    try:
        return value_entry(register.obis, reading.value, register.scaler, register.unit)
    except OverflowError as error:
        raise ProfileError(f"{spec.name}: {register.channel} = {reading.value}: {error}") from error


def _description(class_id: int, obis: Obis, attribute: int) -> bytes:
    return axdr.structure(
        axdr.uint16(class_id),
        axdr.octets(obis.to_bytes()),
        axdr.int8(attribute),
        axdr.uint16(0),
    )


def list_by_description(
    report: Report, spec: ProfileSpec, zone: tzinfo, exponents: dict[Unit, int]
) -> bytes:
    """The APDU of a report: stamp, descriptions, logical name, and the bare values.

    Args:
        report: what the meter has to say.
        spec: of the profile.
        zone: of the stamp.
        exponents: decimal exponent in which the market expects a unit, 0 where it is absent.

    Raises:
        ProfileError: a reading that the profile does not have or the list cannot hold.
    """
    descriptions = [
        _description(_CLASS_PUSH, _PUSH_SETUP, 2),
        _description(_CLASS_DATA, _LOGICAL_NAME, 2),
    ]
    values = [axdr.octets(report.meter.encode())]
    for reading in report.readings:
        register = _checked(reading, spec).register
        descriptions.append(_description(_CLASS_REGISTER, register.obis, 2))
        values.append(_bare(reading, spec, exponents.get(register.unit, 0)))
    body = axdr.structure(axdr.array(*descriptions), *values)
    return notification(body, date_time_bytes(report.time, zone))


def _bare(reading: Reading, spec: ProfileSpec, exponent: int) -> bytes:
    register = reading.register
    shift = register.scaler - exponent
    value, left = reading.value * 10 ** max(shift, 0), 0
    if shift < 0:
        value, left = divmod(value, 10**-shift)
    if left:
        raise ProfileError(
            f"{spec.name}: {register.channel} = {reading.quantity} is finer than 10^{exponent}"
        )
    try:
        return number(value, register.unit)
    except OverflowError as error:
        raise ProfileError(f"{spec.name}: {register.channel} = {reading.value}: {error}") from error
