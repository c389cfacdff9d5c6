"""The bucket wheel against a sorted list: exact order of (time, sequence), whatever comes when."""

from hypothesis import given
from hypothesis import strategies as st

from meter_sim.city.queue import BucketQueue

FIRST, SECOND = 1, 2
STEP = st.tuples(st.integers(0, 300), st.integers(1, 6), st.integers(0, 100))


@given(st.lists(STEP, max_size=40), st.integers(1, 64))
def test_events_leave_in_order_of_time_and_arrival(steps, width):
    queue, waiting, now, seq = BucketQueue(width), [], 0, 0
    for ahead, pushes, forward in steps:
        for n in range(pushes):
            seq += 1
            queue.push(now + ahead // (n + 1), 0, 0, None)
            waiting.append((now + ahead // (n + 1), seq))
        now += forward
        waiting.sort()
        due = [entry for entry in waiting if entry[0] <= now]
        left = []
        while (event := queue.pop_until(now)) is not None:
            left.append(event[:2])
        assert left == due
        waiting = waiting[len(due) :]
        assert len(queue) == len(waiting)


@given(st.lists(st.integers(0, 500), min_size=1), st.integers(1, 50))
def test_an_event_may_add_one_at_its_own_time(times, width):
    queue = BucketQueue(width)
    for at in times:
        queue.push(at, FIRST, 0, None)
    seen = []
    while (event := queue.pop_until(10_000)) is not None:
        seen.append(event)
        if event[2] == FIRST:
            queue.push(event[0], SECOND, 0, None)
    assert [event[0] for event in seen] == sorted(event[0] for event in seen)
    assert sorted(at for at, _, what, *_ in seen if what == SECOND) == sorted(times)
