"""Which register a data record is.

A record of a canonical quantity has the canonical channel (`water.volume`); what sets it apart
from the current total stands behind: `.t1` tariff, `.u1` subunit, `.max` `.min` `.err` function,
VIFE names, `.s1` storage number. Everything else is `raw.mbus.<quantity>` with the same marks, or
`raw.mbus.<header in hex>` where only the maker knows the quantity. The OBIS code of such a register
lies in the range that IEC 62056-61 leaves to makers; its channel name is what identifies it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from firmware_profiles import canonical
from firmware_profiles.codecs.mbus.header import Function, Header
from firmware_profiles.codecs.mbus.vife import EXPORT, IMPORT, PHASES
from ohmesh.model.obis import UNUSED, Obis
from ohmesh.model.reading import Register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firmware_profiles.codecs.mbus.quantity import Quantity

_COMMODITIES = {
    0x02: "el",
    0x03: "gas",
    0x04: "heat",
    0x06: "water.hot",
    0x07: "water",
    0x08: "hca",
    0x0A: "cool",
    0x0B: "cool",
    0x0C: "heat",
    0x0D: "heat",
    0x15: "water.hot",
    0x16: "water",
    0x17: "water",
}
"""Device type -> commodity of its channels."""
_HEAT = "heat"
_COOLING = "cool.energy"
_BACKWARD = "backward"
"""What flows against the meter: for water and gas nobody calls it an export."""
_SET_DAY = "hca.units.setday"
_FUNCTIONS = {Function.MAXIMUM: "max", Function.MINIMUM: "min", Function.ERROR: "err"}
_DIRECTED = {
    "energy": ("el.energy", ""),
    "power": ("el.power", ""),
    "reactive": ("el.reactive", ""),
    "reactive_power": ("el.power", "reactive"),
}
"""Electrical quantity with a direction -> channel up to the phase, and what stands behind it."""
_UNDIRECTED = {"apparent": "el.apparent.energy", "apparent_power": "el.power.apparent"}
_PHASED = frozenset({"voltage", "current"})
_MAKER_GROUP_C = 128
_SCALER_LIMIT = 18
_NAMELESS = frozenset({"raw", "text", "number"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the numbers of a header belong.

    Attributes:
        register: the register, at a resolution that every number of the header fits.
        factor: value of the register for a number of one.
    """

    register: Register
    factor: int


def _marks(header: Header, modifiers: tuple[str, ...]) -> str:
    """What sets a record apart from the current total, as the tail of a channel name."""
    marks = [
        f"t{header.tariff}" if header.tariff else "",
        f"u{header.subunit}" if header.subunit else "",
        _FUNCTIONS.get(header.function, ""),
        *modifiers,
        f"s{header.storage}" if header.storage else "",
    ]
    return "".join(f".{mark}" for mark in marks if mark)


def _electric(quantity: Quantity) -> tuple[str, tuple[str, ...]]:
    """The channel of an electrical quantity, and the modifiers that are not in it."""
    rest = list(quantity.modifiers)
    phase = next((p for p in (*PHASES, "n") if p in rest), "")
    if phase:
        rest.remove(phase)
    if quantity.name in _PHASED:
        return f"el.{quantity.name}.{phase or 'l1'}", tuple(rest)
    direction = EXPORT if EXPORT in rest else IMPORT
    rest = [mark for mark in rest if mark not in {EXPORT, IMPORT}]
    if quantity.name in _UNDIRECTED:
        parts = [_UNDIRECTED[quantity.name], phase, EXPORT if direction == EXPORT else ""]
    elif quantity.name in _DIRECTED:
        head, tail = _DIRECTED[quantity.name]
        parts = [head, phase, tail, direction]
    else:
        return f"el.{quantity.name}", quantity.modifiers
    return ".".join(part for part in parts if part), tuple(rest)


def _plain(commodity: str, quantity: Quantity) -> tuple[str, tuple[str, ...]]:
    """The channel of a quantity that is not electrical, and the modifiers not in it."""
    rest = tuple(mark for mark in quantity.modifiers if mark != IMPORT)
    if commodity == _HEAT and quantity.name == "energy" and EXPORT in rest:
        return _COOLING, tuple(mark for mark in rest if mark != EXPORT)
    rest = tuple(_BACKWARD if mark == EXPORT else mark for mark in rest)
    return f"{commodity}.{quantity.name}", rest


def _canonical(header: Header, device_type: int) -> Register | None:
    """The canonical register of a header or a variant of it, None for other quantities."""
    quantity = header.quantity
    commodity = _COMMODITIES.get(device_type)
    if commodity is None or quantity.unit is None:
        return None
    electric = commodity == "el"
    base, rest = _electric(quantity) if electric else _plain(commodity, quantity)
    known = canonical.table().get(base)
    if known is None:
        return None
    register = canonical.register_for(known.register.obis, quantity.unit)
    if register.channel != base:
        return None
    return _variant(register, header, _marks(header, rest))


def _variant(register: Register, header: Header, marks: str) -> Register:
    channel = _SET_DAY if register.channel + marks == "hca.units.s1" else register.channel + marks
    known = canonical.table().get(channel)
    if known is not None and known.register.unit is register.unit:
        return known.register
    obis = replace(
        register.obis,
        b=header.subunit & 0xFF,
        e=header.tariff & 0xFF,
        f=min(header.storage, UNUSED - 1) if header.storage else UNUSED,
    )
    return replace(register, channel=channel, obis=obis)


def _raw(header: Header) -> Register | None:
    """The register of a quantity that no canonical channel has."""
    quantity = header.quantity
    if quantity.unit is None:
        return None
    nameless = quantity.name in _NAMELESS
    name = header.octets.hex() if nameless else quantity.name + _marks(header, quantity.modifiers)
    obis = Obis(
        0,
        header.subunit & 0xFF,
        _MAKER_GROUP_C + (len(header.octets) & 0x3F),
        header.octets[-1],
        (header.tariff << 2 | header.function) & 0xFF,
        min(header.storage, UNUSED - 1) if header.storage else UNUSED,
    )
    return Register(f"raw.mbus.{name}", obis, quantity.unit, header.exponent)


@lru_cache(maxsize=1024)
def label(header: Header) -> str:
    """How a value that is no number is called: `fabrication`, `date.s1`."""
    name = header.octets.hex() if header.quantity.name in _NAMELESS else header.quantity.name
    return name + _marks(header, header.quantity.modifiers)


@lru_cache(maxsize=1024)
def renamed(register: Register, channel: str) -> Register:
    """The same register under another channel name."""
    return replace(register, channel=channel)


class Channels:
    """Headers to registers, at the resolution that the profile states.

    Args:
        own: the profile's registers by channel.
    """

    def __init__(self, own: Mapping[str, Register]) -> None:
        self._own = own
        self.place = lru_cache(maxsize=4096)(self._place)

    def _place(self, header: Header, device_type: int) -> Place | None:
        """Where a header's numbers belong; None when it holds no number.

        The scaler depends on the header alone: the finer one of the register and the header, so
        that a channel of one meter keeps its resolution whatever the value.
        """
        register = _canonical(header, device_type) or _raw(header)
        if register is None:
            return None
        usual = self._own.get(register.channel, register).scaler
        scaler = min(usual, header.exponent)
        if not -_SCALER_LIMIT <= scaler <= _SCALER_LIMIT:
            return None
        factor: int = header.quantity.multiplier * 10 ** (header.exponent - scaler)
        return Place(replace(register, scaler=scaler), factor)
