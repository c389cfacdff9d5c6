"""How often a source may put in telegrams when the outbox fills: pure, with the time given.

Theory of operation. A meter behind the mesh keeps what we refuse; a P1 port or a Modbus register
does not. So that a source of that kind is not cut off at the bound, its telegrams get rarer before:
from each level of `LEVELS` on, at most one of a meter in so many minutes. Registers count on, so
what is lost is resolution and no energy. Nothing that was committed is touched: numbers have no
gaps, and the oldest data stay as fine as they were. What is left out is counted.
"""

from __future__ import annotations

LEVELS = ((0.95, 60 * 60_000), (0.90, 15 * 60_000), (0.80, 5 * 60_000))
"""Fill of the outbox -> least milliseconds between two telegrams of a meter, the highest first."""


def least_pause_ms(fill: float) -> int:
    """The pause that a fill of 0..1 demands."""
    return next((pause_ms for level, pause_ms in LEVELS if fill >= level), 0)


class Thinning:
    """What one source has put in lately."""

    def __init__(self) -> None:
        self._taken_ms: dict[str, int] = {}

    def admits(self, meter: str, fill: float, now_ms: int) -> bool:
        """Whether a telegram of a meter goes in now (monotonic milliseconds)."""
        taken_ms = self._taken_ms.get(meter)
        return taken_ms is None or now_ms - taken_ms >= least_pause_ms(fill)

    def took(self, meter: str, now_ms: int) -> None:
        """A telegram of a meter went in."""
        self._taken_ms[meter] = now_ms
