"""Compact profiles: a row of values in one variable-length record (EN 13757-3, annex F).

    LVAR 1 | spacing control 1 | spacing value 1 | element | element ...

Spacing control: bits 7-6 how elements are meant (0 absolute, 1 positive steps, 2 negative steps,
3 signed steps), bits 5-4 the unit of the spacing (second, minute, hour, day), bits 3-0 the coding
of an element as in a DIF. A spacing value of 254 with days means whole months. The row starts one
spacing behind the stamp of its storage number, or before it when the VIFE says that it runs
backwards.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus import value as values
from firmware_profiles.codecs.mbus.vif import DAY_S, HOUR_S, MINUTE_S

if TYPE_CHECKING:
    from firmware_profiles.codecs.mbus.records import Record

INVERSE = 0x13
_HEAD_BYTES = 3
_SPACINGS_S = (1, MINUTE_S, HOUR_S, DAY_S)
_SPACING_MAX, _MONTH = 250, 254
_BINARY_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 6: 6, 7: 8}
_BCD_BYTES = {9: 1, 10: 2, 11: 3, 12: 4, 14: 6}


class Meaning(IntEnum):
    """How the elements of a row are meant."""

    ABSOLUTE = 0
    POSITIVE_STEPS = 1
    NEGATIVE_STEPS = 2
    SIGNED_STEPS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """The values of a compact profile.

    Attributes:
        numbers: in the order sent; None where invalid; a negative step is negative.
        meaning: absolute values or steps.
        spacing_s: seconds between two, 0 for whole months.
        inverse: the row runs backwards in time.
    """

    numbers: tuple[int | None, ...]
    meaning: Meaning
    spacing_s: int
    inverse: bool

    def time(self, base: datetime, index: int) -> datetime | None:
        """When element `index`, from 0, was valid; None beyond the calendar."""
        count = -(index + 1) if self.inverse else index + 1
        try:
            if self.spacing_s:
                return base + timedelta(seconds=self.spacing_s * count)
            return _months_later(base, count)
        except (OverflowError, ValueError):
            return None


def _months_later(base: datetime, count: int) -> datetime:
    """The same day of another month; the last day stays the last."""
    month = base.year * 12 + base.month - 1 + count
    year, month = month // 12, month % 12 + 1
    last = monthrange(year, month)[1]
    stays_last = base.day == monthrange(base.year, base.month)[1]
    return base.replace(year=year, month=month, day=last if stays_last else min(base.day, last))


def _number(coding: int, meaning: Meaning, element: bytes) -> int | None:
    if coding in _BCD_BYTES:
        number = values.bcd(element)
    elif meaning in {Meaning.ABSOLUTE, Meaning.SIGNED_STEPS}:
        number = values.signed(element)
    else:
        number = values.unsigned(element)
        number = None if number == (1 << 8 * len(element)) - 1 else number
    return -number if number is not None and meaning is Meaning.NEGATIVE_STEPS else number


def read_row(record: Record) -> Row | None:
    """The row of a compact profile; None for a coding or spacing that we do not know."""
    data = record.data
    if len(data) < _HEAD_BYTES:
        return None
    control, spacing = data[1], data[2]
    coding, meaning = control & 0x0F, Meaning(control >> 6)
    size = _BINARY_BYTES.get(coding) or _BCD_BYTES.get(coding)
    whole_months = spacing == _MONTH and control >> 4 & 3 == 3
    if size is None or not (whole_months or 1 <= spacing <= _SPACING_MAX):
        return None
    elements = (data[at : at + size] for at in range(_HEAD_BYTES, len(data) - size + 1, size))
    return Row(
        numbers=tuple(_number(coding, meaning, element) for element in elements),
        meaning=meaning,
        spacing_s=0 if whole_months else spacing * _SPACINGS_S[control >> 4 & 3],
        inverse=record.header.profile == INVERSE,
    )
