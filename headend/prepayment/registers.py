"""Cumulative registers to consumption: roll-over, and the exchange of a meter."""

from __future__ import annotations

from dataclasses import dataclass

from ohmesh.model.errors import PrepaymentError


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
