"""Shares and guesses on a clock of the test's own."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from headend.security.guessing import FAILURES_PER_MIN, Guesses
from headend.security.limits import TABLE_BYTES, Limiter, Table

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


def test_of_too_many_names_the_longest_unused_go():
    """However many there are: who was seen last is still known, and the first find full buckets."""
    limiter = Limiter(0.001, 1)
    names = [str(number) for number in range(100_000)]
    for now_s, name in enumerate(names):
        assert limiter.take(name, now_s / 1000) == 0
    assert all(limiter.take(name, 100.0) > 0 for name in names[-1000:])
    assert sum(limiter.take(name, 100.0) == 0 for name in names[:1000]) > 500


def test_limiters_of_one_table_do_not_touch_each_other():
    table = Table()
    one, other = Limiter(1, 1, table, "one"), Limiter(1, 1, table, "other")
    assert one.take("a", 0.0) == other.take("a", 0.0) == 0
    assert one.take("a", 0.0) > 0


def test_processes_share_one_bucket(tmp_path):
    """Four processes that take at the same time get what one would have got, and not one more."""
    file = tmp_path / "shares"
    file.write_bytes(bytes(TABLE_BYTES))
    started = [
        subprocess.Popen([sys.executable, "-c", TAKE_ALL, file], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    taken = [int(one.communicate()[0]) for one in started]
    assert sum(taken) == 20_000
    assert max(taken) < 20_000, "one had all before the others came: nothing was shown"


TAKE_ALL = """
import sys
from headend.security.limits import Limiter, Table
with open(sys.argv[1], "r+b") as file:
    limiter = Limiter(0.001, 20_000, Table(bytes(16), file.fileno()))
    print(sum(limiter.take("ann", 0.0) == 0 for _ in range(20_000)))
"""


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
