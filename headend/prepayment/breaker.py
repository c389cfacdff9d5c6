"""The breaker: a wrong tariff or a bad batch of readings must not black out a town.

It counts the disconnections queued in the last hour. Above the limit it opens, all cuts stop, and
two people have to close it. Reconnections never ask it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ohmesh.model.errors import PrepaymentError

WINDOW = timedelta(minutes=60)
CUTS_MIN = 50
"""A small utility may always make so many cuts an hour."""
SHARE_PER_MILLE = 5
"""Of the active contracts: 0.5 %."""
MEDIAN_FACTOR = 5
MEDIAN_CUTS_MIN = 10
"""Below it the comparison with other weeks says nothing: a quiet hour has a median of zero."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """Recent cuts and whether cutting is stopped.

    Attributes:
        cuts_at: when disconnections were queued, rising; older ones are dropped.
        opened_at: since when it is open; None: closed.
    """

    cuts_at: tuple[datetime, ...] = ()
    opened_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether all cuts are stopped."""
        return self.opened_at is not None


def cuts_max(active_contracts: int, median_cuts: int | None) -> int:
    """How many cuts an hour may see.

    Args:
        active_contracts: of the utility.
        median_cuts: of the same hour in the last four weeks; None: not known.
    """
    share = max(CUTS_MIN, active_contracts * SHARE_PER_MILLE // 1000)
    if median_cuts is None:
        return share
    return min(share, max(MEDIAN_CUTS_MIN, MEDIAN_FACTOR * median_cuts))


def request_cut(breaker: Breaker, now: datetime, limit: int) -> tuple[Breaker, bool]:
    """Ask for one disconnection: the breaker after it, and whether it is allowed.

    The request that would pass the limit opens the breaker and is refused.
    """
    recent = tuple(at for at in breaker.cuts_at if now - at < WINDOW)
    if breaker.is_open:
        return replace(breaker, cuts_at=recent), False
    if len(recent) >= limit:
        return Breaker(recent, now), False
    return Breaker((*recent, now)), True


def close(breaker: Breaker, first: str, second: str) -> Breaker:
    """Close it by two people's word. Raises PrepaymentError(code="two_people")."""
    if not first or not second or first == second:
        raise PrepaymentError("two_people", "closing the breaker takes two people")
    return replace(breaker, cuts_at=(), opened_at=None)
