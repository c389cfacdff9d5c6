"""Partitions ahead of time, and what has been kept long enough goes. A plan, run by the watch.

Nothing is deleted unless a number of days is set for it, and of readings and intervals nothing that
billing still needs: every utility with meters says up to when it has billed
(`PUT /v1/billing/mark`), and a prepaid account needs everything that it has not been charged for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from headend.store.plan import Plan, Queries

SQL: Final = Queries("headend.store", "retention.sql")
BILLED: Final = ("reading", "interval")


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days what is kept; 0: for ever."""

    readings_days: int = 0
    intervals_days: int = 0
    telegrams_days: int = 0


def step(keep: Keep, now: datetime) -> Plan[dict[str, int]]:
    """Make partitions that come near, delete what may go. Returns how many rows went of what."""
    yield SQL("tend", now=now)
    since = (yield SQL("needs"))[0]["since"]
    gone = {}
    for what, days in (
        ("reading", keep.readings_days),
        ("interval", keep.intervals_days),
        ("telegram", keep.telegrams_days),
    ):
        if days == 0:
            continue
        before = now - timedelta(days=days)
        if what in BILLED:
            before = min(before, since or before)
        gone[what] = (yield SQL("retire", what=what, before=before))[0]["gone"]
        if what == "reading":
            yield SQL("retire_slots", before=before)
    return gone
