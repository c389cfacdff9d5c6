"""Techem: allocators, water and heat meters, smoke detectors of series 3 (CI A0 to A2).

    offset 0   status
           1   date of the last billing: day 5 bits, month 4, year 7, low bits first
           3   value at that date
           5   today: 4 bits, day 5, month 4
           7   consumption since that date
           9   temperatures of room and radiator, 0.01 C (allocators; one later in version 94)

Numbers are little-endian, two bytes; water in 0.1 m3, heat in MJ (Vario 451). The heat meter
Compact V has values of three bytes in kWh, and no date of today. Water meters of version 50 send
the total and twelve months instead:

    offset 2   date
           4   total, 4 bytes
           8   first half, second half and 00 of a month, one byte each; the last month first

Allocators of version 69, water meters of 50 and 74 and the smoke detector are checked against
captured telegrams; the others follow published descriptions of the same series.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus.makers import maker_code
from firmware_profiles.codecs.wmbus.makers.made import date, dib, made, need, unsigned

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.codecs.mbus.records import Record
    from firmware_profiles.codecs.mbus.transport import Address
    from firmware_profiles.codecs.mbus.value import Stamp

_TECHEM = maker_code("TCH")
_ALLOCATOR, _HOT_WATER, _COLD_WATER, _SMOKE = 0x80, 0x62, 0x72, 0xF0
_HEAT_TYPES = (0x43, 0xC3)
_ALLOCATOR_VERSIONS = frozenset({0x69, 0x94})
_WATER_VERSIONS = frozenset({0x70, 0x74, 0x95})
_COMPACT_V, _VARIO_451 = 0x45, 0x27
_LATE_TEMPERATURES = 0x94
_MONTHS_VERSION, _MONTHS_START, _MONTHS = 0x50, 8, 12
_FIRST_STORAGE = 8
_STANDARD_TYPES = {
    _ALLOCATOR: 0x08,
    _HOT_WATER: 0x06,
    _COLD_WATER: 0x16,
    _SMOKE: 0x1A,
    **dict.fromkeys(_HEAT_TYPES, 0x04),
}


def _day(bits: int) -> Stamp | None:
    return date(2000 + (bits >> 9), bits >> 5 & 0x0F, bits & 0x1F)


def _today(payload: bytes, billing: Stamp | None) -> Stamp | None:
    """Day and month as sent; the year is that of the billing or the next."""
    bits = unsigned(payload, 5, 2)
    day, month = bits >> 4 & 0x1F, bits >> 9 & 0x0F
    if billing is None:
        return None
    last = billing.local
    later = (month, day) > (last.month, last.day)
    return date(last.year + (not later), month, day)


def _common(payload: bytes) -> list[Record]:
    billing = _day(unsigned(payload, 1, 2))
    return [made("426c", billing), made("026c", _today(payload, billing))]


def _allocator(version: int, payload: bytes) -> list[Record]:
    late = version == _LATE_TEMPERATURES
    need(payload, 13 + late)
    return [
        *_common(payload),
        made("426e", unsigned(payload, 3, 2)),
        made("026e", unsigned(payload, 7, 2)),
        made("0265", unsigned(payload, 9 + late, 2)),
        made("0259", unsigned(payload, 11 + late, 2)),
    ]


def _water(payload: bytes) -> list[Record]:
    need(payload, 9)
    before, since = unsigned(payload, 3, 2), unsigned(payload, 7, 2)
    return [*_common(payload), made("4215", before), made("0215", before + since)]


def _water_months(payload: bytes) -> list[Record]:
    need(payload, _MONTHS_START + 3 * _MONTHS)
    starts = range(_MONTHS_START, _MONTHS_START + 3 * _MONTHS, 3)
    months = [payload[at] + payload[at + 1] for at in starts]
    return [
        made("026c", _day(unsigned(payload, 2, 2))),
        made("0415", unsigned(payload, 4, 4)),
        *(made(f"{dib(2, _FIRST_STORAGE + n)}15", units) for n, units in enumerate(months)),
    ]


def _vario(payload: bytes) -> list[Record]:
    need(payload, 9)
    before, since = unsigned(payload, 3, 2), unsigned(payload, 7, 2)
    return [*_common(payload), made("440e", before), made("040e", before + since)]


def _compact_v(payload: bytes) -> list[Record]:
    need(payload, 10)
    before, since = unsigned(payload, 3, 3), unsigned(payload, 7, 3)
    billing = made("426c", _day(unsigned(payload, 1, 2)))
    return [billing, made("4406", before), made("0406", before + since)]


def _smoke(payload: bytes) -> list[Record]:
    need(payload, 3)
    return [made("426c", _day(unsigned(payload, 1, 2))), made("01fd17", payload[0])]


def _reader(kind: int, version: int) -> Callable[[bytes], list[Record]] | None:
    if kind == _ALLOCATOR:
        return partial(_allocator, version) if version in _ALLOCATOR_VERSIONS else None
    if kind == _SMOKE:
        return _smoke
    if kind in _HEAT_TYPES:
        return {_COMPACT_V: _compact_v, _VARIO_451: _vario}.get(version)
    if version == _MONTHS_VERSION:
        return _water_months
    return _water if version in _WATER_VERSIONS else None


def read(address: Address, _head: bytes, payload: bytes) -> tuple[Address, list[Record]] | None:
    """The address by the standard and the records; None for a foreign payload."""
    kind, version = address.device_type, address.version
    if address.manufacturer != _TECHEM or kind not in _STANDARD_TYPES:
        return None
    reader = _reader(kind, version)
    if reader is None:
        return None
    return replace(address, device_type=_STANDARD_TYPES[kind]), reader(payload)
