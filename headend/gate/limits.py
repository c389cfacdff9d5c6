"""How many supplies may be taken away: pure, from what was released before.

Theory of operation. The gate judges requests one by one, oldest first. Reconnections never come
here. Three things can stop a request:

    breaker   more automatic cuts requested in an hour than max(50, 0.5 % of the contracts) or five
              times what this hour saw in the last weeks: it opens, and nothing leaves until two
              people close it
    quarantine   beyond a limit of its area (5 % of its meters an hour, three at least), of the day
              (2 % of the meters, 50 at least), or of what people may order in an hour without
              another's word (20): the request waits for two people, or for its deadline
    refusal   its deadline is over, or what it carries out was decided otherwise since

The counts are those of releases that stand in the store, so they survive any restart.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from headend.prepayment import breaker
from headend.prepayment.breaker import Breaker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
AREA_PERCENT, AREA_MIN = 5, 3
DAY_PERCENT, DAY_MIN = 2, 50
ORDERS_MAX: Final = 20
"""Cuts ordered by people in an hour without two people's word."""


class Verdict(StrEnum):
    """What becomes of a request; the values of QUARANTINE_* stand in the store as reasons."""

    RELEASE = "release"
    BREAKER = "breaker_open"
    OPENS_BREAKER = "opens_breaker"
    AREA = "area_limit"
    DAY = "day_limit"
    ORDERS = "orders_limit"


@dataclass(frozen=True, slots=True)
class Request:
    """A command that waits for a release.

    Attributes:
        command: its id.
        meter: address at its gateway.
        area: what limits count by.
        automatic: decided by prepayment, not ordered by a person.
        approved: two people have signed for it.
        counted: it is in quarantine, so the breaker has seen it.
    """

    command: UUID
    meter: str
    area: str
    automatic: bool
    approved: bool = False
    counted: bool = False


@dataclass(slots=True)
class Books:
    """What one tenant's limits are made of.

    Attributes:
        requested_at: instants of automatic requests in the last hour, since the breaker was closed.
        orders: releases of the last hour that people had ordered, not approved by two.
        by_area: area -> releases of the last hour.
        day: releases of the last 24 hours.
        meters: of the tenant.
        area_meters: area -> meters.
        contracts: prepaid, active.
        median: automatic releases in this hour of the last four weeks; None: not known.
        opened_at: since when the breaker is open.
    """

    requested_at: list[datetime] = field(default_factory=list)
    orders: int = 0
    by_area: Counter[str] = field(default_factory=Counter)
    day: int = 0
    meters: int = 0
    area_meters: Mapping[str, int] = field(default_factory=dict)
    contracts: int = 0
    median: int | None = None
    opened_at: datetime | None = None

    def judge(self, request: Request, now: datetime) -> Verdict:
        """The verdict on one request; a release is written into the books at once."""
        if self.opened_at is not None:
            return Verdict.BREAKER
        if request.automatic and not request.counted:
            if not self._within_breaker(now):
                self.opened_at = now
                return Verdict.OPENS_BREAKER
            self.requested_at.append(now)
        if not request.approved:
            limit = self._over(request)
            if limit is not None:
                return limit
        self._write(request)
        return Verdict.RELEASE

    def _within_breaker(self, now: datetime) -> bool:
        limit = breaker.cuts_max(self.contracts, self.median)
        recent = Breaker(tuple(self.requested_at))
        return breaker.request_cut(recent, now, limit)[1]

    def _over(self, request: Request) -> Verdict | None:
        area_max = max(AREA_MIN, self.area_meters.get(request.area, 0) * AREA_PERCENT // 100)
        if self.by_area[request.area] >= area_max:
            return Verdict.AREA
        if self.day >= max(DAY_MIN, self.meters * DAY_PERCENT // 100):
            return Verdict.DAY
        if not request.automatic and self.orders >= ORDERS_MAX:
            return Verdict.ORDERS
        return None

    def _write(self, request: Request) -> None:
        self.by_area[request.area] += 1
        self.day += 1
        self.orders += not (request.automatic or request.approved)
