"""DL/T 698.45 answers -> readings.

The answer has no scaler: it is that of the object, and finer in attribute 4 of energies. An element
index of 0 means the whole list: total and tariffs, or total and phases.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, NamedTuple

from firmware_profiles.api import Decoded
from firmware_profiles.cn_645 import quantities as q
from firmware_profiles.codecs.clock import to_utc
from firmware_profiles.codecs.dlt698 import link, read
from firmware_profiles.codecs.number import reading as number_reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware_profiles.base import RegisterFor
    from firmware_profiles.cn_645.quantities import Quantity
    from firmware_profiles.codecs.dlt698.data import Data
    from firmware_profiles.codecs.dlt698.read import Oad, Result
    from ohmesh.model.reading import Reading

_CLOCK, _FREEZE_TIME = 0x4000, 0x2021
_YEARS = range(1970, 2200)


class Variable(NamedTuple):
    """Quantities of the elements in their order, and the exponent in their unit."""

    quantities: tuple[Quantity, ...]
    exponent: int


_VARIABLES = {
    0x2000: Variable(q.VOLTAGE[1:], -1),
    0x2001: Variable((*q.CURRENT[1:], q.NEUTRAL_CURRENT), -3),
    0x2003: Variable(q.ANGLE[1:], -1),
    0x2004: Variable(q.ACTIVE_POWER, -1),
    0x2005: Variable(q.REACTIVE_POWER, -1),
    0x2006: Variable(q.APPARENT_POWER, -1),
    0x2007: Variable((q.MEAN_POWER,), -1),
    0x200A: Variable(q.POWER_FACTOR, -3),
    0x200B: Variable(q.VOLTAGE_DISTORTION[1:], -2),
    0x200C: Variable(q.CURRENT_DISTORTION[1:], -2),
    0x200F: Variable((q.FREQUENCY,), -2),
    0x2010: Variable((q.TEMPERATURE,), -1),
    0x2011: Variable((q.CLOCK_BATTERY,), -2),
    0x2012: Variable((q.OUTAGE_BATTERY,), -2),
    0x2017: Variable((q.DEMAND,), -1),
    0x2018: Variable((q.REACTIVE_DEMAND,), -1),
    0x2019: Variable((q.APPARENT_DEMAND,), -1),
}
"""OI -> what attribute 2 holds. Source: DL/T 698.45-2017, annex A."""
_PHASE_KINDS = {1: 0x15, 2: 0x29, 3: 0x3D}
_KIND_MAX, _TARIFF_MAX = 0x0A, 63
_ENERGY_EXPONENTS = {2: 1, 4: -1}
"""Attribute of an energy object -> exponent in Wh: 0.01 kWh, or 0.0001 kWh."""
_DEMAND_EXPONENTS = {2: -1}


def decode(payload: bytes, register_for: RegisterFor, zone: tzinfo, *, verify: bool) -> Decoded:
    """What a frame says. Raises DecodeError; offsets inside the APDU count from its start."""
    frame = link.decode(payload, verify=verify)
    device = {"id": frame.server}
    if frame.function != link.USER_DATA:
        return Decoded(device, (), None, {"apdu": frame.apdu.hex()})
    answer = read.decode(frame.apdu)
    if answer is None:
        return Decoded(device, (), None, {"apdu": frame.apdu.hex()})
    if answer.request:
        return Decoded(device, (), None, {"request": " ".join(str(r.oad) for r in answer.results)})
    return _decoded(device, answer.results, register_for, zone)


def _decoded(
    device: dict[str, str],
    results: tuple[Result, ...],
    register_for: RegisterFor,
    zone: tzinfo,
) -> Decoded:
    readings: list[Reading] = []
    texts: dict[str, str] = {}
    times = _row_times(results, zone)
    for result in results:
        time = times.get(result.row)
        found = [
            number_reading(register_for(quantity.obis, quantity.unit), number, own or time)
            for quantity, number, own in _cells(result, zone)
        ]
        readings += found
        if result.error is not None:
            texts[f"error.{result.oad}"] = str(result.error)
        elif not found:
            texts[str(result.oad)] = _text(result.data)
    return Decoded(device, tuple(readings), times.get(None), texts)


def _row_times(results: tuple[Result, ...], zone: tzinfo) -> dict[int | None, datetime]:
    """Row of a record (None: no record) -> its time: that of the freezing, or of the clock."""
    times: dict[int | None, datetime] = {}
    for result in results:
        if result.oad.oi in (_CLOCK, _FREEZE_TIME):
            moment = _instant(result.data, zone)
            if moment:
                times[result.row] = moment
    return times


def _instant(data: Data, zone: tzinfo) -> datetime | None:
    if not isinstance(data, datetime) or data.year not in _YEARS:
        return None
    return to_utc(data, zone)


def _cells(
    result: Result, zone: tzinfo
) -> Iterator[tuple[Quantity, tuple[int, int], datetime | None]]:
    """Quantity, mantissa and exponent, and a time of its own, of each number of a result."""
    oad = result.oad
    elements = result.data if oad.index == 0 and isinstance(result.data, list) else None
    for position, element in enumerate(elements if elements is not None else [result.data]):
        index = position if elements is not None else max(oad.index - 1, 0)
        value, own = element, None
        if isinstance(element, list) and len(element) == 2:
            value, own = element[0], _instant(element[1], zone)
        known = _quantity(oad, index)
        if known and isinstance(value, int) and not isinstance(value, bool):
            yield known[0], (value, known[1]), own


def _quantity(oad: Oad, index: int) -> tuple[Quantity, int] | None:
    """Quantity and exponent of an element, counted from 0, of an object."""
    if oad.oi < 0x0B00 or 0x1000 <= oad.oi < 0x1B00:
        return _cumulated(oad, index)
    variable = _VARIABLES.get(oad.oi)
    if variable is None or oad.attribute != 2 or index >= len(variable.quantities):
        return None
    return variable.quantities[index], variable.exponent


def _cumulated(oad: Oad, index: int) -> tuple[Quantity, int] | None:
    """Energies (OI 0kp0) and highest demands (OI 1kp0): k the kind, p the phase."""
    demand = oad.oi >= 0x1000
    kind, phase = oad.oi >> 4 & 0xFF, oad.oi & 0x0F
    exponents = _DEMAND_EXPONENTS if demand else _ENERGY_EXPONENTS
    exponent = exponents.get(oad.attribute)
    if kind > _KIND_MAX or index > _TARIFF_MAX or exponent is None:
        return None
    if phase:
        if phase not in _PHASE_KINDS or not kind:
            return None
        kind = _PHASE_KINDS[phase] + kind - 1
    quantity = q.cumulated(kind, index, 0, demand=demand)
    return (quantity, exponent) if quantity else None


def _text(data: Data) -> str:
    if isinstance(data, bytes):
        return data.hex()
    if isinstance(data, list):
        return "[" + ", ".join(_text(item) for item in data) + "]"
    return "" if data is None else str(data)
