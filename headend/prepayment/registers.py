"""Cumulative registers to consumption: roll-over, and the exchange of a meter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from headend.prepayment.charging import Interval, Quality
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


def register_delta(old_wh: int, new_wh: int, *, modulus_wh: int, max_plausible_wh: int) -> int:
    """The consumption between two register values, through at most one roll-over.

    Args:
        old_wh: earlier register value, 0 up to the modulus.
        new_wh: later one.
        modulus_wh: where the register begins anew: 100 000 000 for 99999.99 kWh.
        max_plausible_wh: the most that a roll-over may leave as used in between.

    Raises:
        PrepaymentError: `register_decreased`: it went back, and no roll-over explains it. An
            advance is never refused here: whether it is plausible is for validation to say.
    """
    if not (0 <= old_wh < modulus_wh and 0 <= new_wh < modulus_wh):
        raise PrepaymentError("register_range", "a register value is not below the modulus")
    delta = new_wh - old_wh
    if delta < 0 and delta % modulus_wh > max_plausible_wh:
        raise PrepaymentError("register_decreased", f"from {old_wh} Wh back to {new_wh} Wh")
    return delta % modulus_wh


@dataclass(frozen=True, slots=True)
class MeterSwap:
    """The exchange of a meter, all registers in Wh.

    Attributes:
        old_last_wh: last register charged of the old meter.
        old_close_wh: its closing read; None: nobody wrote it down.
        new_open_wh: the new meter's register when it was put in.
    """

    old_last_wh: int
    old_close_wh: int | None
    new_open_wh: int

    def old_usage_wh(self) -> int:
        """What the old meter still owes. Raises PrepaymentError when its last read is missing.

        `missing_closing_read`: an estimate may be billed as pending until it is found.
        """
        if self.old_close_wh is None:
            raise PrepaymentError("missing_closing_read", "the old meter has no closing read")
        if self.old_close_wh < self.old_last_wh:
            raise PrepaymentError("register_decreased", "the closing read is below the last one")
        return self.old_close_wh - self.old_last_wh

    def new_usage_wh(self, now_wh: int) -> int:
        """What the new meter has counted since."""
        if now_wh < self.new_open_wh:
            raise PrepaymentError("register_decreased", "the new meter went below its opening read")
        return now_wh - self.new_open_wh


@dataclass(frozen=True, slots=True)
class RegisterAt:
    """A cumulative register at an instant, whole Wh; an estimate never charges."""

    at: datetime
    wh: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Consumption:
    """What registers say: intervals, and registers that went back and wait for a person."""

    intervals: tuple[Interval, ...]
    decreased: tuple[RegisterAt, ...]


def consumption(
    registers: Iterable[RegisterAt], *, modulus_wh: int | None = None, max_plausible_wh: int = 0
) -> Consumption:
    """Cumulative registers to intervals, each from the register before it.

    A gap is one long interval until what is missing comes. A register that goes back charges
    nothing, and the highest stays the base: only a known modulus makes it a roll-over. Estimates
    count only behind the newest actual register.

    Args:
        registers: in any order.
        modulus_wh: where the meter's register begins anew; None: it does not.
        max_plausible_wh: the most that a roll-over may leave as used in between.
    """
    rising = sorted(registers, key=lambda r: r.at)
    newest = max((r.at for r in rising if not r.estimated), default=None)
    intervals: list[Interval] = []
    decreased: list[RegisterAt] = []
    before: RegisterAt | None = None
    for register in rising:
        if register.estimated and (newest is None or register.at <= newest):
            continue
        if before is None:
            before = register
            continue
        wh = _advance(before.wh, register.wh, modulus_wh, max_plausible_wh)
        if wh is None:
            decreased.append(register)
            continue
        intervals.append(_interval(before, register, wh))
        before = register
    return Consumption(tuple(intervals), tuple(decreased))


def _advance(old_wh: int, new_wh: int, modulus_wh: int | None, plausible_wh: int) -> int | None:
    if new_wh >= old_wh:
        return new_wh - old_wh
    if modulus_wh is None:
        return None
    try:
        return register_delta(old_wh, new_wh, modulus_wh=modulus_wh, max_plausible_wh=plausible_wh)
    except PrepaymentError:
        return None


def _interval(before: RegisterAt, after: RegisterAt, wh: int) -> Interval:
    minutes = max(1, round((after.at - before.at) / timedelta(minutes=1)))
    quality = Quality.ESTIMATED if after.estimated else Quality.ACTUAL
    return Interval(before.at, minutes, wh, quality)
