"""VIFs that mean something of their own in the telegrams of a maker.

Each line is a fact about telegrams of that maker, checked against published readings of its
meters; what is not listed keeps the meaning of the standard, or stays raw.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus import vif, vife
from firmware_profiles.codecs.mbus.quantity import Quantity
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable

_FOREIGN = 0xFF


def maker_code(letters: str) -> int:
    """The 15-bit code of three letters (EN 13757-7, 7.5.2)."""
    first, second, third = (ord(letter) - 64 for letter in letters)
    return first << 10 | second << 5 | third


def maker_letters(code: int) -> str:
    """The three letters of a code; bit 15 marks an address that is not unique world-wide."""
    return "".join(chr(64 + (code >> shift & 31)) for shift in (10, 5, 0))


IME, SEC = maker_code("IME"), maker_code("SEC")
_LIMIT_FLOW_MAKERS = frozenset(map(maker_code, ("QDS", "LSE")))
_LIMIT_FLOW = bytes.fromhex("bb56")

_IME_UNITS: dict[int, tuple[str, Unit]] = {
    0x00: ("energy", Unit.WH),
    0x01: ("reactive", Unit.VARH),
    0x04: ("power", Unit.W),
    0x05: ("reactive_power", Unit.VAR),
    0x06: ("apparent_power", Unit.VA),
    0x07: ("voltage", Unit.V),
    0x08: ("voltage_line", Unit.V),
    0x09: ("current", Unit.A),
    0x0A: ("frequency", Unit.HZ),
}
"""IME: FF, then one of these, then a VIF that gives the power of ten."""

_EXACT: dict[tuple[int, bytes], Quantity] = {
    (IME, bytes.fromhex("ff5a")): Quantity("frequency", Unit.HZ, -1),
    (SEC, bytes.fromhex("ff24")): Quantity("frequency.nominal", Unit.HZ),
}


def _ime(vib: bytes) -> Quantity | None:
    """The quantity of an IME energy analyser: `FF 80 84 3B` is 10 Wh, import."""
    if vib[0] != _FOREIGN or len(vib) < 3:
        return None
    known = _IME_UNITS.get(vib[1] & 0x7F)
    scale = vif.PRIMARY.get(vib[2] & 0x7F)
    if known and known[1] in {Unit.V, Unit.A, Unit.HZ}:
        scale = vif.FD.get(vib[2] & 0x7F)
    if known is None or scale is None:
        return None
    name, unit = known
    return vife.apply(replace(scale, name=name, unit=unit), vib[3:])


def _schneider(quantity: Quantity, subunit: int) -> Quantity:
    """Schneider iEM3000: energy of subunit 1 is reactive energy."""
    if subunit == 1 and quantity.unit is Unit.WH:
        return replace(quantity, name="reactive", unit=Unit.VARH)
    return quantity


def quantity(
    manufacturer: int, vib: bytes, subunit: int, standard: Callable[[bytes], Quantity]
) -> Quantity:
    """The quantity of a VIB in the telegrams of a maker.

    Args:
        manufacturer: the maker's code.
        vib: VIF and VIFEs.
        subunit: of the record.
        standard: reads a VIB by the tables of the standard.
    """
    exact = _EXACT.get((manufacturer, vib))
    if exact:
        return exact
    if manufacturer == IME and (found := _ime(vib)):
        return found
    if manufacturer in _LIMIT_FLOW_MAKERS and vib == _LIMIT_FLOW:
        return standard(vib[:1])
    if manufacturer == SEC:
        return _schneider(standard(vib), subunit)
    return standard(vib)
