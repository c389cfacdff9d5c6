"""Register maps: what the registers of a meter model hold, from a TOML file.

[meter]    brand, models, source, checked_on
[modbus]   function 3 or 4, word_order "big" or "little"; sunspec = [model ids] when addresses
           count from the start of a SunSpec model; highest_is_absent = true when the highest
           number of an integer's type means that there is no value; max_gap, max_count bound
           how a reader groups registers; points, each a table of
           address         as in the frame, from 0
           type            int16 uint16 int32 uint32 acc32 int64 uint64 float32 float64
           obis, unit      what it is; a prefix is part of the unit, kWh
           exponent        value x 10^exponent in that unit, 0 when left out
           scale_at        address of the register that holds the exponent
           zero_is_absent  true: 0 means that the meter has no value
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from firmware_profiles.codecs.modbus import binary
from firmware_profiles.codecs.units import text_unit
from firmware_profiles.toml import TomlFile
from ohmesh.model.errors import ModelError
from ohmesh.model.obis import Obis
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_POINT_KEYS = frozenset(
    ["address", "type", "obis", "unit", "exponent", "scale_at", "zero_is_absent"]
)
_MODBUS_KEYS = frozenset(
    [
        *("function", "word_order", "sunspec", "points"),
        *("highest_is_absent", "max_gap", "max_count"),
    ]
)
_SCALE_MAX = 10
_ADDRESS_MAX = 0xFFFF


class Kind(Enum):
    """How a value stands in registers: words, sign, and the code for no value."""

    INT16 = (1, True, -0x8000)
    UINT16 = (1, False, 0xFFFF)
    INT32 = (2, True, -0x80000000)
    UINT32 = (2, False, 0xFFFFFFFF)
    ACC32 = (2, False, None)
    INT64 = (4, True, -0x8000000000000000)
    UINT64 = (4, False, 0xFFFFFFFFFFFFFFFF)
    FLOAT32 = (2, binary.FLOAT32, None)
    FLOAT64 = (4, binary.FLOAT64, None)

    @property
    def words(self) -> int:
        """Registers that it takes."""
        return int(self.value[0])


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a meter; fields as in the file, `exponent` with that of the unit's prefix."""

    address: int
    kind: Kind
    obis: Obis
    unit: Unit
    exponent: int = 0
    scale_at: int | None = None
    zero_is_absent: bool = False
    words: int = field(init=False)

    def __post_init__(self) -> None:
        """The registers that the kind takes, at hand where points are searched."""
        object.__setattr__(self, "words", self.kind.words)


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """The registers of a meter model.

    Attributes:
        name: of the file.
        brand: maker.
        models: model names.
        function: Modbus function that reads them.
        little_words: whether the lowest word of a number comes first.
        sunspec: SunSpec model ids, empty for absolute addresses.
        highest_is_absent: whether the highest number of an integer's type means no value.
        points: in the order of the file.
    """

    name: str
    brand: str
    models: tuple[str, ...]
    function: int
    little_words: bool
    sunspec: tuple[int, ...]
    highest_is_absent: bool
    points: tuple[Point, ...]

    def read(self, data: bytes, address: int) -> Iterator[tuple[Point, tuple[int, int]]]:
        """The values in registers that begin at an address: point, mantissa and exponent.

        A value is left out when it is not wholly there, when the meter says that it has none, and
        when its scale register is not there: nothing is guessed.
        """
        size = len(data)
        for point in self.points:
            start = 2 * (point.address - address)
            stop = start + 2 * point.words
            if start < 0 or stop > size:
                continue
            number = self._number(point, data[start:stop])
            exponent = self._exponent(point, data, address)
            absent = number is None or (point.zero_is_absent and not number[0])
            if number is not None and not absent and exponent is not None:
                yield point, (number[0], number[1] + exponent)

    def _number(self, point: Point, octets: bytes) -> tuple[int, int] | None:
        ordered = _swap(octets) if self.little_words else octets
        words, form, absent = point.kind.value
        if isinstance(form, binary.Format):
            return binary.decode(ordered, form)
        value = int.from_bytes(ordered, "big", signed=form)
        if self.highest_is_absent:
            absent = (1 << 16 * words - form) - 1
        elif not self.sunspec:
            absent = None  # the kinds' codes for "no value" are SunSpec's
        return None if value == absent else (value, 0)

    def _exponent(self, point: Point, data: bytes, address: int) -> int | None:
        if point.scale_at is None:
            return point.exponent
        octets = _registers(data, point.scale_at - address, 1)
        scale = int.from_bytes(octets, "big", signed=True)
        known = octets and -_SCALE_MAX <= scale <= _SCALE_MAX
        return point.exponent + scale if known else None

    def write(self, point: Point, mantissa: int, exponent: int) -> bytes | None:
        """The registers that hold mantissa x 10**exponent; None when they cannot, exactly."""
        shift = exponent - point.exponent
        words, form, _ = point.kind.value
        if isinstance(form, binary.Format):
            octets = binary.encode(mantissa, shift, form)
        else:
            value, left = divmod(mantissa * 10 ** max(shift, 0), 10 ** max(-shift, 0))
            bits = 16 * words - form
            fits = not left and (-(1 << bits) if form else 0) <= value < 1 << bits
            octets = value.to_bytes(2 * words, "big", signed=form) if fits else None
        if octets is None:
            return None
        number = self._number(point, _swap(octets) if self.little_words else octets)
        if number is None or not _same(number, (mantissa, shift)):
            return None
        return _swap(octets) if self.little_words else octets


