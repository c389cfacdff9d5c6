"""What makers put among or in place of ordinary records behind a normal transport header.

Zenner 0B      behind 0F: 4 octets, then target and total, 4 bytes each in 1/256 litre
BMETERS 85     behind 0F, version 11: statistics of an allocator
Qundis         under 0D FF 5F: a value, its year and due date with dates, monthly steps
BFW 240        instead of records: units and 18 months of an allocator, 12 bits each
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus.makers import maker_code
from firmware_profiles.codecs.mbus.security import FILLERS
from firmware_profiles.codecs.mbus.value import bcd, signed, stamp
from firmware_profiles.codecs.wmbus.makers.made import date, dib, made, unsigned

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.codecs.mbus.records import Record
    from firmware_profiles.codecs.mbus.transport import Address

_BFW, _QUNDIS, _ZENNER, _BMETERS = map(maker_code, ("BFW", "QDS", "ZRI", "BMP"))
_MAKER_DATA = b"\x0f"
_QUNDIS_BLOCK = bytes.fromhex("0dff5f")
_QUNDIS_HEAD_BYTES = 28
_QUNDIS_VIFS = frozenset((*range(0x18), 0x6E))
"""Energy, volume, units of an allocator."""
_STEP_STORAGE = 8
"""Storage number of the newest of the monthly values."""
_PER_256_E8 = 390_625
"""1/256 in 10**-8."""
_BFW_BYTES, _BFW_MONTHS_START = 38, 8


def _zenner(data: bytes) -> list[Record]:
    target, total = (unsigned(data, at, 4) * _PER_256_E8 for at in (4, 8))
    return [made("4410", target, exponent=-11), made("0410", total, exponent=-11)]


def _hydroclima(data: bytes) -> list[Record]:
    if data[0] != 0x11:
        return []
    temperatures = {"0259": 9, "0265": 11, "1265": 13, "4259": 17, "4265": 19}
    set_days = {"82016e": 21, "c2016e": 23, "82026e": 25, "c2026e": 27}
    set_day_temperatures = {"820165": 29, "c20165": 31, "820265": 33}
    fields = temperatures | set_days | set_day_temperatures
    found = [made(octets, unsigned(data, at, 2)) for octets, at in fields.items()]
    return [*found, made("83106e", unsigned(data, 44, 3))]


def _qundis(data: bytes) -> list[Record]:
    """Value, year and due date in the unit of the VIF at offset 9, then monthly steps."""
    if data[9] not in _QUNDIS_VIFS:
        return []
    vif = f"{data[9]:02x}"
    steps = [data[at : at + 2] for at in range(_QUNDIS_HEAD_BYTES, len(data) - 1, 2)]
    return [
        made(f"0c{vif}", bcd(data[12:16])),
        made("82016c", stamp(data[16:18])),
        made(f"8c01{vif}", bcd(data[18:22])),
        made("426c", stamp(data[22:24])),
        made(f"4c{vif}", bcd(data[24:28])),
        *(
            made(f"{dib(2, _STEP_STORAGE + n)}{vif}", signed(step))
            for n, step in enumerate(steps[:12])
        ),
    ]


_BLOCKS: dict[tuple[int, int], tuple[Callable[[bytes], list[Record]], int]] = {
    (_ZENNER, 0x0B): (_zenner, 12),
    (_BMETERS, 0x85): (_hydroclima, 47),
}
"""Maker and version -> reader and least size of the block behind 0F."""


def read(address: Address, record: Record) -> list[Record]:
    """The records in a maker's block; none when the record is no block that we know."""
    octets = record.header.octets
    known = _BLOCKS.get((address.manufacturer, address.version))
    if known and octets == _MAKER_DATA and len(record.data) >= known[1]:
        return known[0](record.data)
    is_qundis = address.manufacturer == _QUNDIS and octets == _QUNDIS_BLOCK
    if is_qundis and len(record.data) > _QUNDIS_HEAD_BYTES:
        return _qundis(record.data[1:])
    return []


def _months(octets: bytes) -> list[int]:
    """Pairs of 12 bits in three octets, the newest at the end."""
    found: list[int] = []
    for at in range(len(octets) - 3, -1, -3):
        low, middle, high = octets[at + 2], octets[at + 1], octets[at]
        found += [low | (middle & 0x0F) << 8, high | (middle & 0xF0) << 4]
    return found


def read_instead(address: Address, body: bytes) -> list[Record] | None:
    """The records of a body in a maker's format, None for a body of ordinary records."""
    plain = body.removeprefix(FILLERS)
    is_bfw = (address.manufacturer, address.version, address.device_type) == (_BFW, 2, 8)
    if not is_bfw or len(plain) != _BFW_BYTES:
        return None
    day, month, year = (bcd(bytes((octet,))) or 0 for octet in plain[-3:])
    months = _months(plain[_BFW_MONTHS_START:-3])
    return [
        made("026c", date(2000 + year, month, day)),
        made("426e", int.from_bytes(plain[2:4], "big")),
        made("026e", int.from_bytes(plain[4:6], "big")),
        *(made(f"{dib(2, _STEP_STORAGE + n)}6e", units) for n, units in enumerate(months)),
    ]
