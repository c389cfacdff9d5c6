"""How each maker writes a list: resolution of values without scaler, and names by position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.dlms.push import Dialect
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from firmware_profiles.codecs.axdr import Value

_CLOCK = "0-0:1.0.0"
_HEAD = ("1-0:0.2.129", "0-0:96.1.0", "0-0:96.1.7")
_POWER = ("1-0:1.7.0", "1-0:2.7.0", "1-0:3.7.0", "1-0:4.7.0")
_CURRENT = ("1-0:31.7.0", "1-0:51.7.0", "1-0:71.7.0")
_VOLTAGE = ("1-0:32.7.0", "1-0:52.7.0", "1-0:72.7.0")
_ENERGY = (_CLOCK, "1-0:1.8.0", "1-0:2.8.0", "1-0:3.8.0", "1-0:4.8.0")
_ONE_PHASE = (*_HEAD, *_POWER, _CURRENT[0], _VOLTAGE[0])
_THREE_PHASES = (*_HEAD, *_POWER, *_CURRENT, *_VOLTAGE)

AIDON = Dialect("Aidon")
"""Every value has its scaler and unit. Aidon, HAN interface description."""

KAIFA = Dialect(
    "Kaifa",
    {Unit.A: -3, Unit.V: -1},
    (
        _POWER[:1],
        _ONE_PHASE,
        _THREE_PHASES,
        (*_ONE_PHASE, *_ENERGY),
        (*_THREE_PHASES, *_ENERGY),
    ),
)
"""The length of the list tells what it holds. Kaifa, KFM_001 OBIS lists 1 to 3."""

KAMSTRUP = Dialect("Kamstrup", {Unit.A: -2, Unit.WH: 1, Unit.VARH: 1})
"""Kamstrup HAN NVE interface description: currents in 0.01 A, energies in 10 Wh."""

KAMSTRUP_CT = Dialect("Kamstrup", {Unit.A: -3, Unit.WH: 1, Unit.VARH: 1})
"""Transformer meters (type 685..): currents in 0.001 A."""

ISKRA = Dialect(
    "Iskraemeco",
    {Unit.A: -2, Unit.V: -1},
    (
        (
            "0-0:42.0.0",
            "0-0:96.1.2",
            *_POWER,
            *_VOLTAGE,
            *_CURRENT,
            *("1-0:21.7.0", "1-0:41.7.0", "1-0:61.7.0"),
            *("1-0:22.7.0", "1-0:42.7.0", "1-0:62.7.0"),
        ),
        (
            *("0-0:42.0.0", "0-0:96.1.3", "0-0:96.3.10", "0-0:96.14.0"),
            *("1-0:1.8.0", "1-0:1.8.1", "1-0:1.8.2"),
            *("1-0:2.8.0", "1-0:2.8.1", "1-0:2.8.2"),
            *("1-0:3.8.0", "1-0:4.8.0"),
        ),
    ),
)
"""Slovenian interface I1, ECE lists 1 and 2."""

UNKNOWN = Dialect()

_KAMSTRUP_CT_TYPE = b"685"
_MARKS = ((b"KFM", KAIFA), (b"Kamstrup", KAMSTRUP), (b"AIDON", AIDON), (b"ISK", ISKRA))
_MARK_ITEMS = 3


def _octets(value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode("latin-1", "replace")
    return value if isinstance(value, bytes) else b""


def dialect_of(items: tuple[Value, ...]) -> Dialect:
    """The dialect of a list, by the marks that makers put into its first values."""
    if len(items) == 1 and isinstance(items[0], int):
        return KAIFA
    for item in items[:_MARK_ITEMS]:
        parts = item[:2] if isinstance(item, tuple) else (item,)
        for text in map(_octets, parts):
            found = next((dialect for mark, dialect in _MARKS if text.startswith(mark)), None)
            if found is KAMSTRUP and _has_ct_type(items):
                return KAMSTRUP_CT
            if found:
                return found
    return AIDON if all(_has_scaler(item) for item in items) else UNKNOWN


def _has_ct_type(items: tuple[Value, ...]) -> bool:
    return any(_octets(item).startswith(_KAMSTRUP_CT_TYPE) for item in items)


def _has_scaler(item: Value) -> bool:
    """Whether this is an entry of Aidon: a structure, with scaler and unit when it is a number."""
    return (
        isinstance(item, tuple)
        and len(item) >= 2
        and (len(item) == 3 or not isinstance(item[1], int))
    )
