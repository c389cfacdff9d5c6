from __future__ import annotations

import itertools

from gateway.drivers.schedule import DEAD_AFTER, OVERDUE_MS, PROBE_CAP_MS, Schedule

PERIOD_MS = 10_000


def run(schedule, *, until_ms, cost_ms, alive, start_ms=0):
    """Turn by turn on a line where each meter takes its time; how often each was asked."""
    now_ms, asked = start_ms, {}
    while now_ms < until_ms:
        index = schedule.next(now_ms)
        if index is None:
            now_ms = schedule.next_due_ms()
            continue
        asked[index] = asked.get(index, 0) + 1
        now_ms += cost_ms[index]
        (schedule.answered if alive(index, now_ms) else schedule.failed)(index, now_ms)
    return asked


def test_each_meter_has_its_turn_once_a_period():
    asked = run(
        Schedule(5, PERIOD_MS, 0), until_ms=60_000, cost_ms=[100] * 5, alive=lambda *_: True
    )
    assert asked == dict.fromkeys(range(5), 6)


def test_dead_meters_do_not_slow_the_living():
    """Eight of ten are dead and cost a second each; two are alive."""
    costs = [50, 50] + [1000] * 8
    schedule = Schedule(10, PERIOD_MS, 0)
    asked = run(schedule, until_ms=3_600_000, cost_ms=costs, alive=lambda i, _: i < 2)
    assert schedule.dead == 8
    assert asked[0] >= 355
    assert asked[1] >= 355
    assert max(asked[index] for index in range(2, 10)) <= 12


def test_a_mended_meter_is_found_and_keeps_its_period():
    schedule = Schedule(2, PERIOD_MS, 0)
    mended_ms = 1_000_000
    asked = run(
        schedule,
        until_ms=mended_ms + 2 * PROBE_CAP_MS + 100 * PERIOD_MS,
        cost_ms=[50, 1000],
        alive=lambda index, now_ms: index == 0 or now_ms >= mended_ms,
    )
    assert schedule.dead == 0
    assert asked[1] >= 100


def test_on_a_line_that_is_never_idle_a_dead_meter_still_gets_a_turn():
    schedule = Schedule(3, PERIOD_MS, 0)
    for turn in range(DEAD_AFTER):
        schedule.failed(2, turn)
    now_ms, since = 0, []
    while now_ms < 4 * OVERDUE_MS:
        index = schedule.next(now_ms)
        assert index is not None, "two living meters keep the line busy"
        since.append(index)
        now_ms += PERIOD_MS
        (schedule.failed if index == 2 else schedule.answered)(index, now_ms)
    assert 2 in since
    assert (2, 2) not in itertools.pairwise(since)


def test_a_meter_is_said_to_be_dead_once_and_back_once():
    schedule = Schedule(1, PERIOD_MS, 0)
    assert [schedule.failed(0, t) for t in range(DEAD_AFTER + 2)] == [False, False, True] + [
        False
    ] * 2
    assert schedule.answered(0, 100)
    assert not schedule.answered(0, 200)


def test_periods_that_passed_are_not_made_up_for():
    schedule = Schedule(1, PERIOD_MS, 0)
    schedule.answered(0, 35_000)
    assert schedule.next(35_000) is None
    assert schedule.next_due_ms() == 40_000
