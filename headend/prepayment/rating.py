"""Rating at a flat price: register readings to charges, pure and exact.

Theory of operation. A register is cumulative, and at a flat price the charge is the register's
advance times the price: so every reading is charged against the highest register charged before.
A gap is charged by the first reading behind it; an interval that comes late, inside what is
charged already, changes nothing. The total therefore does not depend on the order of arrival,
and nothing is charged twice.

The exact charge, in 1e-3 mu (Wh x mu/kWh), is kept as an integer; what is posted is the growth of
its floor, so that no rounding accumulates: 48 x 1 Wh at 12345 mu/kWh posts 592 mu, not 576.

A register that goes back (roll-over, another meter, a faulty reading) charges nothing and is
reported; the highest register stays the base until a person looks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

MILLI: Final = 1000
"""Milli-mu in a mu; Wh in a kWh."""


@dataclass(frozen=True, slots=True)
class RatingState:
    """How far an account is charged.

    Attributes:
        rated_to: END of the last interval looked at; None: not begun.
        register_wh: highest register charged; None: the next reading is the base.
        charge_milli_mu: exact charge since opening.
        posted_mu: the part of it that is posted, always its floor.
    """

    rated_to: datetime | None = None
    register_wh: int | None = None
    charge_milli_mu: int = 0
    posted_mu: int = 0


@dataclass(frozen=True, slots=True)
class RegisterAt:
    """The import register at an interval's END, whole Wh."""

    at: datetime
    wh: int


@dataclass(frozen=True, slots=True)
class Charge:
    """One posting: the energy between two registers.

    Attributes:
        amount_mu: to move from the wallet, may be 0 while the floor stands still.
        energy_wh: the register's advance.
        to: END of the last interval in it.
    """

    amount_mu: int
    energy_wh: int
    to: datetime


@dataclass(frozen=True, slots=True)
class Rated:
    """The result: the new state, at most one charge, and readings that went back."""

    state: RatingState
    charge: Charge | None
    decreased: tuple[RegisterAt, ...]


def rate(state: RatingState, readings: Iterable[RegisterAt], price_mu_per_kwh: int) -> Rated:
    """Charge readings.

    Args:
        state: as the last call left it.
        readings: in any order; those at or before `state.rated_to` are skipped.
        price_mu_per_kwh: 0 or more.
    """
    before = state.register_wh
    decreased: list[RegisterAt] = []
    for reading in sorted(readings, key=lambda r: r.at):
        if state.rated_to is not None and reading.at <= state.rated_to:
            continue
        state = replace(state, rated_to=reading.at)
        if state.register_wh is not None and reading.wh < state.register_wh:
            decreased.append(reading)
            continue
        before = reading.wh if before is None else before
        state = replace(state, register_wh=reading.wh)
    return _post(state, before, price_mu_per_kwh, tuple(decreased))


def _post(
    state: RatingState, before: int | None, price: int, decreased: tuple[RegisterAt, ...]
) -> Rated:
    if before is None or state.register_wh is None or state.register_wh == before:
        return Rated(state, None, decreased)
    assert state.rated_to is not None
    energy_wh = state.register_wh - before
    exact = state.charge_milli_mu + energy_wh * price
    posted = exact // MILLI
    charge = Charge(posted - state.posted_mu, energy_wh, state.rated_to)
    return Rated(replace(state, charge_milli_mu=exact, posted_mu=posted), charge, decreased)
