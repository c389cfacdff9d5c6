"""Waiting before another try: exponential with full jitter and a cap, for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_DOUBLINGS_MAX = 32


def full_jitter_s(failures: int, *, base_s: float, cap_s: float, chance: float) -> float:
    """Seconds to wait.

    Args:
        failures: failed tries so far, from 1 on.
        base_s: upper bound after the first failure; it doubles with each.
        cap_s: largest upper bound.
        chance: a random number, 0 <= chance < 1.
    """
    return chance * min(cap_s, base_s * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))


@dataclass(slots=True)
class Backoff:
    """Waiting times between attempts to hold a connection.

    The bound falls back to the base only after a time of health, so that a peer that accepts and
    drops at once does not meet a storm (a thousand gateways after a broker's restart).

    Attributes:
        chance: gives random numbers, 0 <= x < 1, such as `random.random`.
        base_s: first bound.
        cap_s: highest bound.
        healthy_s: how long an attempt must have held to start again from the base.
    """

    chance: Callable[[], float]
    base_s: float = 1.0
    cap_s: float = 300.0
    healthy_s: float = 60.0
    _failures: int = 0

    def failed(self, held_s: float) -> float:
        """How long to wait after an attempt that served for `held_s` seconds, 0 for not at all."""
        if held_s >= self.healthy_s:
            self._failures = 0
        self._failures += 1
        return full_jitter_s(
            self._failures, base_s=self.base_s, cap_s=self.cap_s, chance=self.chance()
        )
