"""Which registers of a Modbus meter are read: the addresses of a map, grouped.

The map is the file that the head-end's profile decodes with (`firmware_profiles/modbus/maps`);
here it is data, and only its function, addresses and types are looked at. A map of one's own is
the path of a file of the same form.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAPS = "firmware_profiles"
_FOLDER = ("modbus", "maps")
COUNT_MAX = 125
"""Registers in one answer (Modbus application protocol 1.1b3, 6.3)."""
_GAP_MAX = 16
"""Unused registers that are cheaper to read than another request."""
_WORDS = {
    **dict.fromkeys(("int16", "uint16"), 1),
    **dict.fromkeys(("int32", "uint32", "acc32", "float32"), 2),
    **dict.fromkeys(("int64", "uint64", "float64"), 4),
}
_OTHER_PROFILES = dict.fromkeys(("carlo_gavazzi_em24", "carlo_gavazzi_em300"), "modbus_em24")


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How a meter model is read.

    Attributes:
        function: 3 or 4.
        blocks: first register and count of each read; empty for a SunSpec meter.
        sunspec: model ids to look for.
        profile: that decodes it.
    """

    function: int
    blocks: tuple[tuple[int, int], ...]
    sunspec: frozenset[int]
    profile: str


def grouped(
    spans: Iterable[tuple[int, int]], *, gap_max: int, count_max: int
) -> tuple[tuple[int, int], ...]:
    """Spans (first register, count) joined into as few reads as the bounds allow, ascending."""
    reads: list[tuple[int, int]] = []
    for start, count in sorted(spans):
        if reads:
            first, length = reads[-1]
            end = max(first + length, start + count)
            if start - (first + length) <= gap_max and end - first <= count_max:
                reads[-1] = (first, end - first)
                continue
        reads.append((start, count))
    return tuple(reads)


def map_names() -> list[str]:
    """The maps that come with the profiles."""
    folder = files(_MAPS).joinpath(*_FOLDER)
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir())


@cache
def read_plan(name: str) -> ReadPlan:
    """The plan of a map, by its name or the path of a file. Raises ConfigError."""
    try:
        return _plan(name, tomllib.loads(_text(name))["modbus"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the register map {name} is wrong: {error!r}") from error


def _text(name: str) -> str:
    if name in map_names():
        return files(_MAPS).joinpath(*_FOLDER, f"{name}.toml").read_text(encoding="utf-8")
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        known = ", ".join(map_names())
        raise ConfigError(f"no register map {name!r}: a file, or one of {known}") from error


def _plan(name: str, modbus: dict[str, Any]) -> ReadPlan:
    function = modbus["function"]
    if function not in {3, 4}:
        raise ValueError(f"function {function} is neither 3 nor 4")
    sunspec = frozenset(modbus.get("sunspec", ()))
    spans = [] if sunspec else list(_spans(modbus["points"]))
    gap_max, count_max = modbus.get("max_gap", _GAP_MAX), modbus.get("max_count", COUNT_MAX)
    blocks = grouped(spans, gap_max=gap_max, count_max=min(count_max, COUNT_MAX))
    return ReadPlan(function, blocks, sunspec, _OTHER_PROFILES.get(name, "modbus"))


def _spans(points: list[dict[str, Any]]) -> Iterable[tuple[int, int]]:
    for point in points:
        yield point["address"], _WORDS[point["type"]]
        if "scale_at" in point:
            yield point["scale_at"], 1
