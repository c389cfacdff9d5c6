"""Apator: pulse adapters AT-WMBUS-08 and 17-2 and the allocator E.ITN 30 (CI A0).

    AT-WMBUS-08     offset 0   counter 4 bytes, in thirds of a litre
    AT-WMBUS-17-2   offset 0   counter 4 bytes, in thirds of a cubic metre
    E.ITN 30        offset 0   A1 00 00
                           3   units at the end of the last season, 2 bytes
                           7   units, 2 bytes
                          11   average temperature of the room before, 1/256 C
                          13   average temperature of the room, 1/256 C

A third has no decimal fraction: the value is rounded to 10**-6 m3.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus.makers import maker_code
from firmware_profiles.codecs.wmbus.makers.made import made, need, unsigned

if TYPE_CHECKING:
    from firmware_profiles.codecs.mbus.records import Record
    from firmware_profiles.codecs.mbus.transport import Address

_APT, _APA = maker_code("APT"), maker_code("APA")
_MASK = 0x7FFF
_WATER, _ALLOCATOR = 0x07, 0x08
_THIRDS_E6 = {(0x0F, 0x0F): 1_000, (0x04, 0x11): 1_000_000}
"""Version and type -> 10**-6 m3 in three counts."""
_EITN_MARK = bytes.fromhex("a10000")
_EITN_BYTES = 15
_PER_256_E8 = 390_625
"""1/256 in 10**-8."""


def _rounded_third(number: int) -> int:
    return (2 * number + 3) // 6


def _pulses(address: Address, payload: bytes) -> list[Record]:
    need(payload, 4)
    scale = _THIRDS_E6[address.version, address.device_type]
    return [made("0410", _rounded_third(unsigned(payload, 0, 4) * scale))]


def _allocator(payload: bytes) -> list[Record]:
    before, now = (unsigned(payload, at, 2) * _PER_256_E8 for at in (11, 13))
    return [
        made("426e", unsigned(payload, 3, 2)),
        made("026e", unsigned(payload, 7, 2)),
        made("4265", before, exponent=-8),
        made("0265", now, exponent=-8),
    ]


def read(address: Address, _head: bytes, payload: bytes) -> tuple[Address, list[Record]] | None:
    """The address by the standard and the records; None for a foreign payload."""
    maker = address.manufacturer & _MASK
    if maker == _APT and (address.version, address.device_type) in _THIRDS_E6:
        return replace(address, device_type=_WATER), _pulses(address, payload)
    is_eitn = len(payload) == _EITN_BYTES and payload.startswith(_EITN_MARK)
    if maker == _APA and address.device_type == _ALLOCATOR and is_eitn:
        return address, _allocator(payload)
    return None
