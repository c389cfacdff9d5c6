"""P1 from a report: the telegram of a simulated meter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.clock import is_summer
from firmware_profiles.codecs.number import number_text
from firmware_profiles.codecs.p1.telegram import P1Line, P1Telegram
from ohmesh.model.errors import ProfileError
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from firmware_profiles.api import ProfileSpec, Report
    from ohmesh.model.reading import Reading

_ID_SHORT_MAX = 15
"""Characters of a meter id that leave a short telegram within one mesh frame of 140 bytes."""
_FORMATS = {
    Unit.WH: ("kWh", 3, 6),
    Unit.VARH: ("kvarh", 3, 6),
    Unit.W: ("kW", 3, 2),
    Unit.VAR: ("kvar", 3, 2),
    Unit.VA: ("kVA", 3, 2),
    Unit.V: ("V", 0, 3),
    Unit.A: ("A", 0, 3),
    Unit.M3: ("m3", 0, 5),
    Unit.CODE: ("", 0, 4),
    Unit.COUNT: ("", 0, 5),
}
"""Unit -> its text, the decimal exponent of its prefix, digits before the point."""
_SINGLE_DIGIT = frozenset({"relay.state", "gas.valve"})
_GAS = "gas.volume"
VERSION_LINE = "1-3:0.2.8"
"""DSMR 5.0.2 P1, 5.2: version information of the output."""


def stamp_text(moment: datetime, zone: tzinfo) -> str:
    """`YYMMDDhhmmssX` of a UTC instant, X = S in summer, W in winter."""
    suffix = "S" if is_summer(moment, zone) else "W"
    return f"{moment.astimezone(zone):%y%m%d%H%M%S}{suffix}"


def telegram_of(
    report: Report,
    spec: ProfileSpec,
    zone: tzinfo,
    *,
    identification: str,
    version: str,
    version_line: str = VERSION_LINE,
) -> P1Telegram:
    """The telegram for a report.

    Args:
        report: what the meter has to say.
        spec: of the profile; its `reported` channels alone make a short telegram, without a
            version line, and without the meter's id when that is long.
        zone: of the stamps.
        identification: first line without "/".
        version: of the standard, `50`; empty where the standard has no version line.
        version_line: the OBIS code of the version.

    Raises:
        ProfileError: a reading of a channel that the profile does not have.
    """
    short = {r.register.channel for r in report.readings} <= set(spec.reported)
    lines = [] if short or not version else [P1Line(version_line, version)]
    lines.append(P1Line("0-0:1.0.0", stamp_text(report.time, zone)))
    if not short or len(report.meter) <= _ID_SHORT_MAX:
        lines.append(P1Line("0-0:96.1.1", report.meter.encode().hex().upper()))
    for reading in report.readings:
        if reading.register.channel not in spec.registers:
            raise ProfileError(f"{spec.name} has no channel {reading.register.channel}")
        lines += _lines(reading, report.time, zone)
    return P1Telegram(identification, tuple(lines), crc=0)


def _lines(reading: Reading, time: datetime, zone: tzinfo) -> list[P1Line]:
    value = _value_text(reading)
    obis = reading.register.obis
    if reading.register.channel != _GAS:
        return [P1Line(str(obis), value)]
    return [
        P1Line(f"0-{obis.b}:24.1.0", "003"),
        P1Line(str(obis), f"{stamp_text(reading.time or time, zone)})({value}"),
    ]


def _value_text(reading: Reading) -> str:
    register = reading.register
    text, prefix, digits = _FORMATS[register.unit]
    if register.channel in _SINGLE_DIGIT:
        digits = 1
    number = number_text(reading.value, register.scaler - prefix, whole_digits=digits)
    return f"{number}*{text}" if text else number
