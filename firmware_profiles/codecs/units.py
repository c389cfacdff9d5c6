"""Unit codes and unit texts of the standards -> base unit and decimal exponent."""

from __future__ import annotations

from functools import lru_cache

from ohmesh.model.unit import Unit

DLMS_UNITS: dict[int, tuple[Unit, int]] = {
    7: (Unit.SECOND, 0),
    8: (Unit.DEGREE, 0),
    9: (Unit.CELSIUS, 0),
    13: (Unit.M3, 0),
    14: (Unit.M3, 0),  # corrected volume
    15: (Unit.M3_PER_H, 0),
    16: (Unit.M3_PER_H, 0),  # corrected volume flux
    19: (Unit.M3, -3),  # litre
    20: (Unit.KG, 0),
    24: (Unit.BAR, 0),
    25: (Unit.J, 0),
    27: (Unit.W, 0),
    28: (Unit.VA, 0),
    29: (Unit.VAR, 0),
    30: (Unit.WH, 0),
    31: (Unit.VAH, 0),
    32: (Unit.VARH, 0),
    33: (Unit.A, 0),
    35: (Unit.V, 0),
    44: (Unit.HZ, 0),
    52: (Unit.KELVIN, 0),
    56: (Unit.PERCENT, 0),
    255: (Unit.ONE, 0),
}
"""DLMS and SML unit code -> (unit, exponent of ten). IEC 62056-6-2, table of enumerated units."""

_TEXT_BASES: dict[str, tuple[Unit, int]] = {
    "WH": (Unit.WH, 0),
    "VARH": (Unit.VARH, 0),
    "VAH": (Unit.VAH, 0),
    "W": (Unit.W, 0),
    "VAR": (Unit.VAR, 0),
    "VA": (Unit.VA, 0),
    "V": (Unit.V, 0),
    "A": (Unit.A, 0),
    "HZ": (Unit.HZ, 0),
    "J": (Unit.J, 0),
    "BAR": (Unit.BAR, 0),
}
_TEXT_WHOLE: dict[str, tuple[Unit, int]] = {
    "m3": (Unit.M3, 0),
    "m^3": (Unit.M3, 0),
    "m³": (Unit.M3, 0),
    "dm3": (Unit.M3, -3),
    "l": (Unit.M3, -3),
    "m3/h": (Unit.M3_PER_H, 0),
    "m3ph": (Unit.M3_PER_H, 0),
    "m³/h": (Unit.M3_PER_H, 0),
    "l/h": (Unit.M3_PER_H, -3),
    "s": (Unit.SECOND, 0),
    "°C": (Unit.CELSIUS, 0),
    "degC": (Unit.CELSIUS, 0),
    "C": (Unit.CELSIUS, 0),
    "K": (Unit.KELVIN, 0),
    "%": (Unit.PERCENT, 0),
    "deg": (Unit.DEGREE, 0),
    "°": (Unit.DEGREE, 0),
    "HCA": (Unit.HCA, 0),
    "kg": (Unit.KG, 0),
    "kg/h": (Unit.KG_PER_H, 0),
}
_PREFIXES = {"": 0, "m": -3, "k": 3, "M": 6, "G": 9}


@lru_cache(maxsize=512)
def text_unit(text: str) -> tuple[Unit, int] | None:
    """The unit and decimal exponent of a unit text: `kWh` is (Wh, 3); None when it is none.

    Makers write `kvar`, `kVAr` and `kVArh`; the case matters only in the prefix.
    """
    text = text.strip()
    if text in _TEXT_WHOLE:
        return _TEXT_WHOLE[text]
    for prefix, exponent in _PREFIXES.items():
        base = _TEXT_BASES.get(text[len(prefix) :].upper())
        if base and text.startswith(prefix):
            return base[0], base[1] + exponent
    return None
