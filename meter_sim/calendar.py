"""The calendar of the simulated world: faster than the clock until it has caught up. Pure.

All times are milliseconds since 1970, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Calendar:
    """Maps the clock to simulated time; simulated time is never ahead of the clock.

    Attributes:
        start_ms: simulated time at the beginning.
        began_ms: the clock at the beginning.
        speed: simulated milliseconds in one of the clock, at least 1.
        end_ms: simulated time goes no further than this; None while it runs.
    """

    start_ms: int
    began_ms: int
    speed: int
    end_ms: int | None = None

    @property
    def stopped(self) -> bool:
        """True when simulated time has been brought to an end."""
        return self.end_ms is not None

    def at(self, clock_ms: int) -> int:
        """Simulated time at a time of the clock."""
        running_ms = min(self.start_ms + self.speed * (clock_ms - self.began_ms), clock_ms)
        return running_ms if self.end_ms is None else min(running_ms, self.end_ms)

    def clock_ms(self, simulated_ms: int) -> int:
        """The first time of the clock at which a running calendar is there."""
        fast_ms = self.began_ms - (self.start_ms - simulated_ms) // self.speed
        return max(fast_ms, simulated_ms)

    def stop(self, clock_ms: int) -> Calendar:
        """The calendar that stands still from now on."""
        return replace(self, end_ms=self.at(clock_ms))
