"""Load shapes: how a usual day is spread over its quarter-hours, by month and kind of day.

A shape is read from a file in the layout in which the German association of energy and water
industries (BDEW) publishes its profiles of 2025: 96 quarter-hours x 12 months x Saturday (SA),
Sunday or holiday (FT), workday (WT). The files themselves are the association's and are not
shipped: give one to `[vee] shape_file`. Without a file the built-in shape counts, a plain evening
peak of our own making that stands for nobody's measurement.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

SLOTS: Final = 96
MONTHS: Final = 12
DAY_TYPES: Final = ("SA", "FT", "WT")
_HEAD_ROWS: Final = 2
_RESOLUTION: Final = 1000
_SATURDAY, _SUNDAY = 5, 6
# Weights an hour of a dwelling with an evening peak, the same on all days.
_EVENING: Final = (
    (5, 4, 4, 4, 4, 5, 7, 9, 9, 8, 8, 9, 10, 9, 8, 8, 9, 12, 15, 16, 15, 12, 9, 7)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """Weights: month 1..12 and kind of day -> 96 integers above zero."""

    name: str
    weights: dict[tuple[int, str], tuple[int, ...]]

    def weight(self, local: datetime) -> int:
        """The weight of the quarter-hour that begins at a local time; holidays are not known."""
        kind = {_SATURDAY: "SA", _SUNDAY: "FT"}.get(local.weekday(), "WT")
        return self.weights[local.month, kind][local.hour * 4 + local.minute // 15]


def evening() -> Shape:
    """The built-in shape."""
    day = tuple(weight for weight in _EVENING for _ in range(4))
    return Shape("evening", {(m, k): day for m in range(1, MONTHS + 1) for k in DAY_TYPES})


def flat() -> Shape:
    """Every quarter-hour alike."""
    day = (1,) * SLOTS
    return Shape("flat", {(m, k): day for m in range(1, MONTHS + 1) for k in DAY_TYPES})


def load(file: Path) -> Shape:
    """A shape from a file in the layout of BDEW's profiles of 2025.

    Raises: ConfigError: the file is not such a table.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"the load shape {file}: {error}") from error
    if len(rows) != _HEAD_ROWS + SLOTS or any(len(row) != 1 + 3 * MONTHS for row in rows):
        raise ConfigError(
            f"the load shape {file} must have 2 rows of headings, 96 rows of quarter-hours and "
            "37 columns: the time, then SA, FT, WT of each month"
        )
    columns = list(zip(*rows, strict=True))[1:]
    weights = {}
    for number, column in enumerate(columns):
        kind = column[1].strip()
        if kind not in DAY_TYPES:
            raise ConfigError(f"the load shape {file}: a column is called {kind!r}, not SA, FT, WT")
        weights[number // 3 + 1, kind] = tuple(_weight(file, text) for text in column[2:])
    if len(weights) != len(DAY_TYPES) * MONTHS:
        raise ConfigError(f"the load shape {file} misses a kind of day in some month")
    return Shape(file.stem, weights)


def _weight(file: Path, text: str) -> int:
    try:
        weight = int(Decimal(text) * _RESOLUTION)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise ConfigError(f"the load shape {file}: {text!r} is not a number") from error
    if weight <= 0:
        raise ConfigError(f"the load shape {file}: {text} is not above zero")
    return weight
