"""The calendar runs fast until it has caught up, and never shows the future."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meter_sim.calendar import Calendar

YEAR = Calendar(start_ms=0, began_ms=31_536_000_000, speed=600)


def test_it_begins_at_its_start_and_runs_at_its_speed():
    assert YEAR.at(YEAR.began_ms) == 0
    assert YEAR.at(YEAR.began_ms + 1500) == 900_000
    assert YEAR.clock_ms(900_000) == YEAR.began_ms + 1500


def test_it_goes_with_the_clock_once_it_has_caught_up():
    caught_up_ms = 32_000_000_000
    assert YEAR.at(caught_up_ms) == caught_up_ms
    assert YEAR.at(caught_up_ms + 1) == caught_up_ms + 1
    assert YEAR.clock_ms(caught_up_ms + 900_000) == caught_up_ms + 900_000


def test_a_stopped_calendar_stands_still():
    stopped = YEAR.stop(YEAR.began_ms + 1000)
    assert stopped.stopped
    assert not YEAR.stopped
    assert stopped.at(YEAR.began_ms + 500) == 300_000
    assert stopped.at(YEAR.began_ms + 99_999) == stopped.at(YEAR.began_ms + 1000) == 600_000


_CALENDARS = st.builds(
    lambda start, behind, speed: Calendar(start, start + behind, speed),
    st.integers(0, 2**42),
    st.integers(0, 2**40),
    st.integers(1, 100_000),
)


@given(_CALENDARS, st.integers(0, 2**40), st.integers(0, 2**30))
def test_it_never_runs_ahead_and_never_back(calendar, first, more):
    clock_ms = calendar.began_ms + first
    assert calendar.start_ms <= calendar.at(clock_ms) <= clock_ms
    assert calendar.at(clock_ms) <= calendar.at(clock_ms + more)


@given(_CALENDARS, st.integers(1, 2**40))
def test_clock_ms_is_the_first_moment_at_which_a_time_is_reached(calendar, ahead):
    wanted = calendar.start_ms + ahead
    clock_ms = calendar.clock_ms(wanted)
    assert calendar.at(clock_ms) >= wanted
    assert calendar.at(clock_ms - 1) < wanted
