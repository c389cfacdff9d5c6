"""Charging one account from the store: registers in, transactions out.

Theory of operation. What is posted is a function of the registers that the store holds, never of
the order in which they came. News says from which instant on registers have changed; the local
months from there to now are rated anew from all their registers (`charging`), and the difference
to what was posted for each day and component (`charge_day`) becomes one transaction. So a late, a
corrected or a repeated reading costs the same code path, and an equal result posts nothing.

`registers` is the one place that reads meter data: today raw registers with their quality flags.
What an estimate adds is one pending transfer, replaced whenever it changes; it never posts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from headend.prepayment import ledger
from headend.prepayment.charging import (
    HORIZON_DAYS,
    Held,
    MonthState,
    PostingKind,
    RatingState,
    rate,
)
from headend.prepayment.intervals import instant, microseconds
from headend.prepayment.ledger import Code, Leg, Step
from headend.prepayment.month import local_midnight
from headend.prepayment.registers import Registers, consumption
from headend.prepayment.supplying import supply_of
from headend.prepayment.tariff import Tariff
from headend.store.plan import Plan, Queries, first

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from headend.prepayment.charging import Posting, Rated
    from headend.prepayment.registers import Consumption
    from headend.store.plan import Row

SQL: Final = Queries("headend.prepayment", "engine.sql")
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""A reading further in the future than this is not charged."""
_PG_EPOCH_US: Final = microseconds(datetime(2000, 1, 1, tzinfo=UTC))
"""PostgreSQL counts microseconds from here."""
PLAUSIBLE_WH: Final = 1_000_000
"""The most that a register which has rolled over may have advanced between two readings."""


@dataclass(frozen=True, slots=True)
class Charged:
    """What a rating did: END of the newest actual reading, what waits.

    Attributes:
        until: END of the newest actual reading.
        dark_wh: the largest new interval that began with the relay known to be open.
        held: intervals that wait for a person.
        decreased: registers that went back, their time and Wh.
        too_old: a change that waits for a person.
    """

    until: datetime | None
    dark_wh: int
    held: tuple[Held, ...] = ()
    decreased: tuple[tuple[datetime, int], ...] = ()
    too_old: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Span:
    """Which local months are rated anew: from a first day to now."""

    zone: ZoneInfo
    first_day: date
    start: datetime
    too_old: datetime | None


@lru_cache(maxsize=4096)
def parse_versions(bodies: tuple[str, ...]) -> tuple[Tariff, ...]:
    """Versions of a tariff as the store keeps them."""
    return tuple(msgspec.json.decode(body, type=Tariff) for body in bodies)


def tariff_versions(tenant_id: int, name: str) -> Plan[tuple[Tariff, ...]]:
    """All versions of a tariff, oldest first."""
    rows = yield SQL("tariff_versions", tenant_id=tenant_id, name=name)
    return parse_versions(tuple(row["body"] for row in rows))


def registers(meter_id: int, channel: str, *, since: datetime, until: datetime) -> Plan[Registers]:
    """Trusted registers with ENDs in [since, until], oldest first."""
    rows = yield SQL("registers", meter_id=meter_id, channel=channel, since=since, until=until)
    return registers_of(rows[0])