def _same(left: tuple[int, int], right: tuple[int, int]) -> bool:
    lowest = min(left[1], right[1])
    return bool(left[0] * 10 ** (left[1] - lowest) == right[0] * 10 ** (right[1] - lowest))


def _registers(data: bytes, index: int, words: int) -> bytes:
    """Registers from an index on; empty when they are not all there."""
    octets = data[2 * index : 2 * (index + words)] if index >= 0 else b""
    return octets if len(octets) == 2 * words else b""


def _swap(octets: bytes) -> bytes:
    """The words in reverse, the bytes of each as they are."""
    return b"".join(octets[at : at + 2] for at in range(len(octets) - 2, -1, -2))


def parse_map(name: str, text: str) -> RegisterMap:
    """A map from its TOML text. Raises ProfileError with line, key and reason."""
    file = TomlFile.parse(name, text)
    file.only(file.data, {"meter", "modbus"})
    meter, modbus = file.table("meter"), file.table("modbus")
    file.only(meter, {"brand", "models", "source", "checked_on"})
    file.only(modbus, _MODBUS_KEYS)
    file.need(meter, "source", str)
    file.need(meter, "checked_on", dt.date)
    function = file.need(modbus, "function", int)
    if function not in (3, 4):
        file.refuse("function", f"{function} is neither 3 nor 4")
    order = file.choice(file.need(modbus, "word_order", str), "word_order", {"big", "little"})
    sunspec = file.typed(modbus.get("sunspec", []), "sunspec", list)
    return RegisterMap(
        name=name,
        brand=file.need(meter, "brand", str),
        models=file.texts(meter, "models"),
        function=function,
        little_words=order == "little",
        sunspec=tuple(file.typed(item, "sunspec", int) for item in sunspec),
        highest_is_absent=file.typed(
            modbus.get("highest_is_absent", False), "highest_is_absent", bool
        ),
        points=tuple(_point(file, item) for item in file.need(modbus, "points", list)),
    )


def _point(file: TomlFile, item: object) -> Point:
    table = file.typed(item, "points", dict)
    file.only(table, _POINT_KEYS)
    address = file.need(table, "address", int)
    if not 0 <= address <= _ADDRESS_MAX:
        file.refuse("address", f"{address} is outside 0 to {_ADDRESS_MAX}")
    kind = file.choice(file.need(table, "type", str), "type", {k.name.lower() for k in Kind})
    unit, prefix = _unit(file, file.need(table, "unit", str))
    return Point(
        address=address,
        kind=Kind[kind.upper()],
        obis=_obis(file, file.need(table, "obis", str)),
        unit=unit,
        exponent=prefix + file.typed(table.get("exponent", 0), "exponent", int),
        scale_at=_optional(file, table, "scale_at"),
        zero_is_absent=file.typed(table.get("zero_is_absent", False), "zero_is_absent", bool),
    )


def _optional(file: TomlFile, table: Mapping[str, Any], key: str) -> int | None:
    return file.typed(table[key], key, int) if key in table else None


def _obis(file: TomlFile, text: str) -> Obis:
    try:
        return Obis.parse(text)
    except ModelError as error:
        file.refuse("obis", str(error))


def _unit(file: TomlFile, text: str) -> tuple[Unit, int]:
    known = (Unit.ONE, 0) if text == Unit.ONE.value else text_unit(text)
    if known is None:
        file.refuse("unit", f"{text!r} is no unit that we know")
    return known
