"""What a value information field names: a quantity, its unit and its decimal exponent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ohmesh.model.unit import Unit


class Kind(Enum):
    """How the data field of a quantity is read."""

    NUMBER = auto()
    """A signed integer, a real or a BCD number, with a unit."""
    CODE = auto()
    """Bits or a plain count: binary data is unsigned (types C and D of EN 13757-3, annex A)."""
    LABEL = auto()
    """A name made of digits or letters; never a number."""
    STAMP = auto()
    """A date, a time or both."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity.

    Attributes:
        name: what is measured: `energy`, `volume`, `temp.flow` ...
        unit: base unit; None for a LABEL or a STAMP.
        exponent: decimal exponent of the number as sent.
        multiplier: integer factor to the base unit, 3600 for hours.
        kind: how the data field is read.
        modifiers: what orthogonal VIFEs add, in their order: `export`, `l1`, `x5a` ...
    """

    name: str
    unit: Unit | None
    exponent: int = 0
    multiplier: int = 1
    kind: Kind = Kind.NUMBER
    modifiers: tuple[str, ...] = ()
