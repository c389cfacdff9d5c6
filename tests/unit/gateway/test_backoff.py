from __future__ import annotations

import random

from gateway.backoff import Backoff


def bounds(backoff, held, count):
    seen = []
    backoff.uniform = lambda low, high: seen.append((low, high)) or high
    for _ in range(count):
        backoff.failed(held)
    return seen


def test_the_bound_doubles_to_the_cap():
    seen = bounds(Backoff(random.uniform, base_s=1, cap_s=10), 0, 6)
    assert seen == [(0, 1), (0, 2), (0, 4), (0, 8), (0, 10), (0, 10)]


def test_it_goes_on_for_ever():
    assert bounds(Backoff(random.uniform, base_s=1, cap_s=10), 0, 5000)[-1] == (0, 10)


def test_only_a_healthy_time_resets_it():
    backoff = Backoff(random.uniform, base_s=1, cap_s=100, healthy_s=60)
    assert bounds(backoff, 59.9, 3) == [(0, 1), (0, 2), (0, 4)]
    assert bounds(backoff, 60, 2) == [(0, 1), (0, 1)]
