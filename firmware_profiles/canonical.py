"""Canonical registers: which OBIS code is which channel, in which unit and resolution.

The data is `registers.toml`. What is not in it stays as `raw.<obis>`, never dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from firmware_profiles.toml import TomlFile
from ohmesh.model.errors import ModelError
from ohmesh.model.obis import UNUSED, Obis
from ohmesh.model.reading import Register
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

KINDS = frozenset({"cumulative", "instant", "interval", "max", "state", "counter"})
_TIME_INTEGRAL = 8
"""Value group D of energy counters."""
SCALER_MIN, SCALER_MAX = -18, 18
_UNITS = frozenset(unit.value for unit in Unit)


@dataclass(frozen=True, slots=True)
class Canonical:
    """A register of the canonical table.

    Attributes:
        register: channel, OBIS, unit, usual scaler.
        kind: `cumulative`, `instant`, `interval`, `max`, `state` or `counter`.
        also: other units in which meters give it -> usual scaler there.
    """

    register: Register
    kind: str
    also: Mapping[Unit, int] = field(default_factory=dict)


def parse_register(file: TomlFile, channel: str, table: Mapping[str, Any]) -> Register:
    """A register from its table of `obis`, `unit` and `scaler`. Raises ProfileError."""
    text = file.need(table, "obis", str)
    try:
        obis = Obis.parse(text)
    except ModelError as error:
        file.refuse(channel, str(error))
    unit = file.need(table, "unit", str)
    file.choice(unit, channel, _UNITS)
    scaler = file.need(table, "scaler", int)
    if not SCALER_MIN <= scaler <= SCALER_MAX:
        file.refuse(channel, f"a scaler of {scaler} is outside {SCALER_MIN} to {SCALER_MAX}")
    return Register(channel, obis, Unit(unit), scaler)


def _parse_entry(file: TomlFile, channel: str, table: object) -> Canonical:
    entry = file.typed(table, channel, dict)
    file.only(entry, {"obis", "unit", "scaler", "kind", "also"})
    kind = file.choice(file.need(entry, "kind", str), channel, KINDS)
    also = file.typed(entry.get("also", {}), "also", dict)
    others = {Unit(file.choice(u, channel, _UNITS)): int(scaler) for u, scaler in also.items()}
    return Canonical(parse_register(file, channel, entry), kind, others)


@cache
def table() -> Mapping[str, Canonical]:
    """Channel -> canonical register."""
    text = files("firmware_profiles").joinpath("registers.toml").read_text(encoding="utf-8")
    file = TomlFile.parse("registers.toml", text)
    return {channel: _parse_entry(file, channel, entry) for channel, entry in file.data.items()}


@cache
def _by_obis() -> Mapping[tuple[int, int, int, int, Unit], Register]:
    found: dict[tuple[int, int, int, int, Unit], Register] = {}
    for entry in table().values():
        r = entry.register
        code = (r.obis.a, r.obis.c, r.obis.d, r.obis.e)
        found[*code, r.unit] = r
        for unit, scaler in entry.also.items():
            found[*code, unit] = replace(r, unit=unit, scaler=scaler)
    return found


@lru_cache(maxsize=4096)
def register_for(obis: Obis, unit: Unit, scaler: int = 0) -> Register:
    """The register of an OBIS code as a meter sent it.

    Args:
        obis: the code, kept as it is; group B does not matter (1-0 is 1-1), except that it
            numbers a device where A is 0.
        unit: base unit of the value.
        scaler: resolution of a register that is not canonical.

    Returns:
        The canonical register with this OBIS when the code is known, is a current value (group F
        unused) and the unit is one of the table's; otherwise the register `raw.<obis>`.
    """
    known = _by_obis().get((obis.a, obis.c, obis.d, obis.e, unit))
    if known is None or obis.f != UNUSED or (obis.a == 0 and obis.b != known.obis.b):
        return Register(f"raw.{obis}", obis, unit, scaler)
    return known if known.obis == obis else replace(known, obis=obis)


@lru_cache(maxsize=4096)
def usual(obis: Obis) -> Register | None:
    """The register of an OBIS code in its usual unit; None when the code is not known.

    A tariff register (D = 8, E = 1..) without a channel of its own has the unit of the total.
    """
    known = next((e.register for e in table().values() if _same_code(e.register.obis, obis)), None)
    if known is not None:
        return register_for(obis, known.unit)
    if obis.d == _TIME_INTEGRAL and obis.e:
        total = usual(replace(obis, e=0))
        return None if total is None else register_for(obis, total.unit, total.scaler)
    return None


def _same_code(known: Obis, obis: Obis) -> bool:
    return (known.a, known.c, known.d, known.e) == (obis.a, obis.c, obis.d, obis.e)
