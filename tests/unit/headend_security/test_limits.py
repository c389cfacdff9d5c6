"""Shares and guesses on a clock of the test's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headend.security.guessing import FAILURES_PER_MIN, Guesses
from headend.security.limits import BUCKETS_MAX, Limiter

KEY = bytes(32)


@given(
    st.floats(0.1, 100),
    st.integers(1, 50),
    st.lists(st.floats(0, 30), min_size=1, max_size=200),
)
def test_nobody_gets_more_than_burst_and_rate(per_s, burst, pauses):
    limiter, now_s, taken = Limiter(per_s, burst), 0.0, 0
    for pause_s in pauses:
        now_s += pause_s
        taken += limiter.take("a", now_s) == 0
        assert taken <= burst + per_s * now_s + 1e-6


@given(st.floats(0.1, 100), st.integers(1, 20))
def test_who_waits_as_told_gets_in(per_s, burst):
    limiter = Limiter(per_s, burst)
    waits = [limiter.take("a", 0.0) for _ in range(burst + 1)]
    assert waits[:burst] == [0] * burst
    assert waits[burst] > 0
    assert limiter.take("a", float(waits[burst])) == 0


def test_one_caller_s_share_is_not_another_s():
    limiter = Limiter(1, 2)
    while limiter.take("loud", 0.0) == 0:
        pass
    assert limiter.take("quiet", 0.0) == 0


def test_a_clock_that_steps_back_gives_nothing():
    limiter = Limiter(1, 1)
    assert limiter.take("a", 100.0) == 0
    assert limiter.take("a", 0.0) > 0


def test_buckets_do_not_pile_up():
    limiter = Limiter(1, 1)
    for number in range(2 * BUCKETS_MAX):
        limiter.take(str(number), 0.0)
    assert len(limiter._buckets) == BUCKETS_MAX


def tries(guesses, *, user="ann", address="10.0.0.1", device="", seconds=60, per_s=5):
    """How many tries of a guesser get through."""
    steps = range(seconds * per_s)
    return sum(guesses.wait_s(user, address, device, i / per_s) == 0 for i in steps)


def test_a_guesser_has_ten_tries_a_minute_and_ten_more_the_next():
    assert FAILURES_PER_MIN <= tries(Guesses(KEY)) <= 2 * FAILURES_PER_MIN


def test_many_addresses_guess_no_faster_at_one_user():
    guesses = Guesses(KEY)
    through = sum(
        guesses.wait_s("ann", f"10.0.{i // 250}.{i % 250}", "", i / 50) == 0 for i in range(3000)
    )
    assert through <= 2 * FAILURES_PER_MIN


def test_one_address_guesses_no_faster_at_many_users():
    guesses = Guesses(KEY)
    through = sum(guesses.wait_s(f"user{i}", "10.0.0.1", "", i / 50) == 0 for i in range(3000))
    assert through <= 2 * FAILURES_PER_MIN


def test_the_victim_still_gets_in_from_a_known_browser():
    guesses = Guesses(KEY)
    known = guesses.device("ann")
    tries(guesses)
    assert guesses.wait_s("ann", "10.0.0.9", "", 60.0) > 0
    assert guesses.wait_s("ann", "10.0.0.9", known, 60.0) == 0


def test_a_known_browser_is_limited_too_and_a_forged_one_is_none():
    guesses = Guesses(KEY)
    known = guesses.device("ann")
    assert tries(guesses, device=known) <= 2 * FAILURES_PER_MIN
    other = Guesses(bytes(31) + b"\1").device("ann")
    for forged in ("", "ann", other, known.replace("ann", "bob"), known[1:]):
        guesses = Guesses(KEY)
        tries(guesses)
        assert guesses.wait_s("ann", "10.0.0.9", forged, 60.0) > 0
