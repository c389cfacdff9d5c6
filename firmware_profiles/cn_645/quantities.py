"""What Chinese data identifiers measure, for DL/T 645 and DL/T 698.45 alike.

Energies and demands are numbered by a kind (645: DI2; 698: middle digits of the OI), and each has a
total and tariffs. The signed combined energies are configurable sums; the usual ones are assumed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ohmesh.model.obis import UNUSED, Obis
from ohmesh.model.unit import Unit

_ACTIVE, _REACTIVE, _APPARENT = (Unit.WH, Unit.W), (Unit.VARH, Unit.VAR), (Unit.VAH, Unit.VA)
_KINDS = {
    0x00: (15, _ACTIVE),
    0x01: (1, _ACTIVE),
    0x02: (2, _ACTIVE),
    **{0x03 + n: (3 + n, _REACTIVE) for n in range(6)},
    0x09: (9, _APPARENT),
    0x0A: (10, _APPARENT),
}
"""Kind of the sum of all phases -> OBIS group C and the units of energy and of demand."""
_PHASE_FIRST = {0x15: 21, 0x29: 41, 0x3D: 61}
"""First kind of a phase -> OBIS group C of its active import."""
_PHASE_KINDS = (_ACTIVE, _ACTIVE, *(_REACTIVE,) * 6, _APPARENT, _APPARENT)


def _all_kinds() -> dict[int, tuple[int, tuple[Unit, Unit]]]:
    kinds = dict(_KINDS)
    for first, group_c in _PHASE_FIRST.items():
        kinds |= {first + n: (group_c + n, units) for n, units in enumerate(_PHASE_KINDS)}
    return kinds


KINDS = _all_kinds()


class Quantity(NamedTuple):
    """OBIS code and unit."""

    obis: Obis
    unit: Unit


@lru_cache(maxsize=4096)
def cumulated(kind: int, tariff: int, period: int, *, demand: bool = False) -> Quantity | None:
    """The energy, or the highest demand, of a kind.

    Args:
        kind: as in DI2 of DL/T 645.
        tariff: 0 the total, 1.. the tariffs.
        period: 0 now, 1.. billing periods back.
        demand: the highest demand instead of the energy.

    Returns:
        None for a kind that is neither.
    """
    if kind not in KINDS:
        return None
    group_c, units = KINDS[kind]
    obis = Obis(1, 0, group_c, 6 if demand else 8, tariff, period or UNUSED)
    return Quantity(obis, units[demand])


def _per_phase(total: str, phases: tuple[str, str, str], unit: Unit) -> tuple[Quantity, ...]:
    return tuple(Quantity(Obis.parse(text), unit) for text in (total, *phases))


VOLTAGE = _per_phase("1-0:12.7.0", ("1-0:32.7.0", "1-0:52.7.0", "1-0:72.7.0"), Unit.V)
CURRENT = _per_phase("1-0:11.7.0", ("1-0:31.7.0", "1-0:51.7.0", "1-0:71.7.0"), Unit.A)
ACTIVE_POWER = _per_phase("1-0:16.7.0", ("1-0:36.7.0", "1-0:56.7.0", "1-0:76.7.0"), Unit.W)
REACTIVE_POWER = _per_phase("1-0:131.7.0", ("1-0:151.7.0", "1-0:171.7.0", "1-0:191.7.0"), Unit.VAR)
APPARENT_POWER = _per_phase("1-0:9.7.0", ("1-0:29.7.0", "1-0:49.7.0", "1-0:69.7.0"), Unit.VA)
POWER_FACTOR = _per_phase("1-0:13.7.0", ("1-0:33.7.0", "1-0:53.7.0", "1-0:73.7.0"), Unit.ONE)
ANGLE = _per_phase("1-0:81.7.0", ("1-0:81.7.4", "1-0:81.7.15", "1-0:81.7.26"), Unit.DEGREE)
VOLTAGE_DISTORTION = _per_phase(
    "1-0:12.7.124", ("1-0:32.7.124", "1-0:52.7.124", "1-0:72.7.124"), Unit.PERCENT
)
CURRENT_DISTORTION = _per_phase(
    "1-0:11.7.124", ("1-0:31.7.124", "1-0:51.7.124", "1-0:71.7.124"), Unit.PERCENT
)
NEUTRAL_CURRENT = Quantity(Obis.parse("1-0:91.7.0"), Unit.A)
FREQUENCY = Quantity(Obis.parse("1-0:14.7.0"), Unit.HZ)
MEAN_POWER = Quantity(Obis.parse("1-0:16.5.0"), Unit.W)
DEMAND = Quantity(Obis.parse("1-0:1.4.0"), Unit.W)
REACTIVE_DEMAND = Quantity(Obis.parse("1-0:3.4.0"), Unit.VAR)
APPARENT_DEMAND = Quantity(Obis.parse("1-0:9.4.0"), Unit.VA)
TEMPERATURE = Quantity(Obis.parse("0-0:96.9.0"), Unit.CELSIUS)
CLOCK_BATTERY = Quantity(Obis.parse("0-0:96.6.3"), Unit.V)
OUTAGE_BATTERY = Quantity(Obis.parse("0-1:96.6.3"), Unit.V)
