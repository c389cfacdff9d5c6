"""A meter's clock against the head-end's: what its intervals are worth."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

ACCEPT_MAX = timedelta(seconds=60)
CORRECT_MAX = timedelta(minutes=15)


class SkewVerdict(StrEnum):
    """What is done with the intervals of a meter whose clock is off."""

    ACCEPT = "accept"
    ACCEPT_BY_INDEX = "accept_by_index"
    """By the meter's own interval index; the clock is set, the intervals are flagged."""
    QUARANTINE = "quarantine"
    """Not priced by time of use; the clock is set, an alarm is raised."""


def judge(skew: timedelta) -> SkewVerdict:
    """The verdict on a clock that is off by `skew`, either way."""
    if abs(skew) <= ACCEPT_MAX:
        return SkewVerdict.ACCEPT
    return SkewVerdict.ACCEPT_BY_INDEX if abs(skew) <= CORRECT_MAX else SkewVerdict.QUARANTINE
