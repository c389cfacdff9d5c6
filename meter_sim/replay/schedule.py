"""When each record is due. Pure.

A pass over the records keeps their distances, divided by the speed; the next pass begins one mean
distance behind the last record of this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meter_sim.capture.record import Record


@dataclass(frozen=True, slots=True)
class Due:
    """A record to send.

    Attributes:
        at_s: seconds since the start of the replay; 0 for all when there is no pace.
        loop: the pass, from 0 on.
        record: what to send.
    """

    at_s: float
    loop: int
    record: Record


def schedule(
    records: Callable[[], Iterable[Record]], *, speed: float | None, loops: int
) -> Iterator[Due]:
    """The records of all passes with the time at which each is due.

    Args:
        records: gives them anew for each pass.
        speed: 1 is the captured pace, 100 a hundred times as fast; None is as fast as it goes.
        loops: passes, at least 1.
    """
    begin_s = 0.0
    for loop in range(loops):
        first_us, last_s, count = None, begin_s, 0
        for record in records():
            first_us = record.at_us if first_us is None else first_us
            count += 1
            if speed is not None:
                last_s = max(last_s, begin_s + (record.at_us - first_us) / 1e6 / speed)
            yield Due(last_s, loop, record)
        begin_s = last_s + (last_s - begin_s) / max(1, count - 1)


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that so many per cent of all do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-len(ordered) * percent // 100) - 1))]
