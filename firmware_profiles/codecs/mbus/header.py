"""The header of a data record: DIF, DIFEs, VIF and VIFEs (EN 13757-3, 6.3 and 6.4).

DIF   bit 7 extension, 6 storage number bit 0, 5-4 function, 3-0 coding of the data
DIFE  bit 7 extension, 6 subunit, 5-4 tariff, 3-0 storage number; each DIFE appends its bits
above those before
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from firmware_profiles.codecs.mbus import makers, vif, vife
from firmware_profiles.codecs.mbus import value as values
from firmware_profiles.codecs.mbus.quantity import Kind, Quantity
from firmware_profiles.codecs.units import text_unit
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN_TEXT = 0x7C


class Function(IntEnum):
    """What kind of value a record holds."""

    INSTANT = 0
    MAXIMUM = 1
    MINIMUM = 2
    ERROR = 3


class Coding(Enum):
    """How the data field is coded."""

    NONE = auto()
    BINARY = auto()
    REAL = auto()
    BCD = auto()
    VARIABLE = auto()


_CODINGS = {
    0x0: (Coding.NONE, 0),
    0x1: (Coding.BINARY, 1),
    0x2: (Coding.BINARY, 2),
    0x3: (Coding.BINARY, 3),
    0x4: (Coding.BINARY, 4),
    0x5: (Coding.REAL, 4),
    0x6: (Coding.BINARY, 6),
    0x7: (Coding.BINARY, 8),
    0x8: (Coding.NONE, 0),
    0x9: (Coding.BCD, 1),
    0xA: (Coding.BCD, 2),
    0xB: (Coding.BCD, 3),
    0xC: (Coding.BCD, 4),
    0xD: (Coding.VARIABLE, 0),
    0xE: (Coding.BCD, 6),
}


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """A record header, read once and kept in a cache, where it is told apart by identity.

    Attributes:
        octets: DIF to last VIFE as sent.
        coding: of the data field.
        size: of the data field in bytes; 0 for VARIABLE.
        variable: whether an LVAR octet in front of the data tells its size.
        function: instantaneous, maximum, minimum or during error.
        storage: storage number, 0 the current value.
        tariff: 0 the total.
        subunit: part of the device.
        quantity: what is measured.
        exponent: decimal exponent of a decoded number, before the quantity's multiplier.
        read: the data field's bytes, an LVAR octet included, to a value.
        profile: the VIFE that makes the data field a compact profile, 0 for none.
    """

    octets: bytes
    coding: Coding
    size: int
    variable: bool
    function: Function
    storage: int
    tariff: int
    subunit: int
    quantity: Quantity
    exponent: int
    read: Callable[[bytes], values.Value]
    profile: int = 0


def _plain_text(vib: bytes) -> tuple[Quantity, bytes]:
    """The quantity of a VIF in plain text (reversed, with its length), and the VIFEs behind it."""
    stop = 2 + vib[1]
    text = vib[2:stop][::-1].decode("latin-1")
    unit, exponent = text_unit(text) or (Unit.ONE, 0)
    if text == "%RH":
        return Quantity("humidity", Unit.PERCENT), vib[stop:]
    return Quantity("text", unit, exponent), vib[stop:]


def _quantity(vib: bytes) -> Quantity:
    """The quantity of a VIB by the standard's tables."""
    first, rest = vib[0], vib[1:]
    if first & 0x7F == _PLAIN_TEXT:
        return vife.apply(*_plain_text(vib))
    if first == 0xFD and rest[:1] == b"\xfd" and len(rest) > 1:
        table, first, rest = vif.FDFD, rest[1], rest[2:]
    elif first in {0xFD, 0xFB} and rest:
        table, first, rest = vif.FD if first == 0xFD else vif.FB, rest[0], rest[1:]
    else:
        table = vif.PRIMARY
    return vife.apply(table.get(first & 0x7F, vif.UNKNOWN), rest)


def _numbers(dib: bytes) -> tuple[int, int, int]:
    """Storage number, tariff and subunit of a DIB."""
    storage, tariff, subunit = dib[0] >> 6 & 1, 0, 0
    for n, dife in enumerate(dib[1:]):
        storage |= (dife & 0x0F) << (1 + 4 * n)
        tariff |= (dife >> 4 & 3) << (2 * n)
        subunit |= (dife >> 6 & 1) << n
    return storage, tariff, subunit


def _profile(vib: bytes) -> int:
    """The VIFE of a compact profile in a VIB, 0 when there is none."""
    start = 2 if vib[0] in {0xFD, 0xFB} else 1
    codes = (octet & 0x7F for octet in vib[start:])
    return next((code for code in codes if code in vife.COMPACT_PROFILES), 0)


def _nothing(_data: bytes) -> None:
    """The value of a record without data."""


def _opaque(data: bytes) -> str:
    """A variable field that is neither text nor number: a maker's block, a compact profile."""
    return data[1:].hex().upper()


_Reader: TypeAlias = "Callable[[bytes], values.Value]"
_READERS: dict[Kind, _Reader] = {
    Kind.STAMP: values.stamp,
    Kind.LABEL: values.label,
}


def _reader(coding: Coding, quantity: Quantity, profile: int) -> _Reader:
    if coding is Coding.NONE:
        return _nothing
    if coding is Coding.VARIABLE:
        return _opaque if profile or quantity.name == "raw" else values.variable
    if quantity.kind in _READERS:
        return _READERS[quantity.kind]
    if coding is Coding.BINARY:
        return values.unsigned if quantity.kind is Kind.CODE else values.signed
    return values.real if coding is Coding.REAL else values.bcd


def _dib_size(octets: bytes) -> int:
    return next(n for n, octet in enumerate(octets, 1) if not octet & 0x80)


@lru_cache(maxsize=4096)
def header(octets: bytes, manufacturer: int = 0) -> Header:
    """The header of a record.

    Args:
        octets: DIF to the last VIFE, complete; a unit in plain text included.
        manufacturer: the maker's code, for its own VIFs; 0 for none.
    """
    split = _dib_size(octets)
    dib, vib = octets[:split], octets[split:]
    coding, size = _CODINGS[dib[0] & 0x0F]
    storage, tariff, subunit = _numbers(dib)
    quantity = makers.quantity(manufacturer, vib, subunit, _quantity)
    variable = coding is Coding.VARIABLE
    profile = _profile(vib) if variable and quantity.kind is Kind.NUMBER else 0
    return Header(
        octets=octets,
        coding=coding,
        size=size,
        variable=variable,
        function=Function(dib[0] >> 4 & 3),
        storage=storage,
        tariff=tariff,
        subunit=subunit,
        quantity=quantity,
        exponent=quantity.exponent - (values.REAL_PLACES if coding is Coding.REAL else 0),
        read=_reader(coding, quantity, profile),
        profile=profile,
    )
