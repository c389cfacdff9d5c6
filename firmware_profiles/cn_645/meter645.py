"""DL/T 645-2007 frames <-> what a meter says."""

from __future__ import annotations

import string
from functools import cache
from typing import TYPE_CHECKING

from firmware_profiles.api import Decoded
from firmware_profiles.cn_645 import items645
from firmware_profiles.cn_645.quantities import Quantity
from firmware_profiles.codecs import dlt645
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, tzinfo

    from firmware_profiles.api import Report
    from firmware_profiles.base import RegisterFor
    from ohmesh.model.reading import Reading

_READ_ANSWER = 0x80 | dlt645.READ_DATA
_ADDRESS_DIGITS = 12
_identifiers = cache(items645.identifiers)


def read(frames: tuple[dlt645.Frame, ...], register_for: RegisterFor, zone: tzinfo) -> Decoded:
    """What frames say; readings without a time of their own take that of the clock items.

    Raises:
        DecodeError: MALFORMED data of a known item.
    """
    texts: dict[str, str] = {}
    items: list[tuple[int, bytes]] = []
    for frame in frames:
        if frame.is_refusal:
            texts["error_word"] = str(int.from_bytes(frame.data, "little"))
        elif frame.function in (dlt645.READ_DATA, dlt645.READ_MORE) and len(frame.data) >= 4:
            items.append(_item(frame))
        elif frame.data:
            texts[f"control.{frame.control:02X}"] = frame.data.hex()
    clock = {identifier: data for identifier, data in items if data}
    time = _clock(clock.get(items645.DATE), clock.get(items645.CLOCK), zone)
    readings: list[Reading] = []
    for identifier, data in items:
        found = items645.readings(identifier, data, register_for, zone, time) if data else []
        readings += found
        if not found:
            texts[f"{identifier:08X}"] = data.hex()
    return Decoded({"id": frames[0].address}, tuple(readings), time, texts)


def _item(frame: dlt645.Frame) -> tuple[int, bytes]:
    """Identifier and data, empty in a request; a later frame ends with its number."""
    data = frame.data[4:]
    if not frame.is_answer:
        data = b""
    elif frame.function == dlt645.READ_MORE:
        data = data[:-1]
    return int.from_bytes(frame.data[:4], "little"), data


def _clock(date: bytes | None, clock: bytes | None, zone: tzinfo) -> datetime | None:
    """The instant of the items date (weekday, day, month, year) and time (second .. hour)."""
    if date is None or clock is None or len(date) != 4 or len(clock) != 3:
        return None
    octets = date[:0:-1] + clock[::-1]
    digits = octets.hex()
    if not digits.isdecimal():
        return None
    return items645.local_time([int(digits[i : i + 2]) for i in range(0, 12, 2)], zone)


def encode(report: Report, readings: Mapping[str, Reading], zone: tzinfo) -> bytes:
    """Answers of a meter: its date, its time, and one frame a reading.

    Raises:
        ProfileError: a meter id without a digit, or a reading that has no item.
    """
    local = report.time.astimezone(zone)
    weekday = local.isoweekday() % 7
    items = [
        (items645.DATE, bytes.fromhex(f"{weekday:02}{local:%d%m%y}")),
        (items645.CLOCK, bytes.fromhex(f"{local:%S%M%H}")),
        *map(_encode_item, readings.values()),
    ]
    address = _address(report.meter)
    frames = [
        dlt645.Frame(address, _READ_ANSWER, identifier.to_bytes(4, "little") + data)
        for identifier, data in items
    ]
    return dlt645.encode(tuple(frames))


def _address(meter: str) -> str:
    """The twelve digits of an address: the last ones of a meter's id, filled with zeros."""
    digits = "".join(character for character in meter if character in string.digits)
    if not digits:
        raise ProfileError(f"a DL/T 645 address is made of digits, and {meter!r} has none")
    return digits[-_ADDRESS_DIGITS:].zfill(_ADDRESS_DIGITS)


def _encode_item(reading: Reading) -> tuple[int, bytes]:
    register = reading.register
    known = _identifiers().get(Quantity(register.obis, register.unit))
    if known is None:
        raise ProfileError(f"DL/T 645 has no item for {register.channel}")
    identifier, exponent, size, signed = known
    scaled = reading.quantity.scaleb(-exponent)
    octets = None
    if scaled == scaled.to_integral_value():
        octets = items645.to_bcd(int(scaled), size, signed=signed)
    if octets is None:
        raise ProfileError(f"{register.channel} = {reading.quantity} does not fit {size} bytes")
    return identifier, octets
