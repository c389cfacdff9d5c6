"""SML value lists <-> readings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.codecs.number import to_register
from firmware_profiles.codecs.sml import messages as sml
from firmware_profiles.codecs.sml.tree import Number, Tree, number
from firmware_profiles.codecs.units import DLMS_UNITS
from firmware_profiles.de_sml.server_id import (
    device_number,
    drops_sign_byte,
    octets_text,
    server_id,
)
from ohmesh.model.errors import ProfileError
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Reading, Register
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from firmware_profiles.api import Report
    from firmware_profiles.base import RegisterFor

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAKER_CODES = (bytes.fromhex("8181C78203FF"), bytes.fromhex("010060320101"))
"""129-129:199.130.3*255 and 1-0:96.50.1*1."""
SERVER_CODES = (bytes.fromhex("0100600100FF"), bytes.fromhex("0100000009FF"))
"""1-0:96.1.0*255 and 1-0:0.0.9*255."""
_NAMES = dict.fromkeys(_MAKER_CODES, "manufacturer")
_UNIT_CODES = {unit: code for code, (unit, exponent) in DLMS_UNITS.items() if not exponent}
_UNIT_CODES |= {Unit.M3: 13, Unit.M3_PER_H: 15}
_TRANSACTION = b"\x01"


@lru_cache(maxsize=4096)
def value_plan(name: bytes, unit: int | None, register_for: RegisterFor) -> tuple[Register, int]:
    """Register and exponent of a value with this OBIS name and unit code."""
    base, exponent = DLMS_UNITS.get(255 if unit is None else unit, (Unit.ONE, 0))
    return register_for(Obis.from_bytes(name), base), exponent


def readings_of(messages: tuple[sml.Message, ...], register_for: RegisterFor) -> Decoded:
    """What the value lists of a file say. Raises DecodeError."""
    device: dict[str, str] = {}
    texts: dict[str, str] = {}
    readings: list[Reading] = []
    time: datetime | None = None
    for message in messages:
        if message.tag != sml.GET_LIST_RESPONSE:
            continue
        response = sml.list_response(message)
        time = _instant(response.time) or time
        device["id"] = device_number(response.server)
        if response.time and not response.time.absolute:
            texts["seconds_index"] = str(response.time.seconds)
        server = _server(response)
        for entry in response.entries:
            found = _reading(entry, server, time, register_for)
            if found is not None:
                readings.append(found)
            elif isinstance(entry.value, bytes) and entry.value:
                _add_text(entry, entry.value, device, texts)
    return Decoded(device, tuple(readings), time, texts)


def _server(response: sml.ListResponse) -> bytes:
    """The server id: in the list's head, or among its values where the head has another."""
    for entry in response.entries:
        if entry.name in SERVER_CODES and isinstance(entry.value, bytes):
            return entry.value
    return response.server


def _add_text(
    entry: sml.Entry, value: bytes, device: dict[str, str], texts: dict[str, str]
) -> None:
    text = octets_text(value)
    if entry.name in SERVER_CODES:
        device["serial"] = device_number(value)
    elif entry.name in _NAMES:
        device[_NAMES[entry.name]] = text
    texts[str(Obis.from_bytes(entry.name))] = text


def _reading(
    entry: sml.Entry, server: bytes, time: datetime | None, register_for: RegisterFor
) -> Reading | None:
    value = entry.value
    if type(value) is not Number:
        return None
    plain, tag = value
    if plain < 0 and entry.unit == 27 and tag < 0x55 and drops_sign_byte(server):
        plain = value.unsigned
    register, exponent = value_plan(entry.name, entry.unit, register_for)
    fitted, mantissa = to_register(register, plain, entry.scaler + exponent)
    return Reading(fitted, mantissa, _instant(entry.time) or time)


def _instant(time: sml.Time | None) -> datetime | None:
    """The UTC instant of an absolute time; 0 is a clock that was never set."""
    if time is None or not time.absolute or not 0 < time.seconds < 1 << 32:
        return None
    return _EPOCH + timedelta(seconds=time.seconds)


def encode_report(report: Report) -> bytes:
    """The transport frame for a report: open, value list, close, as a meter pushes them.

    Raises:
        ProfileError: a value that SML cannot hold.
    """
    server = server_id(report.meter)
    seconds = int((report.time - _EPOCH).total_seconds())
    entries: list[Tree] = [_entry_tree(reading) for reading in report.readings]
    time = sml.encode_time(seconds)
    bodies: dict[int, list[Tree]] = {
        sml.OPEN_RESPONSE: [b"", b"", _TRANSACTION, server, b"", b""],
        sml.GET_LIST_RESPONSE: [b"", server, b"", time, entries, b"", b""],
        sml.CLOSE_RESPONSE: [b""],
    }
    return sml.encode_file(
        tuple(sml.Message(_TRANSACTION, 0, 0, tag, body) for tag, body in bodies.items())
    )


def _entry_tree(reading: Reading) -> Tree:
    register = reading.register
    code = _UNIT_CODES.get(register.unit)
    if code is None or not -(1 << 63) <= reading.value < 1 << 63:
        raise ProfileError(f"SML cannot express {register.channel} in {register.unit}")
    width = max(4, (reading.value.bit_length() + 8) // 8)
    value = number(reading.value, signed=True, width=width)
    unit = None if register.unit is Unit.ONE else code
    entry = sml.Entry(register.obis.to_bytes(), None, None, unit, register.scaler, value)
    return sml.encode_entry(entry)
