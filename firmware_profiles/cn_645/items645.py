"""DL/T 645-2007 data items: identifier and BCD data -> readings, and back.

Source: DL/T 645-2007, annex A, tables A.1 (energy), A.2 (highest demand), A.3 (variables), A.5.
The identifier is DI3 DI2 DI1 DI0; on the line DI0 comes first.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, NamedTuple

from firmware_profiles.cn_645 import quantities as q
from firmware_profiles.codecs.clock import to_utc
from firmware_profiles.codecs.cursor import malformed
from firmware_profiles.codecs.number import reading as number_reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware_profiles.base import RegisterFor
    from firmware_profiles.cn_645.quantities import Quantity
    from ohmesh.model.reading import Reading

BLOCK = 0xFF
DATE, CLOCK = 0x04000101, 0x04000102
_ENERGY, _DEMAND, _VARIABLE = 0x00, 0x01, 0x02
_ENERGY_BYTES, _DEMAND_BYTES, _STAMP_BYTES = 4, 3, 5
_BLOCK_MARK = 0xAA


class Format(NamedTuple):
    """A variable: its quantities (total, then phases), exponent in their unit, size, sign."""

    quantities: tuple[Quantity, ...]
    exponent: int
    size: int
    signed: bool = True


_PHASED = {
    0x01: Format(q.VOLTAGE, -1, 2, signed=False),
    0x02: Format(q.CURRENT, -3, 3),
    0x03: Format(q.ACTIVE_POWER, -1, 3),
    0x04: Format(q.REACTIVE_POWER, -1, 3),
    0x05: Format(q.APPARENT_POWER, -1, 3),
    0x06: Format(q.POWER_FACTOR, -3, 2),
    0x07: Format(q.ANGLE, -1, 2, signed=False),
    0x08: Format(q.VOLTAGE_DISTORTION, -2, 2, signed=False),
    0x09: Format(q.CURRENT_DISTORTION, -2, 2, signed=False),
}
"""DI2 -> format; DI1 is 00 the total, 01..03 the phases, FF all of them."""
_WITH_TOTAL = frozenset({0x03, 0x04, 0x05, 0x06})
_SINGLE = {
    0x01: Format((q.NEUTRAL_CURRENT,), -3, 3),
    0x02: Format((q.FREQUENCY,), -2, 2, signed=False),
    0x03: Format((q.MEAN_POWER,), -1, 3),
    0x04: Format((q.DEMAND,), -1, 3),
    0x05: Format((q.REACTIVE_DEMAND,), -1, 3),
    0x06: Format((q.APPARENT_DEMAND,), -1, 3),
    0x07: Format((q.TEMPERATURE,), -1, 2),
    0x08: Format((q.CLOCK_BATTERY,), -2, 2, signed=False),
    0x09: Format((q.OUTAGE_BATTERY,), -2, 2, signed=False),
}
"""DI0 of 02 80 00 DI0 -> format."""


class Cell(NamedTuple):
    """One value of an item: what it is, its exponent, its bytes, and the stamp beside it."""

    quantity: Quantity
    exponent: int
    octets: bytes
    signed: bool
    stamp: bytes = b""


def readings(
    identifier: int,
    data: bytes,
    register_for: RegisterFor,
    zone: tzinfo,
    time: datetime | None,
) -> list[Reading]:
    """The readings of an item, none when it is of another kind or the meter has no value.

    Raises:
        DecodeError: MALFORMED for data that are no BCD or of another length.
    """
    found: list[Reading] = []
    for cell in _cells(identifier, data):
        if cell.octets.strip(b"\xff"):
            value = signed_bcd(cell.octets, signed=cell.signed)
            own = _demand_stamp(cell.stamp, zone) if cell.stamp else time
            register = register_for(cell.quantity.obis, cell.quantity.unit)
            found.append(number_reading(register, (value, cell.exponent), own))
    return found


def _cells(identifier: int, data: bytes) -> Iterator[Cell]:
    table, kind, selector, last = identifier.to_bytes(4, "big")
    if table == _ENERGY:
        yield from _cumulated(kind, selector, last, data, demand=False)
    elif table == _DEMAND:
        yield from _cumulated(kind, selector, last, data, demand=True)
    elif table == _VARIABLE and kind in _PHASED and last in (0, BLOCK):
        yield from _phased(kind, selector, data)
    elif table == _VARIABLE and kind == 0x80 and selector == 0 and last in _SINGLE:
        form = _SINGLE[last]
        _need(data, form.size)
        yield Cell(form.quantities[0], form.exponent, data, form.signed)


def _cumulated(kind: int, tariff: int, period: int, data: bytes, *, demand: bool) -> Iterator[Cell]:
    """Energies of 0.01 kWh, or demands of 0.1 W with their time; DI1 = FF: total and tariffs."""
    size = _DEMAND_BYTES + _STAMP_BYTES if demand else _ENERGY_BYTES
    value_size = _DEMAND_BYTES if demand else _ENERGY_BYTES
    if kind not in q.KINDS or period == BLOCK:
        return
    rows = _split(data, size, block=tariff == BLOCK)
    for row, octets in enumerate(rows):
        quantity = q.cumulated(kind, row if tariff == BLOCK else tariff, period, demand=demand)
        if quantity:
            exponent = -1 if demand else 1
            stamp = octets[value_size:]
            yield Cell(quantity, exponent, octets[:value_size], signed=True, stamp=stamp)


def _phased(kind: int, phase: int, data: bytes) -> Iterator[Cell]:
    form = _PHASED[kind]
    if phase == BLOCK:
        first = 0 if kind in _WITH_TOTAL else 1
        cells = form.quantities[first:]
        rows = _split(data, form.size, block=True)
    elif phase < len(form.quantities):
        cells, rows = form.quantities[phase : phase + 1], _split(data, form.size, block=False)
    else:
        return
    for quantity, octets in zip(cells, rows, strict=False):
        yield Cell(quantity, form.exponent, octets, form.signed)


def _split(data: bytes, size: int, *, block: bool) -> list[bytes]:
    """The rows of a block, which some meters end with AA; a single item is one row."""
    if block and len(data) % size == 1 and data[-1] == _BLOCK_MARK:
        data = data[:-1]
    if not data or len(data) % size or (not block and len(data) != size):
        raise malformed(f"an item of {len(data)} bytes where rows have {size}")
    return [data[at : at + size] for at in range(0, len(data), size)]


def _need(data: bytes, size: int) -> None:
    if len(data) != size:
        raise malformed(f"an item of {len(data)} bytes where {size} belong")


def bcd(octets: bytes) -> int:
    """The number in BCD digits, lowest byte first. Raises DecodeError(MALFORMED)."""
    digits = octets[::-1].hex()
    if not digits.isdecimal():
        raise malformed(f"{digits} is no BCD number")
    return int(digits)


def signed_bcd(octets: bytes, *, signed: bool) -> int:
    """As `bcd`; the highest bit is the sign where the format has one."""
    if signed and octets[-1] & 0x80:
        return -bcd(octets[:-1] + bytes((octets[-1] & 0x7F,)))
    return bcd(octets)


def to_bcd(value: int, size: int, *, signed: bool) -> bytes | None:
    """The bytes of a number, lowest first; None when they cannot hold it."""
    digits = f"{abs(value):0{2 * size}}"
    octets = bytearray(bytes.fromhex(digits)[::-1]) if len(digits) == 2 * size else None
    if octets is None or (signed and octets[-1] & 0x80) or (value < 0 and not signed):
        return None
    if value < 0:
        octets[-1] |= 0x80
    return bytes(octets)


def _demand_stamp(octets: bytes, zone: tzinfo) -> datetime | None:
    """When a demand was highest: minute, hour, day, month, year in BCD; zeros when never."""
    digits = octets[::-1].hex()
    if not digits.isdecimal():
        return None
    return local_time([int(digits[i : i + 2]) for i in range(0, len(digits), 2)], zone)


def local_time(parts: list[int], zone: tzinfo) -> datetime | None:
    """The instant of year of the century, month, day, hour, minute [, second]."""
    try:
        local = datetime(2000 + parts[0], *parts[1:])  # type: ignore[arg-type]  # noqa: DTZ001 - local
    except ValueError:
        return None
    return to_utc(local, zone)


def identifiers() -> dict[Quantity, tuple[int, int, int, bool]]:
    """Quantity -> identifier, exponent, size, sign: what a meter can be asked, for the encoder."""
    known: dict[Quantity, tuple[int, int, int, bool]] = {}
    for kind in q.KINDS:
        for tariff in range(5):
            quantity = q.cumulated(kind, tariff, 0)
            if quantity:
                known[quantity] = (kind << 16 | tariff << 8, 1, _ENERGY_BYTES, True)
    for kind, form in _PHASED.items():
        for phase, quantity in enumerate(form.quantities):
            identifier = _VARIABLE << 24 | kind << 16 | phase << 8
            known[quantity] = (identifier, form.exponent, form.size, form.signed)
    for last, form in _SINGLE.items():
        identifier = _VARIABLE << 24 | 0x80 << 16 | last
        known[form.quantities[0]] = (identifier, form.exponent, form.size, form.signed)
    return known
