"""Waiting before the next try: exponential with full jitter and a cap."""

from __future__ import annotations


def full_jitter_s(attempt: int, *, base_s: float, cap_s: float, chance: float) -> float:
    """Seconds to wait.

    Args:
        attempt: failed tries so far, from 1 on.
        base_s: upper bound after the first failure; it doubles with each.
        cap_s: largest upper bound.
        chance: a random number, 0 <= chance < 1.
    """
    return chance * min(cap_s, base_s * 2.0 ** min(attempt - 1, 60))