def registers_of(row: Row) -> Registers:
    """The answer of the query `registers`."""
    times, wh = (np.frombuffer(row[name] or b"", ">i8") for name in ("times", "wh"))
    estimated = np.frombuffer(row["estimated"] or b"", ">i4") != 0
    return Registers(times.astype(np.int64) + _PG_EPOCH_US, wh.astype(np.int64), estimated)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What registers say of the months from a day on, and what is to be posted of it.

    Attributes:
        base_at: where charging of the account began.
        idle_to: the last local day that owes its daily charge.
        used: intervals of these months.
        rated: their charges against those posted.
        too_old: a change that waits for a person.
        gone_before: a day was charged before this one, of which no register is left.
    """

    base_at: datetime
    idle_to: date
    used: Consumption
    rated: Rated
    too_old: datetime | None
    gone_before: date | None

    @property
    def difference_mu(self) -> int:
        """What the wallet pays; below 0: gets back."""
        return sum(
            -p.amount_mu if p.component.startswith("subsidy:") else p.amount_mu
            for p in self.rated.postings
        )


def charge(account: Row, changed_from: datetime, now: datetime) -> Plan[Charged]:
    """Charge a locked account for what its registers say from an instant on.

    Raises: PrepaymentError, ConfigError: the account cannot be rated; nothing is posted.
    """
    begun = yield from _begun(account, changed_from)
    weighed = yield from weigh(account, begun, now)
    if weighed is None:
        return Charged(None, 0)
    used, rated = weighed.used, weighed.rated
    yield from book(account, weighed, now)
    dark_wh = _largest_dark_wh(used, account["rated_to"], supply_of(account["kept"]).dark_at)
    return Charged(_newest(used), dark_wh, rated.held, _decreased(used), weighed.too_old)


def weigh(
    account: Row, begun: datetime, now: datetime, *, horizon_days: int = HORIZON_DAYS
) -> Plan[Weighed | None]:
    """Rate the local months from that of `begun` on; None: there is nothing to rate yet.

    Raises: PrepaymentError, ConfigError: the account cannot be rated.
    """
    base_at = account["base_at"] or (yield from _find_base(account, now))
    versions = yield from tariff_versions(account["tenant_id"], account["tariff"])
    if base_at is None or not versions:
        return None
    span = _span(versions[0].zone, base_at, begun, now, horizon_days)
    since = max(span.start, base_at)
    found = yield from registers(
        account["meter_id"], account["rated_channel"], since=since, until=now + CLOCK_TOLERANCE
    )
    used = consumption(
        found, modulus_wh=account["register_modulus_wh"], max_plausible_wh=PLAUSIBLE_WH
    )
    idle_to = max(account["idle_to"] or date.min, _yesterday(now, span.zone))
    idle = _days(max(base_at.astimezone(span.zone).date(), span.first_day), idle_to)
    state = yield from _state(account["id"], span.first_day)
    rated = rate(versions, used.intervals, state, now, idle_days=idle, oldest=since)
    gone = _gone_before(found, state, span)
    return Weighed(base_at, idle_to, used, rated, span.too_old, gone)


def _gone_before(found: Registers, state: RatingState, span: _Span) -> date | None:
    """The day of the first register, when energy of an earlier one was charged."""
    charged = [d for m in state.months.values() for d, name in m.posted if name == "energy"]
    if not charged:
        return None
    left = instant(int(found.at_us[0])).astimezone(span.zone).date() if len(found.wh) else date.max
    return left if min(charged) < left else None


def book(account: Row, weighed: Weighed, now: datetime) -> Plan[None]:
    """Post what was weighed, and keep what is posted now."""
    used, rated = weighed.used, weighed.rated
    yield from _post(account, rated, used, now)
    yield from _save_charges(account, rated)
    estimate = yield from _estimate(account, sum(_signed(rated.pending).values()), now)
    yield SQL(
        "save_rating",
        account_id=account["id"],
        base_at=weighed.base_at,
        rated_to=_newest(used),
        idle_to=weighed.idle_to,
        postings=account["postings"] + 1,
        estimated_mu=estimate[0],
        estimate_id=estimate[1],
    )


def _decreased(used: Consumption) -> tuple[tuple[datetime, int], ...]:
    back = used.decreased
    pairs = zip(back.at_us.tolist(), back.wh.tolist(), strict=True)
    return tuple((instant(at_us), wh) for at_us, wh in pairs)


def _largest_dark_wh(used: Consumption, rated_to: datetime | None, dark_at: datetime | None) -> int:
    if dark_at is None:
        return 0
    since = dark_at if rated_to is None else max(dark_at, rated_to)
    dark = used.intervals.only_actual()
    return int(dark.take(dark.start_us >= microseconds(since)).wh.max(initial=0))


def _find_base(account: Row, now: datetime) -> Plan[datetime | None]:
    """Where charging begins: the newest register at the opening, or the first one to come."""
    until = account["rated_from"] or account["opened_at"] + CLOCK_TOLERANCE
    meter = {"meter_id": account["meter_id"], "channel": account["rated_channel"]}
    row = first((yield SQL("register_before", **meter, until=until)))
    row = row or first((yield SQL("register_after", **meter, since=until)))
    return None if row is None or row["ts"] > now + CLOCK_TOLERANCE else row["ts"]


def _begun(account: Row, changed_from: datetime) -> Plan[datetime]:
    """Where the first changed interval began: at the register before it."""
    row = first(
        (
            yield SQL(
                "register_before",
                meter_id=account["meter_id"],
                channel=account["rated_channel"],
                until=changed_from - timedelta(microseconds=1),
            )
        )
    )
    return changed_from if row is None else row["ts"]


def _span(
    zone: ZoneInfo, base_at: datetime, changed_from: datetime, now: datetime, horizon_days: int
) -> _Span:
    """The months from a change on; a change older than the horizon waits for a person."""
    oldest = local_midnight(now.astimezone(zone).date() - timedelta(days=horizon_days), zone)
    too_old = changed_from if max(changed_from, base_at) < oldest else None
    start = max(changed_from, base_at, oldest)
    first_day = min(start, now).astimezone(zone).date().replace(day=1)
    return _Span(zone, first_day, local_midnight(first_day, zone), too_old)


def _yesterday(now: datetime, zone: ZoneInfo) -> date:
    return now.astimezone(zone).date() - timedelta(days=1)


def _state(account_id: int, since: date) -> Plan[RatingState]:
    """What is posted of the months from a first day on; intervals come with the registers."""
    posted: dict[date, dict[tuple[date, str], int]] = {}
    for row in (yield SQL("posted_days", account_id=account_id, since=since)):
        month = posted.setdefault(row["day"].replace(day=1), {})
        month[row["day"], row["component"]] = row["posted_mu"]
    rows = yield SQL("months", account_id=account_id, since=since)
    kept = {row["month"]: row for row in rows}
    months = {
        first_day: MonthState(
            posted=posted.get(first_day, {}),
            rating_version=kept[first_day]["rating_version"] if first_day in kept else 0,
            opening_wh=kept[first_day]["opening_wh"] if first_day in kept else 0,
        )
        for first_day in posted.keys() | kept.keys()
    }
    return RatingState(months)


def _days(start: date, end: date) -> list[date]:
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def _newest(used: Consumption) -> datetime | None:
    ends_us = used.intervals.only_actual().end_us
    return instant(int(ends_us.max())) if len(ends_us) else None


# -- what is posted -----------------------------------------------------------------------------

_BOOKS: Final = {
    "energy": (ledger.REV_ENERGY, Code.ENERGY),
    "fixed": (ledger.REV_FIXED, Code.FIXED),
}


def leg_of(posting: Posting) -> Leg:
    """A posting as a transfer; a subsidy goes the other way, and so does what is paid back."""
    component, amount = posting.component, posting.amount_mu
    credits_wallet = component.startswith("subsidy:")
    book, code = _BOOKS.get(component, (component, Code.SUBSIDY if credits_wallet else Code.TAX))
    if posting.kind is PostingKind.RERATE:
        code = Code.RERATE
    debit, credit = ledger.WALLET, book
    if credits_wallet != (amount < 0):
        debit, credit = credit, debit
    ref = {
        "day": posting.day.isoformat(),
        "component": component,
        "rating_version": posting.rating_version,
    }
    return Leg(debit, credit, abs(amount), code, ref)


def _post(account: Row, rated: Rated, used: Consumption, now: datetime) -> Plan[None]:
    if rated.postings:
        yield from ledger.post(
            ledger.Transaction(
                account["tenant_id"],
                account["id"],
                account["currency"],
                f"charge:{account['id']}:{account['postings']}",
                _newest(used) or now,
                [leg_of(posting) for posting in rated.postings],
            ),
            now,
        )


def _save_charges(account: Row, rated: Rated) -> Plan[None]:
    changed = {(p.day, p.component) for p in rated.postings}
    totals = [
        (day, component, month.posted.get((day, component), 0))
        for month in rated.state.months.values()
        for day, component in sorted(changed)
        if (day, component) in month.posted
    ]
    gone = changed - {(day, component) for day, component, _ in totals}
    totals += [(day, component, 0) for day, component in sorted(gone)]
    months = sorted(rated.state.months.items())
    yield SQL(
        "save_charges",
        account_id=account["id"],
        days=[day for day, _, _ in totals],
        components=[component for _, component, _ in totals],
        amounts=[amount for _, _, amount in totals],
        months=[first_day for first_day, _ in months],
        versions=[month.rating_version for _, month in months],
        counters=[month.counter_wh for _, month in months],
        openings=[month.opening_wh for _, month in months],
    )


def _signed(pending: dict[tuple[date, str], int]) -> Counter[str]:
    """What estimates would take from the wallet, by component."""
    taken: Counter[str] = Counter()
    for (_, component), amount in pending.items():
        taken[component] += -amount if component.startswith("subsidy:") else amount
    return taken


def _estimate(account: Row, amount_mu: int, now: datetime) -> Plan[tuple[int, object]]:
    """Keep one pending transfer of what the estimates would take."""
    if amount_mu == account["estimated_mu"]:
        return amount_mu, account["estimate_id"]
    if account["estimate_id"] is not None:
        yield from ledger.settle(account["estimate_id"], Step.VOID, Code.ENERGY, now)
    if amount_mu <= 0:
        return 0, None
    leg = Leg(
        ledger.WALLET,
        ledger.REV_ENERGY,
        amount_mu,
        Code.ENERGY,
        {"estimate": True},
        Step.PENDING,
    )
    key = f"estimate:{account['id']}:{account['postings']}"
    posted = yield from ledger.post(
        ledger.Transaction(
            account["tenant_id"], account["id"], account["currency"], key, now, [leg]
        ),
        now,
    )
    return amount_mu, posted.id
