"""What a tender asks for -> which profiles, drivers and ways of prepayment meet it.

Nothing is promised that is not installed: a driver or a token standard counts when its module can
be found, and is named as missing otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from firmware_profiles.toml import TomlFile
from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from firmware_profiles.api import Profile, ProfileSpec

_DRIVERS = "gateway.drivers"
_ANY_COUNTRY = ("-", "EU")
COMMODITIES = {
    "electricity": ("el.",),
    "gas": ("gas.",),
    "water": ("water.",),
    "heat": ("heat.", "cool.", "hca."),
}
"""Commodity -> beginnings of its channels."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a tender asks for; None where it leaves the choice.

    Attributes:
        country: ISO 3166 code.
        commodity: of COMMODITIES.
        transport: how telegrams travel, of standards.toml.
        prepayment: way of prepayment, of standards.toml.
    """

    country: str | None = None
    commodity: str | None = None
    transport: str | None = None
    prepayment: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """The answer.

    Attributes:
        profiles: name -> its standards that fit, best evidence first.
        met: parts at hand, in words.
        missing: parts that are not, in words.
    """

    profiles: Mapping[str, tuple[str, ...]]
    met: tuple[str, ...]
    missing: tuple[str, ...]


@cache
def _around() -> Mapping[str, Any]:
    text = files("firmware_profiles").joinpath("standards.toml").read_text(encoding="utf-8")
    return TomlFile.parse("standards.toml", text).data


def transports() -> tuple[str, ...]:
    """Names of the transports."""
    return tuple(_around()["transports"])


def prepayments() -> tuple[str, ...]:
    """Names of the ways of prepayment."""
    return tuple(_around()["prepayment"])


def transports_of(standard: str) -> tuple[str, ...]:
    """How telegrams of a standard travel; one that the file does not know rides the mesh."""
    return tuple(_around()["standards"].get(standard, ("mesh",)))


def match(demand: Demand, profiles: Iterable[Profile]) -> Match:
    """Hold a demand against profiles and what is installed beside them.

    Raises:
        ProfileError: a commodity, transport or way of prepayment that has no name here.
    """
    _known(demand.commodity, COMMODITIES, "commodity")
    _known(demand.transport, transports(), "transport")
    _known(demand.prepayment, prepayments(), "prepayment")
    fitting = {p.spec.name: _standards(p.spec, demand) for p in profiles if _fits(p.spec, demand)}
    found = {name: standards for name, standards in fitting.items() if standards}
    met: list[str] = []
    missing: list[str] = []
    if not found:
        missing.append("a profile for this country, commodity and transport")
    for name, there in (*_drivers(demand, found), *_prepayment(demand)):
        (met if there else missing).append(name)
    return Match(found, tuple(met), tuple(missing))


def _known(value: str | None, choices: Iterable[str], what: str) -> None:
    if value is not None and value not in choices:
        raise ProfileError(f"no {what} {value!r}; known are {', '.join(sorted(choices))}")


def _fits(spec: ProfileSpec, demand: Demand) -> bool:
    country = demand.country is None or spec.country in (demand.country, *_ANY_COUNTRY)
    beginnings = COMMODITIES[demand.commodity] if demand.commodity else ("",)
    return country and any(channel.startswith(beginnings) for channel in spec.registers)


def _standards(spec: ProfileSpec, demand: Demand) -> tuple[str, ...]:
    return tuple(
        standard
        for standard in spec.standards
        if demand.transport is None or demand.transport in transports_of(standard)
    )


def _drivers(demand: Demand, found: Mapping[str, tuple[str, ...]]) -> list[tuple[str, bool]]:
    """The transports asked for, or those of the standards found: words, and whether installed."""
    names = {t for standards in found.values() for s in standards for t in transports_of(s)}
    if demand.transport:
        names = {demand.transport}
    around = _around()["transports"]
    return [
        (
            f"driver {around[name]['driver']} ({around[name]['title']})",
            _installed(f"{_DRIVERS}.{around[name]['driver']}"),
        )
        for name in sorted(names)
    ]


def _prepayment(demand: Demand) -> list[tuple[str, bool]]:
    if demand.prepayment is None:
        return []
    way = _around()["prepayment"][demand.prepayment]
    return [(f"prepayment {demand.prepayment} ({way['title']})", _installed(way["module"]))]


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
