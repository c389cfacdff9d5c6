"""Token identifiers: whole minutes since the base date, 24 bits.

A base date lasts 31 years and 47 weeks; at its end a key change with the roll-over bit moves the
meter to the next one. The minute 00:01 of each day is reserved for special tokens: 00:02 is used.

Source: IEC 62055-41, TID and BaseDate; STS Association, TID roll-over (1993 ends 2024-11-24 20:15).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ohmesh.model.errors import PrepaymentError

BASE_YEARS = (1993, 2014, 2035)
TID_MAX = (1 << 24) - 1
_MINUTES_PER_DAY = 1440
_RESERVED_MINUTE = 1
AHEAD_MAX = timedelta(minutes=30)
"""One meter's identifiers may run this far ahead of the clock: 30 tokens at once."""
BEHIND_MAX = timedelta(minutes=5)
"""A clock that has gone back further than this since the last token is not believed."""


def tid_at(at: datetime, base_year: int) -> int:
    """The identifier of an instant, 0..2^24-1. Raises PrepaymentError(code="tid_out_of_range")."""
    minutes = (at - _base(base_year)) // timedelta(minutes=1)
    return _in_range(_skip_reserved(minutes), base_year)


def time_of(tid: int, base_year: int) -> datetime:
    """The minute that an identifier names."""
    return _base(base_year) + timedelta(minutes=tid)


@dataclass(frozen=True, slots=True)
class LastTid:
    """The last identifier given out to a meter under one key, and when that was."""

    tid: int
    issued_at: datetime


def next_tid(now: datetime, base_year: int, last: LastTid | None) -> int:
    """The identifier for one more token: strictly above the last one, never the reserved minute.

    Raises:
        PrepaymentError: `tid_clock_behind`: the clock went back; `tid_too_fast`: too many tokens at
            once; `tid_out_of_range`: the base date has ended.
    """
    tid = tid_at(now, base_year)
    if last is None:
        return tid
    if now < last.issued_at - BEHIND_MAX:
        raise PrepaymentError("tid_clock_behind", f"the clock is behind {last.issued_at}")
    tid = max(tid, _skip_reserved(last.tid + 1))
    if time_of(tid, base_year) - now > AHEAD_MAX:
        raise PrepaymentError("tid_too_fast", "too many tokens for one meter in half an hour")
    return _in_range(tid, base_year)


def next_base_year(base_year: int) -> int:
    """The base date after this one. Raises PrepaymentError(code="tid_out_of_range")."""
    later = [year for year in BASE_YEARS if year > base_year]
    if not later:
        raise PrepaymentError("tid_out_of_range", f"no base date follows {base_year}")
    return later[0]


def _base(base_year: int) -> datetime:
    if base_year not in BASE_YEARS:
        raise PrepaymentError("base_year", f"{base_year} is not a base date of the standard")
    return datetime(base_year, 1, 1, tzinfo=UTC)


def _skip_reserved(tid: int) -> int:
    return tid + 1 if tid % _MINUTES_PER_DAY == _RESERVED_MINUTE else tid


def _in_range(tid: int, base_year: int) -> int:
    if not 0 <= tid <= TID_MAX:
        raise PrepaymentError("tid_out_of_range", f"no identifier of base date {base_year}")
    return tid
