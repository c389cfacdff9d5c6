"""The groups of vectors about money: rating, purchases, top-ups, registers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from headend.check.vectors import Vector, compare, differs
from headend.prepayment import charging, purchase, registers, topup
from headend.prepayment.calendars import WEEKDAYS
from headend.prepayment.charging import RatingState, rate
from headend.prepayment.intervals import Interval
from headend.prepayment.tariff import load_tariff
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headend.check.vectors import Check
    from headend.prepayment.charging import Posting
    from headend.prepayment.tariff import Tariff

_DAY_MINUTES = 1440


def groups() -> dict[str, Check]:
    """Group -> check."""
    return {
        "rating": check_rating,
        "rerate": check_rerate,
        "vend_energy": check_purchase,
        "topup_split": check_topup,
        "register_delta": check_register,
        "meter_swap": check_swap,
    }


def check_rating(vector: Vector) -> Iterator[str]:
    """A tariff and intervals: what each day costs, in one go and interval by interval."""
    versions = (_tariff(vector["tariff"], vector["tz"]),)
    intervals = [Interval(_utc(start), minutes, wh) for start, minutes, wh in vector["intervals"]]
    opening = vector["month_to_date_wh"]
    first_day = intervals[0].start.astimezone(versions[0].zone).date().replace(day=1)
    now = max(i.start + timedelta(minutes=i.minutes) for i in intervals)
    begun = charging.open_month(first_day, opening)
    rated = rate(versions, intervals, begun, now)
    by_day = _by_day(rated.postings)
    total = sum((Counter(day) for day in by_day.values()), Counter())
    newest = max(rated.state.months)
    actual = {
        "by_day": by_day,
        "total": dict(total),
        "total_mu": sum(total.values()),
        "month_to_date_wh_after": rated.state.months[newest].counter_wh,
    }
    yield from compare(vector["expect"], actual)
    state = begun
    postings: list[Posting] = []
    for interval in reversed(intervals):
        step = rate(versions, [interval], state, now)
        state = step.state
        postings.extend(step.postings)
    yield from differs("the same backwards", by_day, _by_day(postings))


def check_rerate(vector: Vector) -> Iterator[str]:
    """A first pass, then late readings: what is posted, and what is posted in difference."""
    versions = (
        _tariff(
            {
                "block_upto_wh": vector["block_upto_wh"],
                "price_mu_per_kwh": {"all": vector["price_mu_per_kwh"]},
                "interval_minutes": _DAY_MINUTES,
            },
            vector["tz"],
        ),
    )
    zone = versions[0].zone
    now = datetime.fromisoformat(vector["month"] + "-28T00:00:00+00:00") + timedelta(days=14)

    def read(energies: Mapping[str, int], version: int) -> list[Interval]:
        starts = {d: datetime.fromisoformat(d).replace(tzinfo=zone) for d in energies}
        return [
            Interval(starts[d].astimezone(UTC), _DAY_MINUTES, wh, version=version)
            for d, wh in energies.items()
        ]

    first = rate(versions, read(vector["first_pass_wh"], 0), RatingState(), now)
    late = rate(versions, read(vector["late_wh"], 1), first.state, now)
    adjustments = _energy(late.postings)
    actual = {
        "first_pass_mu": _energy(first.postings),
        "after_mu": _energy((*first.postings, *late.postings)),
        "adjustments_mu": adjustments,
        "adjustment_total_mu": sum(adjustments.values()),
    }
    yield from compare(vector, actual)


def check_purchase(vector: Vector) -> Iterator[str]:
    """Energy for money."""
    bought = purchase.buy(
        vector["amount_mu"],
        vector["bought_wh"],
        block_upto_wh=vector["upto_wh"],
        price_mu_per_kwh=vector["price_mu_per_kwh"],
    )
    actual = {
        "exact_wh": str(bought.exact_wh),
        "wh_floor": bought.wh,
        "sts_tenths_kwh_rounded_up": bought.token_tenths_kwh,
    }
    yield from compare(vector, actual)


def check_topup(vector: Vector) -> Iterator[str]:
    """A top-up in both models."""
    registers_before = topup.Registers(
        wallet_mu=vector["wallet"],
        emergency_used_mu=vector["emergency_used"],
        accumulated_debt_mu=vector["accumulated_debt"],
        payment_debt=topup.PaymentDebt(
            balance_mu=vector["payment_debt"]["balance"],
            share_bp=vector["payment_debt"]["pct_bp"],
            cap_mu=vector["payment_debt"]["cap"],
            taken_mu=vector["payment_debt"]["taken"],
        ),
        disablement_mu=vector["disablement_threshold"],
        reconnect_mu=vector["reconnect_threshold"],
    )
    split = topup.split(vector["amount"], registers_before)
    actual = {
        "payment_debt": split.payment_debt_mu,
        "accumulated_debt": split.accumulated_debt_mu,
        "wallet_repair": split.wallet_repair_mu,
        "emergency": split.emergency_mu,
        "wallet_rest": split.wallet_rest_mu,
        "wallet_after": split.wallet_after_mu,
        "may_reconnect": split.may_reconnect,
        "floor_model_wallet_before": registers_before.floor_wallet_mu,
        "floor_model_wallet_after": split.floor_wallet_after_mu,
    }
    yield from compare(vector["expect"], actual)


def check_register(vector: Vector) -> Iterator[str]:
    """A register's advance, or the exception."""
    try:
        delta = registers.register_delta(
            vector["old_wh"],
            vector["new_wh"],
            modulus_wh=vector["register_modulus_wh"],
            max_plausible_wh=vector["max_plausible_wh"],
        )
    except PrepaymentError as error:
        yield from differs("expect", vector["expect"], {"exception": error.code})
        return
    yield from differs("expect", vector["expect"], {"delta_wh": delta})


