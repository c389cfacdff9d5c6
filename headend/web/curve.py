"""A load curve from a register: the energy of each interval is the difference of its ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Slot:
    """One interval, named by its END; `energy` is None where an end is missing or was reset."""

    end: datetime
    register: int | None
    energy: int | None


def slots(
    values: Sequence[tuple[datetime, int]], start: datetime, end: datetime, step: timedelta
) -> list[Slot]:
    """The intervals whose END is in (start, end].

    Args:
        values: (time, register) in any order; times that are no interval END are left out.
        start: bound on the interval grid.
        end: bound on the interval grid.
        step: length of an interval.

    Returns: one slot an interval. A register that goes back gives no energy: it was reset or the
        meter was changed, and what lies between is not known.
    """
    register = dict(values)
    count = (end - start) // step
    ends = [start + step * i for i in range(count + 1)]
    found = []
    for before, here in pairwise(ends):
        first, last = register.get(before), register.get(here)
        moved = None if first is None or last is None or last < first else last - first
        found.append(Slot(here, last, moved))
    return found
