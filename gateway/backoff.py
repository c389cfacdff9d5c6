"""When to try again: full jitter, for ever, with a cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_DOUBLINGS_MAX = 32


@dataclass(slots=True)
class Backoff:
    """Waiting times between attempts, uniform between 0 and a bound that doubles up to a cap.

    The bound falls back to the base only after a time of health, so that a peer that accepts and
    drops at once does not meet a storm (a thousand gateways after a broker's restart).

    Attributes:
        uniform: a random number between two bounds, such as `random.uniform`.
        base_s: first bound.
        cap_s: highest bound.
        healthy_s: how long an attempt must have held to start again from the base.
    """

    uniform: Callable[[float, float], float]
    base_s: float = 1.0
    cap_s: float = 300.0
    healthy_s: float = 60.0
    _failures: int = 0

    def failed(self, held_s: float) -> float:
        """How long to wait after an attempt that served for `held_s` seconds, 0 for not at all."""
        if held_s >= self.healthy_s:
            self._failures = 0
        bound_s = min(self.cap_s, self.base_s * 2 ** min(self._failures, _DOUBLINGS_MAX))
        self._failures += 1
        return self.uniform(0.0, bound_s)
