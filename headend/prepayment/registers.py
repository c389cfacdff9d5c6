"""Cumulative registers to consumption: roll-over, and the exchange of a meter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from headend.prepayment.intervals import NONE, US_PER_MINUTE, measured
from ohmesh.model.errors import PrepaymentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headend.prepayment.intervals import Flags, Intervals, Ints

_REGISTER_MAX: Final = 2**62


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


@dataclass(frozen=True, slots=True, eq=False)
class Registers:
    """Cumulative registers by time, as columns of one length; an estimate never charges.

    Attributes:
        at_us: microseconds since 1970, UTC, not falling.
        wh: whole Wh.
        estimated: by the meter.
    """

    at_us: Ints
    wh: Ints
    estimated: Flags

    def take(self, which: NDArray[Any]) -> Registers:
        """Some of them, by a mask or by places."""
        return Registers(self.at_us[which], self.wh[which], self.estimated[which])


@dataclass(frozen=True, slots=True)
class Consumption:
    """What registers say: intervals, and registers that went back and wait for a person."""

    intervals: Intervals
    decreased: Registers


def consumption(
    registers: Registers, *, modulus_wh: int | None = None, max_plausible_wh: int = 0
) -> Consumption:
    """Cumulative registers to intervals, each from the register before it.

    A gap is one long interval until what is missing comes. A register that goes back charges
    nothing, and the highest stays the base: only a known modulus makes it a roll-over. Estimates
    count only behind the newest actual register.

    Args:
        registers: by time.
        modulus_wh: where the meter's register begins anew; None: it does not.
        max_plausible_wh: the most that a roll-over may leave as used in between.

    Raises:
        PrepaymentError: `register_range`: a register is beyond 2**62 Wh.
    """
    actual_us = registers.at_us[~registers.estimated]
    if not len(actual_us):
        return Consumption(NONE, registers.take(registers.estimated & False))
    held = registers.take(~registers.estimated | (registers.at_us > actual_us[-1]))
    if (np.abs(held.wh) > _REGISTER_MAX).any():
        raise PrepaymentError("register_range", "a register is beyond 2**62 Wh")
    wh, back = np.diff(held.wh), np.zeros(len(held.wh), np.bool_)
    if (wh < 0).any():
        wh, back = _walked(held.wh.tolist(), modulus_wh, max_plausible_wh)
    kept = held.take(~back)
    minutes = (np.diff(kept.at_us) + US_PER_MINUTE // 2) // US_PER_MINUTE
    intervals = measured(kept.at_us[:-1], np.maximum(1, minutes), wh, ~kept.estimated[1:])
    return Consumption(intervals, held.take(back))


def _walked(values: list[int], modulus_wh: int | None, plausible_wh: int) -> tuple[Ints, Flags]:
    """Advances of the registers that charge, and which registers went back."""
    base, advances, back = values[0], [], [False]
    for value in values[1:]:
        wh = _advance(base, value, modulus_wh, plausible_wh)
        back.append(wh is None)
        if wh is not None:
            advances.append(wh)
            base = value
    return np.array(advances, np.int64), np.array(back)


def _advance(old_wh: int, new_wh: int, modulus_wh: int | None, plausible_wh: int) -> int | None:
    if new_wh >= old_wh:
        return new_wh - old_wh
    if modulus_wh is None:
        return None
    try:
        return register_delta(old_wh, new_wh, modulus_wh=modulus_wh, max_plausible_wh=plausible_wh)
    except PrepaymentError:
        return None
