from __future__ import annotations

from ohmesh.program.backoff import Backoff, full_jitter_s


def bounds(backoff, held, count):
    """The waiting times when chance is at its highest."""
    return [backoff.failed(held) for _ in range(count)]


def test_the_bound_doubles_to_the_cap():
    backoff = Backoff(lambda: 1.0, base_s=1, cap_s=10)
    assert bounds(backoff, 0, 6) == [1, 2, 4, 8, 10, 10]


def test_it_goes_on_for_ever():
    assert bounds(Backoff(lambda: 1.0, base_s=1, cap_s=10), 0, 5000)[-1] == 10


def test_only_a_healthy_time_resets_it():
    backoff = Backoff(lambda: 1.0, base_s=1, cap_s=100, healthy_s=60)
    assert bounds(backoff, 59.9, 3) == [1, 2, 4]
    assert bounds(backoff, 60, 2) == [1, 1]


def test_jitter_is_full():
    assert full_jitter_s(3, base_s=1, cap_s=100, chance=0.0) == 0
    assert full_jitter_s(3, base_s=1, cap_s=100, chance=0.5) == 2
