"""How many telegrams of each standard are read to the values that their source states."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firmware_profiles.conformance.vectors import Vector, read_vectors
from ohmesh.model.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from firmware_profiles.api import Decoded, Profile

_MUST_BE_REFUSED = frozenset({"mbus-negative"})
"""Standards whose telegrams are all wrong."""


@dataclass(frozen=True, slots=True)
class Score:
    """What was read of one standard.

    Attributes:
        telegrams: how many there are.
        passed: those of which every wanted number was read, or that were refused when they must be.
        numbers: wanted numbers.
        matched: those among the readings.
        missed: names of the telegrams that did not pass.
    """

    telegrams: int = 0
    passed: int = 0
    numbers: int = 0
    matched: int = 0
    missed: tuple[str, ...] = ()


def score(paths: Iterable[Path]) -> dict[str, Score]:
    """Standard -> score of the telegrams in files. Raises RecordError, OSError."""
    found: dict[str, Score] = defaultdict(Score)
    for standard, profile, vector in read_vectors(paths):
        refused = vector.refused or standard in _MUST_BE_REFUSED
        decoded = _decode(profile, vector)
        wanted = 0 if refused else len(vector.wanted)
        matched = 0 if decoded is None or refused else wanted - len(vector.missing(decoded))
        passed = decoded is None if refused else decoded is not None and matched == wanted
        so_far = found[standard]
        found[standard] = replace(
            so_far,
            telegrams=so_far.telegrams + 1,
            passed=so_far.passed + passed,
            numbers=so_far.numbers + wanted,
            matched=so_far.matched + matched,
            missed=so_far.missed if passed else (*so_far.missed, vector.name),
        )
    return dict(found)


def _decode(profile: Profile, vector: Vector) -> Decoded | None:
    try:
        return profile.decode(vector.payload, keys=vector.keys)
    except DecodeError:
        return None