def check_swap(vector: Vector) -> Iterator[str]:
    """An exchange of meters within a month."""
    old, new = vector["old"], vector["new"]
    swap = registers.MeterSwap(old["last_wh"], old.get("close_wh"), new["open_wh"])
    try:
        old_delta, new_delta = swap.old_usage_wh(), swap.new_usage_wh(new["now_wh"])
    except PrepaymentError as error:
        yield from differs("exception", vector["expect"].get("exception"), error.code)
        return
    content = {
        "block_upto_wh": vector["block_upto_wh"],
        "price_mu_per_kwh": {"all": vector["price_mu_per_kwh"]},
    }
    versions = (_tariff(content, "UTC"),)
    at, first_day = datetime(2026, 5, 15, tzinfo=UTC), date(2026, 5, 1)
    used = [
        Interval(at, 15, old_delta, meter=1),
        Interval(at + timedelta(minutes=15), 15, new_delta, meter=2),
    ]
    begun = charging.open_month(first_day, vector["month_to_date_before_wh"])
    rated = rate(versions, used, begun, at + timedelta(hours=1))
    actual = {
        "old_delta_wh": old_delta,
        "new_delta_wh": new_delta,
        "month_to_date_after_wh": rated.state.months[first_day].counter_wh,
        "energy_mu": sum(_energy(rated.postings).values()),
    }
    yield from compare(vector["expect"], actual)


def _tariff(content: dict[str, Any], zone: str) -> Tariff:
    """A vector's tariff: the shortest form, with one tax on all as `tax_bp`."""
    fields = dict(content)
    if "tax_bp" in fields:
        fields["tax"] = [{"code": "all", "bp": fields.pop("tax_bp")}]
    if "tou" in fields:
        fields["tou"] = [_window(window) for window in fields["tou"]]
    envelope = {"id": "vector", "version": 1, "valid_from": "2000-01-01T00:00:00Z", "tz": zone}
    return load_tariff({**envelope, "interval_minutes": 15, **fields})


def _window(window: dict[str, Any]) -> dict[str, Any]:
    """Weekdays as names, also where a vector counts them from Monday."""
    if "days" not in window:
        return window
    days = [WEEKDAYS[day] if isinstance(day, int) else day for day in window["days"]]
    return {**window, "days": days}


def _by_day(postings: tuple[Posting, ...] | list[Posting]) -> dict[str, dict[str, int]]:
    """Local day -> component -> mu; taxes by the short name of the vectors."""
    by_day: dict[str, Counter[str]] = {}
    for posting in postings:
        name = posting.component.partition(":")[0]
        by_day.setdefault(posting.day.isoformat(), Counter())[name] += posting.amount_mu
    return {day: {n: mu for n, mu in charges.items() if mu} for day, charges in by_day.items()}


def _energy(postings: tuple[Posting, ...]) -> dict[str, int]:
    return {day: charges["energy"] for day, charges in _by_day(postings).items()}


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text)
