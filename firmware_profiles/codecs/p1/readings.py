"""P1 meaning: lines -> readings on canonical registers, texts and names of the device."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from firmware_profiles.api import Decoded
from firmware_profiles.canonical import register_for
from firmware_profiles.codecs.clock import to_utc
from firmware_profiles.codecs.number import to_register
from firmware_profiles.codecs.units import text_unit
from ohmesh.model.errors import ModelError
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Quality, Reading, Register
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from firmware_profiles.codecs.p1.telegram import P1Line, P1Telegram

CLOCK = "0-0:1.0.0"
MBUS_VALUES = (":24.2.1", ":24.2.2", ":24.2.3", ":24.3.0")
_STAMP_DIGITS = 12
_FIRST_STAMP = 10_000_000_000
"""2001: a meter that shows 2000 has lost its clock."""
_MBUS_CHANNELS = {3: "gas.volume", 7: "water.volume", 6: "water.hot.volume", 4: "heat.energy"}
_MBUS_CHANNELS |= {0x0C: "heat.energy", 0x0A: "cool.energy", 0x0B: "cool.energy"}
"""Device type of an M-Bus channel (0-n:24.1.0; EN 13757-3, table of device types)."""
_MBUS_UNITS = {Unit.M3: "volume", Unit.J: "energy", Unit.WH: "energy"}
_ID_LINES = {
    "0-0:42.0.0": "logical_name",
    "0-0:96.1.0": "serial",
    "0-0:96.1.1": "id",
}
_VERSION_LINES = ("0-0:96.1.4", "1-3:0.2.8")
_NUMBER = re.compile(r"(-?\d{1,18})\.?(\d{0,18})(\*[^()*]{1,12}|)", re.ASCII).fullmatch
"""Digits, decimals, and the unit with its star."""
_INT64_DIGITS = 18
_OBIS_LENGTH_MAX = 24
"""A longer text is no code; the caches below must not keep what a stranger makes up."""


class _Stamp(NamedTuple):
    """The time and quality that readings share."""

    time: datetime | None
    quality: Quality


_NO_STAMP = _Stamp(None, Quality.ACTUAL)


def parse_stamp(text: str, zone: tzinfo) -> datetime | None:
    """The UTC instant of `YYMMDDhhmmssX`, X = S in summer, W in winter; None when it is no time.

    Meters that do not know the time send the year 2000 or digits that are no date.
    """
    digits, suffix = text[:_STAMP_DIGITS], text[_STAMP_DIGITS:]
    if len(digits) != _STAMP_DIGITS or not digits.isdecimal() or not digits.isascii():
        return None
    number = int(digits)
    if number < _FIRST_STAMP:
        return None
    days, seconds = divmod(number, 1_000_000)
    year, month, day = days // 10_000, days // 100 % 100, days % 100
    hour, minute, second = seconds // 10_000, seconds // 100 % 100, seconds % 100
    try:
        local = datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - local
    except ValueError:
        return None
    return to_utc(local, zone, summer={"S": True, "W": False}.get(suffix))


def hex_text(text: str) -> str:
    """The characters that a hex text spells when all are printable; otherwise the text itself."""
    try:
        spelled = bytes.fromhex(text).decode("ascii")
    except ValueError:
        return text
    return spelled if spelled.isprintable() and spelled else text


def readings_of(telegram: P1Telegram, zone: tzinfo) -> Decoded:
    """What a telegram says.

    Args:
        telegram: a parsed telegram.
        zone: of its stamps.

    Raises:
        DecodeError: MALFORMED for a value beyond 64 bits. What should be a number and is none
            (meters send dashes for a phase that they do not have) becomes a text.
    """
    stamp = _telegram_stamp(telegram, zone)
    readings: list[Reading] = []
    texts: dict[str, str] = {}
    mbus: list[tuple[int, P1Line]] = []
    for line in telegram.lines:
        found = value_of(line.obis, line.body, stamp)
        if found is not None:
            readings.append(found)
        elif line.obis.endswith(MBUS_VALUES):
            mbus.append((len(readings) + len(mbus), line))
        else:
            texts[line.obis] = line.text
            readings += _grouped(line, stamp, zone)
    if mbus:
        _read_mbus(mbus, mbus_types(texts), zone, (readings, texts))
    return Decoded(_device(telegram, texts), tuple(readings), stamp.time, texts)


def _telegram_stamp(telegram: P1Telegram, zone: tzinfo) -> _Stamp:
    for line in telegram.lines:
        if line.obis == CLOCK:
            return _stamp(line.body, zone)
    return _NO_STAMP


def _stamp(text: str, zone: tzinfo) -> _Stamp:
    time = parse_stamp(text, zone)
    return _Stamp(time, Quality.ACTUAL if time else Quality.CLOCK_INVALID)


def mbus_types(texts: dict[str, str]) -> dict[str, int]:
    """M-Bus channel, as `0-1`, -> device type."""
    found = ((obis.partition(":"), text) for obis, text in texts.items())
    return {
        channel: int(text)
        for (channel, _, code), text in found
        if code == "24.1.0" and text.isdecimal() and text.isascii()
    }


def _obis(text: str) -> Obis | None:
    """The code; None for a name that is none (a published example has `1-0:72:32.0`)."""
    try:
        return Obis.parse(text)
    except ModelError:
        return None


@lru_cache(maxsize=4096)
def plan(obis_text: str, unit_text: str) -> tuple[Register, int] | None:
    """Register and exponent of a line with a unit (`*kWh`); None when it holds no number."""
    obis = _obis(obis_text)
    if obis is None:
        return None
    if unit_text:
        known = text_unit(unit_text[1:])
        return None if known is None else (register_for(obis, known[0]), known[1])
    for unit in (Unit.CODE, Unit.COUNT):
        register = register_for(obis, unit)
        if not register.channel.startswith("raw."):
            return register, 0
    if obis.a == 0 and (obis.c, obis.d, obis.e) == (24, 4, 0):
        return Register("gas.valve", obis, Unit.CODE, 0), 0
    return None


def value_of(obis: str, group: str, stamp: _Stamp = _NO_STAMP) -> Reading | None:
    """The reading of `value*unit`; None for what is no number, or has no meaning as one."""
    match = _NUMBER(group)
    if match is None or len(obis) > _OBIS_LENGTH_MAX:
        return None
    whole, fraction, unit_text = match.groups()
    planned = plan(obis, unit_text)
    if planned is None:
        return None
    register, exponent = planned
    digits, exponent = whole + fraction, exponent - len(fraction)
    if exponent == register.scaler and len(digits) <= _INT64_DIGITS:
        value = int(digits)  # as most are: at the register's own resolution
    else:
        register, value = to_register(register, int(digits), exponent)
    time, quality = stamp
    return Reading(register, value, time, quality)


def _grouped(line: P1Line, stamp: _Stamp, zone: tzinfo) -> list[Reading]:
    """The reading of `(stamp)(value*unit)`, or the first of `(value*unit)(value*unit)`."""
    groups = line.groups
    if len(groups) != 2 or line.folded or "*" not in line.body:
        return []
    if "*" in groups[0]:
        found = value_of(line.obis, groups[0], stamp)
    else:
        found = value_of(line.obis, groups[1], _stamp(groups[0], zone))
    return [] if found is None else [found]


@lru_cache(maxsize=512)
def _mbus_register(obis: Obis, device_type: int | None, unit: Unit) -> Register:
    """The register of an M-Bus channel's last value, by device type and unit."""
    channel = _MBUS_CHANNELS.get(device_type or 0, "")
    if not channel.endswith(_MBUS_UNITS.get(unit, "?")):
        return Register(f"raw.{obis}", obis, unit, -3)
    return Register(channel, obis, unit, {Unit.M3: -3, Unit.J: 6}.get(unit, 0))


