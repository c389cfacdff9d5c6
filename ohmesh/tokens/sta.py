"""The Standard Transfer Algorithm (encryption algorithm 07): 64-bit blocks and keys, 16 rounds.

A round substitutes each nibble by one of two tables, chosen by the high bit of the key's nibble,
permutes the bits, and turns the key left by one. The published tables are samples, good for tests
alone; the production tables go to members of the STS Association, and `load_tables` reads them
from a file outside this repository.

Source: IEC 62055-41, 6.5.4 (process, sample substitution and permutation tables, example token).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_MASK = (1 << 64) - 1
_NIBBLES = range(16)
_BYTES = range(8)
_ROUNDS = 16


@dataclass(frozen=True, slots=True)
class StaTables:
    """Two substitutions of 16 nibbles, and where each of the 64 bits goes."""

    substitution1: tuple[int, ...]
    substitution2: tuple[int, ...]
    permutation: tuple[int, ...]

    def __post_init__(self) -> None:
        for table, size in (
            (self.substitution1, 16),
            (self.substitution2, 16),
            (self.permutation, 64),
        ):
            if sorted(table) != list(range(size)):
                raise ConfigError(f"a table of the STA is no permutation of 0..{size - 1}")


SAMPLE_TABLES = StaTables(
    substitution1=(12, 10, 8, 4, 3, 15, 0, 2, 14, 1, 5, 13, 6, 9, 7, 11),
    substitution2=(6, 9, 7, 4, 3, 10, 12, 14, 2, 13, 1, 15, 0, 11, 8, 5),
    permutation=(
        *(29, 27, 34, 9, 16, 62, 55, 2, 40, 49, 38, 25, 33, 61, 30, 23),
        *(1, 41, 21, 57, 42, 15, 5, 58, 19, 53, 22, 17, 48, 28, 24, 39),
        *(3, 60, 36, 14, 11, 52, 54, 12, 31, 51, 10, 26, 0, 45, 37, 43),
        *(44, 6, 59, 4, 7, 35, 56, 50, 13, 18, 32, 47, 46, 63, 20, 8),
    ),
)


def load_tables(path: Path) -> StaTables:
    """Tables of a licensee from a JSON file with the fields of `StaTables`. Raises ConfigError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return StaTables(**{name: tuple(table) for name, table in content.items()})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: no tables of the STA: {error}") from error


class Sta:
    """The algorithm with its tables, prepared once and then shared by all keys."""

    def __init__(self, tables: StaTables) -> None:
        substitutions = (tables.substitution1, tables.substitution2)
        # [nibble position][key bit][nibble] -> its four bits substituted and permuted
        self._forward = [
            [
                [_spread(s[n] << 4 * position, tables.permutation) for n in _NIBBLES]
                for s in substitutions
            ]
            for position in _NIBBLES
        ]
        inverse = tuple(tables.permutation.index(i) for i in range(64))
        self._permute_back = [
            [_spread(b << 8 * position, inverse) for b in range(256)] for position in _BYTES
        ]
        self._substitute_back = [tuple(s.index(n) for n in _NIBBLES) for s in substitutions]

    def encrypt(self, key: int, block: int) -> int:
        """One block."""
        key = _turn_left(key ^ _MASK, 52)  # right by 12
        for _ in range(_ROUNDS):
            out = 0
            for position, tables in enumerate(self._forward):
                shift = 4 * position
                out |= tables[key >> shift + 3 & 1][block >> shift & 15]
            block, key = out, _turn_left(key, 1)
        return block

    def decrypt(self, key: int, block: int) -> int:
        """The inverse of `encrypt`."""
        key = _turn_left(key ^ _MASK, 52 + _ROUNDS)
        for _ in range(_ROUNDS):
            key = _turn_left(key, 63)
            mixed = 0
            for position, table in enumerate(self._permute_back):
                mixed |= table[block >> 8 * position & 255]
            block = self._substituted_back(key, mixed)
        return block

    def _substituted_back(self, key: int, mixed: int) -> int:
        out = 0
        for shift in range(0, 64, 4):
            out |= self._substitute_back[key >> shift + 3 & 1][mixed >> shift & 15] << shift
        return out


def _turn_left(key: int, bits: int) -> int:
    bits %= 64
    return (key << bits | key >> 64 - bits) & _MASK


def _spread(value: int, permutation: tuple[int, ...]) -> int:
    """The bits of a value, each at its new place."""
    return sum(1 << to for bit, to in enumerate(permutation) if value >> bit & 1)
