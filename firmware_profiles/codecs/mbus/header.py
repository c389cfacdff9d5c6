"""The header of a data record: DIF, DIFEs, VIF and VIFEs (EN 13757-3, 6.3 and 6.4).

DIF   bit 7 extension, 6 storage number bit 0, 5-4 function, 3-0 coding of the data
DIFE  bit 7 extension, 6 subunit, 5-4 tariff, 3-0 storage number; each DIFE appends its bits
above those before
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from functools import lru_cache
from typing import TYPE_CHECKING

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
        function: instantaneous, maximum, minimum or during error.
        storage: storage number, 0 the current value.
        tariff: 0 the total.
        subunit: part of the device.
        quantity: what is measured.
        exponent: decimal exponent of a decoded number, before the quantity's multiplier.
        read: the data field's bytes to a value; not for VARIABLE.
        opaque: a VARIABLE field is neither text nor number: a maker's block, a compact profile.
        profile: it is a compact profile.
    """

    octets: bytes
    coding: Coding
    size: int
    function: Function
    storage: int
    tariff: int
    subunit: int
    quantity: Quantity
    exponent: int
    read: Callable[[bytes], values.Value]
    opaque: bool = False
    profile: bool = False


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


def _is_profile(vib: bytes) -> bool:
    start = 2 if vib[0] in {0xFD, 0xFB} else 1
    return any(octet & 0x7F in vife.COMPACT_PROFILES for octet in vib[start:])


def _nothing(_data: bytes) -> None:
    """The value of a record without data."""


def _reader(coding: Coding, kind: Kind) -> Callable[[bytes], values.Value]:
    if coding is Coding.NONE:
        return _nothing
    if kind is Kind.STAMP:
        return values.stamp
    if kind is Kind.LABEL:
        return values.label
    if coding is Coding.BINARY:
        return values.unsigned if kind is Kind.CODE else values.signed
    return values.real if coding is Coding.REAL else values.bcd


@lru_cache(maxsize=4096)
def header(dib: bytes, vib: bytes, manufacturer: int = 0) -> Header:
    """The header of a record.

    Args:
        dib: DIF and DIFEs, complete.
        vib: VIF and VIFEs, complete; a plain-text unit included.
        manufacturer: the maker's code, for its own VIFs; 0 for none.
    """
    coding, size = _CODINGS[dib[0] & 0x0F]
    storage, tariff, subunit = _numbers(dib)
    quantity = makers.quantity(manufacturer, vib, subunit, _quantity)
    variable, profile = coding is Coding.VARIABLE, _is_profile(vib)
    return Header(
        octets=dib + vib,
        coding=coding,
        size=size,
        function=Function(dib[0] >> 4 & 3),
        storage=storage,
        tariff=tariff,
        subunit=subunit,
        quantity=quantity,
        exponent=quantity.exponent - (values.REAL_PLACES if coding is Coding.REAL else 0),
        read=_reader(coding, quantity.kind),
        opaque=variable and (profile or quantity.name == "raw"),
        profile=variable and profile and quantity.kind is Kind.NUMBER,
    )
