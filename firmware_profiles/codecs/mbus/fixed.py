"""The fixed data structure of older meters (EN 13757-3:2004, annex; CI 73 and 77).

    identification 4 BCD | access 1 | status 1 | medium and units 2 | counter 4 | counter 4

Status bit 0 clear: BCD counters; set: binary. Bit 1 set: the counters were stored at a fixed
date. Each octet of medium and units: bits 5-0 the unit of its counter, bits 7-6 two bits of the
medium, the low ones first.
"""

from __future__ import annotations

from functools import lru_cache

from firmware_profiles.codecs.mbus import value as values
from firmware_profiles.codecs.mbus.header import Coding, Function, Header
from firmware_profiles.codecs.mbus.quantity import Quantity
from firmware_profiles.codecs.mbus.records import Record, truncated
from firmware_profiles.codecs.mbus.transport import Address
from firmware_profiles.codecs.mbus.vif import scaled
from ohmesh.model.unit import Unit

SIZE = 16
_BINARY, _STORED = 0x01, 0x02
_SAME_BUT_HISTORIC = 0x3E
_UNITS: dict[int, Quantity] = {
    **scaled(0x02, 9, "energy", Unit.WH, 0),
    **scaled(0x0B, 9, "energy", Unit.J, 3),
    **scaled(0x14, 9, "power", Unit.W, 0),
    **scaled(0x1D, 9, "power", Unit.J_PER_H, 3),
    **scaled(0x26, 9, "volume", Unit.M3, -6),
    **scaled(0x2F, 9, "flow", Unit.M3_PER_H, -6),
    0x38: Quantity("temp.flow", Unit.CELSIUS, -3),
    0x39: Quantity("units", Unit.HCA),
    0x3F: Quantity("number", Unit.ONE),
}
"""Unit code -> quantity; 00 and 01 (clock and date) are no numbers."""
_UNKNOWN = Quantity("raw", Unit.ONE)
_DEVICE_TYPES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 4, 6, 7, 8, 0)
"""Medium -> device type of the variable structure; A to E are the same media again (mode 2)."""


@lru_cache(maxsize=256)
def _header(code: int, quantity: Quantity, status: int, *, historic: bool) -> Header:
    binary = bool(status & _BINARY)
    return Header(
        octets=bytes((0x73, code)),
        coding=Coding.BINARY if binary else Coding.BCD,
        size=4,
        variable=False,
        function=Function.INSTANT,
        storage=int(historic or bool(status & _STORED)),
        tariff=0,
        subunit=0,
        quantity=quantity,
        exponent=quantity.exponent,
        read=values.signed if binary else values.bcd,
    )


def read_fixed(
    data: bytes, start: int, end: int, *, high_first: bool = False
) -> tuple[Address, tuple[int, int], list[Record]]:
    """The address, access number with status, and the two counters.

    Raises:
        DecodeError: TRUNCATED.
    """
    if start + SIZE > end:
        raise truncated(f"the fixed structure has {SIZE} bytes", start)
    access, status, unit_a, unit_b = data[start + 4 : start + 8]
    step = -1 if high_first else 1
    address = Address(
        identification=data[start : start + 4][::step],
        manufacturer=0,
        version=0,
        device_type=_DEVICE_TYPES[unit_a >> 6 | unit_b >> 6 << 2],
    )
    code_a, code_b = unit_a & 0x3F, unit_b & 0x3F
    first = _UNITS.get(code_a, _UNKNOWN)
    historic = code_b == _SAME_BUT_HISTORIC
    second = first if historic else _UNITS.get(code_b, _UNKNOWN)
    heads = (
        _header(code_a, first, status, historic=False),
        _header(code_b, second, status, historic=historic),
    )
    octets = (data[start + 8 : start + 12], data[start + 12 : start + 16])
    records = [
        Record(head, field, head.read(field[::step]))
        for head, field in zip(heads, octets, strict=True)
    ]
    return address, (access, status), records
