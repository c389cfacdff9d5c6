"""When each meter reports: every 15 min, at a moment of its own, with a jitter."""

from __future__ import annotations

from meter_sim.city.dice import hash_ints

REPORT_US = 900_000_000
JITTER_US = 5_000_000


def moment_us(seed: int, node: int, number: int, divisor: int = 1) -> int:
    """When the report of a number, from 0, is due after reports began.

    Planned from the first one and not from the jitter. Args: divisor: time runs so much faster.
    """
    period_us = REPORT_US // divisor
    planned_us = hash_ints(seed, 22, node) % period_us + number * period_us
    if number == 0:
        return planned_us
    return planned_us + hash_ints(seed, 24, node, number - 1) % (JITTER_US // divisor)
