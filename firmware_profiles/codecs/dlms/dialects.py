"""How makers write push lists: resolution of values without scaler, and names by position.

A list tells its dialect itself, by marks that makers put into its first values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.dlms.push import Dialect, described
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

KAMSTRUP = Dialect("Kamstrup", {Unit.A: -2, Unit.WH: 1, Unit.VARH: 1, Unit.ONE: -2})
"""Kamstrup HAN NVE interface description: currents in 0.01 A, energies in 10 Wh; power factors of
Danish lists in 0.01."""

KAMSTRUP_CT = Dialect("Kamstrup", {Unit.A: -3, Unit.WH: 1, Unit.VARH: 1, Unit.ONE: -2})
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

DESCRIBED = Dialect("", {Unit.A: -2, Unit.ONE: -3})
DESCRIBED_TENTHS = Dialect("", {Unit.A: -2, Unit.ONE: -3, Unit.V: -1})
"""Lists with descriptions, as Swiss meters send them (VSE configuration of the customer
interface): 0.01 A, power factor 0.001; voltages in V (L+G E450) or in 0.1 V (L+G E360)."""

UNKNOWN = Dialect()

_KAMSTRUP_CT_TYPE = b"685"
_MARKS = ((b"KFM", KAIFA), (b"Kamstrup", KAMSTRUP), (b"AIDON", AIDON), (b"ISK", ISKRA))
MARKS = (*(mark for mark, _ in _MARKS), _KAMSTRUP_CT_TYPE)
"""Beginnings of texts that choose the dialect."""
_MARK_ITEMS = 3
_VOLTAGE_GROUPS = frozenset({32, 52, 72})
_VOLTS_MAX = 1000
"""No voltage on a low-voltage network reaches this, so what does is in tenths."""


def dialect_of(items: tuple[Value, ...]) -> Dialect:
    """The dialect of a list, by its top-level values."""
    named = described(items)
    if named is not None:
        volts = [
            entry.value
            for entry in named
            if entry.obis[2] in _VOLTAGE_GROUPS and isinstance(entry.value, int)
        ]
        return DESCRIBED_TENTHS if max(volts, default=0) >= _VOLTS_MAX else DESCRIBED
    if len(items) == 1 and isinstance(items[0], int):
        return KAIFA
    for item in items[:_MARK_ITEMS]:
        parts = item[:2] if isinstance(item, tuple) else (item,)
        found = next(filter(None, map(_marked, parts)), None)
        if found is KAMSTRUP and any(_octets(i).startswith(_KAMSTRUP_CT_TYPE) for i in items):
            return KAMSTRUP_CT
        if found:
            return found
    return AIDON if all(_has_scaler(item) for item in items) else UNKNOWN


def _octets(value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode("latin-1", "replace")
    return value if isinstance(value, bytes) else b""


def _marked(value: Value) -> Dialect | None:
    text = _octets(value)
    return next((dialect for mark, dialect in _MARKS if text.startswith(mark)), None)


def _has_scaler(item: Value) -> bool:
    """Whether this is an entry of Aidon: a structure, with scaler and unit when it is a number."""
    if not isinstance(item, tuple) or len(item) < 2:
        return False
    return len(item) == 3 or not isinstance(item[1], int)
