"""The earliest deadline is remembered; it must be the one a look at all would find."""

from hypothesis import given
from hypothesis import strategies as st

from ohmesh.mesh.timers import Timer, Timers

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "set_earlier", "cancel", "look"]),
        st.sampled_from(list(Timer)),
        st.integers(0, 20),
    )
)


@given(STEPS)
def test_the_earliest_is_the_least_of_all(steps):
    timers, model = Timers(), {}
    for what, timer, at_ms in steps:
        if what == "cancel":
            timers.cancel(timer)
            model.pop(timer, None)
        elif what == "look":
            assert timers.next_ms == min(model.values(), default=None)
        else:
            getattr(timers, what)(timer, at_ms)
            model[timer] = at_ms if what == "set" else min(at_ms, model.get(timer, at_ms))
        assert timers.is_set(timer) == (timer in model)
    assert timers.next_ms == min(model.values(), default=None)
