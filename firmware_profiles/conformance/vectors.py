"""Telegrams with the values that their source states: a JSON object a line.

`standard`, `telegram_hex` or `telegram_text`, `maker`, `source`, and
`expected {name: {value, unit, obis?}}`, where `value` may be a list. A telegram that must be
refused says so: `expected.error`, or a check of it that is false.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from firmware_profiles.codecs.units import text_unit
from firmware_profiles.records import RecordError, keys_of, listed, payload_of, profile_for
from ohmesh.model.errors import ModelError
from ohmesh.model.obis import Obis
from ohmesh.model.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from firmware_profiles.api import Decoded, Keys, Profile, ProfileSpec

_CHECKS = ("checksum_valid", "crc_valid", "valid_fcs", "auth_tag_valid")
_FACTORS = {(Unit.J, Unit.WH): 1 / Decimal(3600), (Unit.WH, Unit.J): Decimal(3600)}
"""Units of one quantity: a source may state in kWh what the meter sends in joules."""
_NO_MAKER = frozenset({"", "-", "?", "ohmesh"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A number that a telegram must give, to `tolerance`.

    That is half a unit of the last place that the source writes, or a millionth where the source
    writes the digits of a binary number (230.70000000000002).
    """

    name: str
    obis: Obis | None
    quantity: Decimal
    tolerance: Decimal
    unit: Unit

    def __str__(self) -> str:
        return f"{self.name} = {self.quantity} {self.unit}"


@dataclass(frozen=True, slots=True)
class Vector:
    """One telegram of a file.

    Attributes:
        name: its id.
        maker: who made the meter, empty when that is not known or it was no meter.
        payload: the bytes.
        keys: of the meter, None when it sends in clear.
        wanted: the numbers in it.
        refused: whether it must be refused.
    """

    name: str
    maker: str
    payload: bytes
    keys: Keys | None
    wanted: tuple[Wanted, ...]
    refused: bool

    def missing(self, decoded: Decoded) -> list[Wanted]:
        """The wanted numbers that a decoder did not give."""
        have = [(r.register.obis, r.register.unit, r.quantity) for r in listed(decoded)]
        return [
            wanted
            for wanted in self.wanted
            if not any(_is(wanted, obis, unit, quantity) for obis, unit, quantity in have)
        ]


def _is(wanted: Wanted, obis: Obis, unit: Unit, quantity: Decimal) -> bool:
    if unit is not wanted.unit:
        factor = _FACTORS.get((unit, wanted.unit))
        if factor is None:
            return False
        quantity *= factor
    if abs(quantity - wanted.quantity) > wanted.tolerance:
        return False
    other = wanted.obis
    return other is None or (obis.c, obis.d, obis.e) == (other.c, other.d, other.e)


def load_vectors(paths: Iterable[Path], spec: ProfileSpec) -> tuple[Vector, ...]:
    """The vectors of a profile's standards and country in files. Raises RecordError, OSError."""
    return tuple(
        _vector(fields, f"{path.name}:{number}")
        for path in paths
        for number, fields in _objects(path)
        if fields.get("standard") in spec.standards and _of_country(fields, spec.country)
    )


def read_vectors(paths: Iterable[Path]) -> Iterator[tuple[str, Profile, Vector]]:
    """The standard, the profile and the vector of every telegram. Raises RecordError, OSError."""
    for path in paths:
        for number, fields in _objects(path):
            standard, country = str(fields.get("standard")), str(fields.get("country", "-"))
            profile = profile_for(standard, country)
            yield standard, profile, _vector(fields, f"{path.name}:{number}")


def _objects(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                fields = json.loads(line, parse_float=Decimal)
            except ValueError as error:
                raise RecordError(f"{path.name}:{number}: no JSON: {error}") from error
            if not isinstance(fields, dict):
                raise RecordError(f"{path.name}:{number}: no JSON object")
            yield number, fields


def _of_country(fields: Mapping[str, Any], country: str) -> bool:
    """Whether a record is of a profile's country; one without a country is of all."""
    return country in ("-", "EU") or fields.get("country", "-") in (country, "-", "EU")


def _vector(fields: Mapping[str, Any], place: str) -> Vector:
    expected = fields.get("expected", {})
    if not isinstance(expected, dict):
        raise RecordError(f"{place}: expected is no object")
    maker = str(fields.get("maker", ""))
    return Vector(
        name=str(fields.get("id", place)),
        maker="" if maker in _NO_MAKER or maker.startswith("spec") else maker,
        payload=payload_of(fields),
        keys=keys_of(fields),
        wanted=tuple(_wanted(expected)),
        refused="error" in expected or any(_is_false(expected.get(name)) for name in _CHECKS),
    )


def _is_false(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("value") is False


def _wanted(expected: Mapping[str, Any]) -> Iterator[Wanted]:
    for name, entry in expected.items():
        known = text_unit(str(entry.get("unit") or "")) if isinstance(entry, dict) else None
        if known is None:
            continue
        value = entry.get("value")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, (int, Decimal)) and not isinstance(number, bool):
                yield _number(name, entry, Decimal(number), *known)


def _number(
    name: str, entry: Mapping[str, Any], number: Decimal, unit: Unit, exponent: int
) -> Wanted:
    last_place = number.as_tuple().exponent
    place = last_place if isinstance(last_place, int) else 0
    quantity = number.scaleb(exponent)
    tolerance = max(Decimal(5).scaleb(place + exponent - 1), abs(quantity).scaleb(-6))
    return Wanted(name, _obis(str(entry.get("obis", name))), quantity, tolerance, unit)


def _obis(text: str) -> Obis | None:
    try:
        return Obis.parse(text)
    except ModelError:
        return None