def _read_mbus(
    lines: list[tuple[int, P1Line]],
    types: dict[str, int],
    zone: tzinfo,
    into: tuple[list[Reading], dict[str, str]],
) -> None:
    """Put the last values of M-Bus devices to their places, and to the texts what is no value.

    The type of a device may stand behind its value, so they wait until all lines are seen.
    """
    readings, texts = into
    for place, line in lines:
        found = _mbus_reading(line, types.get(line.obis.partition(":")[0]), zone)
        if found is None:
            texts[line.obis] = line.text
        else:
            readings.insert(place, found)


def _mbus_reading(line: P1Line, device_type: int | None, zone: tzinfo) -> Reading | None:
    """The value of `(stamp)(value*unit)`, or of `(stamp)(..)..(obis)(unit)` and a folded `(value)`.

    The second form is that of DSMR 2.2 and 3.0.
    """
    groups = line.groups
    if line.folded and len(groups) > 2:
        number, unit_text = line.folded, groups[-1]
    elif not line.folded and len(groups) == 2:
        number, _, unit_text = groups[1].partition("*")
    else:
        return None
    match = _NUMBER(f"{number}*{unit_text}")
    planned = mbus_plan(line.obis, unit_text, device_type) if match else None
    if planned is None or match is None:
        return None
    register, exponent = planned
    mantissa = int(match[1] + match[2])
    fitted, value = to_register(register, mantissa, exponent - len(match[2]))
    return Reading(fitted, value, *_stamp(groups[0], zone))


def mbus_plan(
    obis_text: str, unit_text: str, device_type: int | None
) -> tuple[Register, int] | None:
    """Register and exponent of a value of an M-Bus device; None when it has no meaning."""
    known = text_unit(unit_text)
    obis = _obis(obis_text) if len(obis_text) <= _OBIS_LENGTH_MAX else None
    if known is None or obis is None:
        return None
    unit, exponent = known
    return _mbus_register(obis, device_type, unit), exponent


def _device(telegram: P1Telegram, texts: dict[str, str]) -> dict[str, str]:
    device = {"identification": telegram.identification}
    if telegram.identification[:3].isalpha():
        device["manufacturer"] = telegram.identification[:3]
    for obis, name in _ID_LINES.items():
        if texts.get(obis):
            device[name] = hex_text(texts[obis])
    for obis in _VERSION_LINES:
        if texts.get(obis):
            device["version"] = texts[obis]
    return device
