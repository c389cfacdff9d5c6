"""The transport layer of EN 13757-7: CI field, device address, access number, status, security.

    none header    CI
    short header   CI | access 1 | status 1 | configuration 2
    long header    CI | identification 4 BCD, low first | manufacturer 2 | version 1 | type 1 |
                   access 1 | status 1 | configuration 2

The configuration field may be followed by an extension that its security mode defines.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from firmware_profiles.codecs.cursor import unsupported
from firmware_profiles.codecs.mbus.makers import maker_letters
from firmware_profiles.codecs.mbus.records import truncated


class Form(Enum):
    """The length of the header."""

    NONE = auto()
    SHORT = auto()
    LONG = auto()


class Body(Enum):
    """What follows the header."""

    RECORDS = auto()
    RECORDS_HIGH_FIRST = auto()
    COMPACT = auto()
    EMPTY = auto()
    ERROR = auto()


_BODIES: dict[int, tuple[Form, Body]] = {
    0x69: (Form.NONE, Body.EMPTY),
    0x6A: (Form.SHORT, Body.EMPTY),
    0x6B: (Form.LONG, Body.EMPTY),
    0x6E: (Form.SHORT, Body.ERROR),
    0x6F: (Form.LONG, Body.ERROR),
    0x70: (Form.NONE, Body.ERROR),
    0x72: (Form.LONG, Body.RECORDS),
    0x73: (Form.LONG, Body.COMPACT),
    0x76: (Form.LONG, Body.RECORDS_HIGH_FIRST),
    0x78: (Form.NONE, Body.RECORDS),
    0x79: (Form.NONE, Body.COMPACT),
    0x7A: (Form.SHORT, Body.RECORDS),
    0x7B: (Form.SHORT, Body.COMPACT),
    0x8A: (Form.SHORT, Body.EMPTY),
    0x8B: (Form.LONG, Body.EMPTY),
}
"""CI field -> header and body (EN 13757-7, table 2). 69 to 6B describe a format without values;
8A and 8B are a transport layer alone, such as an acknowledgement."""

RESPONSE = 0x72
"""CI field of a meter's answer: long header, records."""
_LONG_SIZE, _SHORT_SIZE = 12, 4
_DEVICE_TYPES = {
    0x00: "other",
    0x01: "oil",
    0x02: "electricity",
    0x03: "gas",
    0x04: "heat",
    0x05: "steam",
    0x06: "hot water",
    0x07: "water",
    0x08: "heat cost allocator",
    0x09: "compressed air",
    0x0A: "cooling, outlet",
    0x0B: "cooling, inlet",
    0x0C: "heat, inlet",
    0x0D: "heat and cooling",
    0x0E: "bus or system",
    0x14: "calorific value",
    0x15: "hot water above 90 C",
    0x16: "cold water",
    0x17: "dual water",
    0x18: "pressure",
    0x19: "converter",
    0x1A: "smoke detector",
    0x1B: "room sensor",
    0x1C: "gas detector",
    0x20: "breaker",
    0x21: "valve",
    0x25: "customer unit",
    0x28: "waste water",
    0x29: "waste",
    0x31: "communication controller",
    0x32: "unidirectional repeater",
    0x33: "bidirectional repeater",
    0x36: "radio converter, system side",
    0x37: "radio converter, meter side",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Who a meter is.

    Attributes:
        identification: four bytes as sent, digits in BCD, the last two first.
        manufacturer: two bytes as a number, bit 15 for an address that is not unique.
        version: generation.
        device_type: medium, EN 13757-7 table 13.
    """

    identification: bytes
    manufacturer: int
    version: int
    device_type: int

    @property
    def number(self) -> str:
        """Eight digits; hex digits where the meter sends such."""
        return self.identification[::-1].hex().upper()

    @property
    def maker(self) -> str:
        """Three letters."""
        return maker_letters(self.manufacturer)

    @property
    def medium(self) -> str:
        """The device type in words."""
        return _DEVICE_TYPES.get(self.device_type, f"type {self.device_type:02X}")

    @property
    def link_octets(self) -> bytes:
        """Manufacturer, identification, version and type: the order of the radio link layer."""
        tail = bytes((self.version, self.device_type))
        return self.manufacturer.to_bytes(2, "little") + self.identification + tail


@dataclass(frozen=True, slots=True)
class Transport:
    """A transport header.

    Attributes:
        ci: the CI field.
        body: what follows.
        address: of the meter; None without a long header.
        access: access number, None without a header.
        status: status octet, 0 without a header.
        configuration: configuration field, 0 without a header.
        start: offset of what follows the header.
    """

    ci: int
    body: Body
    address: Address | None
    access: int | None
    status: int
    configuration: int
    start: int


def read_address(data: bytes, start: int) -> Address:
    """The address at `start` in the order of the long header; eight bytes must be there."""
    return Address(
        identification=data[start : start + 4],
        manufacturer=int.from_bytes(data[start + 4 : start + 6], "little"),
        version=data[start + 6],
        device_type=data[start + 7],
    )


def _short(data: bytes, start: int) -> tuple[int, int, int]:
    return data[start], data[start + 1], int.from_bytes(data[start + 2 : start + 4], "little")


def read_transport(data: bytes, start: int, end: int) -> Transport:
    """The transport header whose CI field stands at `start`.

    Raises:
        DecodeError: TRUNCATED, or UNSUPPORTED for a CI field that no meter reading has.
    """
    if start >= end:
        raise truncated("no CI field", start)
    ci = data[start]
    if ci not in _BODIES:
        raise unsupported(f"a CI field of {ci:02X}", start)
    form, body = _BODIES[ci]
    start += 1
    if form is Form.NONE:
        return Transport(ci, body, None, None, 0, 0, start)
    size = _LONG_SIZE if form is Form.LONG else _SHORT_SIZE
    if start + size > end:
        raise truncated(f"a header of {size} bytes wanted, {end - start} left", start)
    address = read_address(data, start) if form is Form.LONG else None
    access, status, configuration = _short(data, start + size - _SHORT_SIZE)
    return Transport(ci, body, address, access, status, configuration, start + size)


def write_transport(head: Transport) -> bytes:
    """A transport header as octets, CI field first; the reverse of `read_transport`."""
    if head.access is None:
        return bytes((head.ci,))
    address = head.address
    tail = bytes((head.access, head.status)) + head.configuration.to_bytes(2, "little")
    if address is None:
        return bytes((head.ci,)) + tail
    octets = address.link_octets
    return bytes((head.ci,)) + octets[2:6] + octets[:2] + octets[6:] + tail
