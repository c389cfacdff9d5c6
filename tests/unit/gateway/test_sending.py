"""The uplink's decisions at literal times."""

from __future__ import annotations

import pytest

from gateway.sending import Lane, Send, Sender, SendingLimits, Wait

LIMITS = SendingLimits(
    batch_telegrams=10, linger_ms=200, window=4, resend_ms=1000, resend_cap_ms=8000
)
EPOCH = 77


@pytest.fixture
def sender():
    made = Sender(LIMITS)
    made.observe(EPOCH, 0, 0)
    return made


def take(sender, now_ms):
    """Do what it says; the broker takes it at once."""
    step = sender.step(now_ms)
    assert isinstance(step, Send), step
    sender.sent(EPOCH, step, step.limit, now_ms)
    return step


def test_nothing_to_do(sender):
    assert sender.step(0) == Wait(None)


def test_a_lone_telegram_leaves_at_once(sender):
    sender.observe(EPOCH, 0, 1)
    assert sender.step(5000) == Send(0, 1)


def test_the_next_incomplete_batch_waits_its_time(sender):
    sender.observe(EPOCH, 0, 1)
    take(sender, 0)
    sender.observe(EPOCH, 0, 3)
    assert sender.step(50) == Wait(200)
    assert sender.step(200) == Send(1, 2)


def test_a_full_batch_does_not_wait(sender):
    sender.observe(EPOCH, 0, 1)
    take(sender, 0)
    sender.observe(EPOCH, 0, 11)
    assert sender.step(1) == Send(1, 10)


def test_the_window_bounds_what_waits_for_the_head_end(sender):
    sender.observe(EPOCH, 0, 100)
    assert [take(sender, 0).first_seq for _ in range(4)] == [0, 10, 20, 30]
    assert sender.step(1) == Wait(1000)
    sender.observe(EPOCH, 10, 100)
    assert take(sender, 2) == Send(40, 10)
    assert sender.step(3) == Wait(1000)


def test_the_waiting_time_starts_when_the_broker_has_taken_it(sender):
    sender.observe(EPOCH, 0, 1)
    assert sender.step(0) == Send(0, 1)
    sender.sent(EPOCH, Send(0, 1), 1, 60_000)
    assert sender.step(60_500) == Wait(61_000)


def test_silence_sends_the_oldest_again_alone_and_ever_more_seldom(sender):
    sender.observe(EPOCH, 0, 40)
    for _ in range(4):
        take(sender, 0)
    now_ms = 0
    for wait_ms in (1000, 2000, 4000, 8000, 8000):
        assert sender.step(now_ms + wait_ms - 1) == Wait(now_ms + wait_ms)
        now_ms += wait_ms
        assert take(sender, now_ms) == Send(0, 10)
        assert isinstance(sender.step(now_ms), Wait), "nothing else is sent meanwhile"


def test_an_answer_opens_the_window_step_by_step(sender):
    sender.observe(EPOCH, 0, 100)
    for _ in range(4):
        take(sender, 0)
    take(sender, 1000)
    sender.observe(EPOCH, 10, 100)
    assert [take(sender, 1001).first_seq for _ in range(2)] == [10, 20]
    assert sender.step(1001) == Wait(2001), "the time is back at its base"
    sender.observe(EPOCH, 20, 100)
    assert [take(sender, 1002).first_seq for _ in range(3)] == [30, 40, 50]


def test_a_late_answer_for_what_counted_as_unsent_is_not_sent_again(sender):
    sender.observe(EPOCH, 0, 40)
    for _ in range(4):
        take(sender, 0)
    take(sender, 1000)
    sender.observe(EPOCH, 40, 41)
    assert take(sender, 1300) == Send(40, 1)


def test_a_new_connection_starts_at_the_first_unacknowledged_number(sender):
    sender.observe(EPOCH, 0, 30)
    take(sender, 0)
    take(sender, 0)
    sender.observe(EPOCH, 5, 30)
    sender.restart()
    assert sender.step(1) == Send(5, 10)


def test_what_was_on_its_way_during_a_restart_does_not_count(sender):
    sender.observe(EPOCH, 0, 30)
    take(sender, 0)
    step = sender.step(0)
    sender.restart()
    sender.sent(EPOCH, step, 10, 5)
    assert sender.step(6) == Send(0, 10)


def test_an_acknowledgement_that_overtakes_the_broker_is_fine(sender):
    sender.observe(EPOCH, 0, 10)
    assert sender.step(0) == Send(0, 10)
    sender.observe(EPOCH, 10, 10)
    sender.sent(EPOCH, Send(0, 10), 10, 5)
    assert sender.step(6) == Wait(None)


def test_a_new_epoch_starts_anew(sender):
    sender.observe(EPOCH, 0, 30)
    take(sender, 0)
    sender.observe(EPOCH + 1, 0, 3)
    sender.sent(EPOCH, Send(10, 10), 10, 1)
    assert sender.step(300) == Send(0, 3)


def test_a_short_batch_moves_the_cursor_by_its_length(sender):
    sender.observe(EPOCH, 0, 30)
    assert sender.step(0) == Send(0, 10)
    sender.sent(EPOCH, Send(0, 10), 3, 0)
    assert sender.step(1) == Send(3, 10)


def test_an_urgent_telegram_passes_the_backlog_once(sender):
    sender.observe(EPOCH, 0, 100, [70, 71, 90])
    assert take(sender, 0) == Send(70, 2, Lane.URGENT)
    assert take(sender, 0) == Send(0, 10)
    assert take(sender, 200) == Send(90, 1, Lane.URGENT)
    assert [take(sender, 200) for _ in range(3)] == [Send(n, 10) for n in (10, 20, 30)]
    assert sender.step(201) == Wait(1000)


def test_an_urgent_telegram_near_the_cursor_goes_in_its_turn(sender):
    sender.observe(EPOCH, 0, 30, [5])
    assert take(sender, 0) == Send(0, 10)


def test_an_urgent_telegram_does_not_wait_for_a_closed_window(sender):
    sender.observe(EPOCH, 0, 40)
    for _ in range(4):
        take(sender, 0)
    sender.observe(EPOCH, 0, 41, [40])
    assert take(sender, 10) == Send(40, 1, Lane.URGENT)
    assert sender.step(10) == Wait(1000)


def test_urgent_telegrams_are_urgent_again_when_nothing_was_answered(sender):
    sender.observe(EPOCH, 0, 100, [70])
    assert take(sender, 0).lane is Lane.URGENT
    for _ in range(4):
        take(sender, 0)
    assert take(sender, 1000) == Send(70, 1, Lane.URGENT)
    sender.restart()
    assert take(sender, 5000) == Send(70, 1, Lane.URGENT)


def backlogged():
    """1000 telegrams wait when the connection comes; then two more are committed."""
    made = Sender(LIMITS)
    made.observe(EPOCH, 0, 1000)
    made.restart()
    made.observe(EPOCH, 0, 1002)
    return made


def test_live_telegrams_go_beside_a_backlog_one_batch_for_each_progress():
    sender = backlogged()
    assert take(sender, 0) == Send(0, 10), "the head-end has shown no life yet"
    sender.observe(EPOCH, 10, 1002)
    assert take(sender, 1) == Send(1000, 2, Lane.LIVE)
    sender.observe(EPOCH, 10, 1030)
    assert take(sender, 1) == Send(10, 10)
    sender.observe(EPOCH, 20, 1030)
    assert take(sender, 2) == Send(1002, 10, Lane.LIVE), "a full batch does not linger"
    assert take(sender, 2) == Send(20, 10)


def test_the_cursor_skips_what_the_live_lane_has_sent_and_waits_for_it():
    sender = backlogged()
    take(sender, 0)
    sender.observe(EPOCH, 10, 1002)
    assert take(sender, 1).lane is Lane.LIVE
    sender.observe(EPOCH, 995, 1002)
    assert take(sender, 300) == Send(995, 5), "the last of the backlog"
    assert sender.step(300) == Wait(1300), "1000 and 1001 are on their way"
    sender.observe(EPOCH, 1002, 1003)
    assert take(sender, 600) == Send(1002, 1)


def test_what_was_lost_on_the_live_lane_is_sent_again_in_order():
    sender = backlogged()
    take(sender, 0)
    sender.observe(EPOCH, 10, 1002)
    assert take(sender, 1).lane is Lane.LIVE
    sender.observe(EPOCH, 995, 1002)
    take(sender, 300)
    sender.observe(EPOCH, 1000, 1002)
    assert take(sender, 1300) == Send(1000, 2)


def test_the_live_lane_begins_at_the_present_when_the_head_end_comes_back(sender):
    sender.observe(EPOCH, 0, 40)
    for _ in range(4):
        take(sender, 0)
    take(sender, 1000)
    sender.observe(EPOCH, 0, 5000)
    take(sender, 3000)
    sender.observe(EPOCH, 10, 5001)
    assert take(sender, 3001) == Send(5000, 1, Lane.LIVE)


def test_a_new_connection_sends_again_what_the_live_lane_had_sent():
    sender = backlogged()
    take(sender, 0)
    sender.observe(EPOCH, 10, 1002)
    assert take(sender, 1).lane is Lane.LIVE
    sender.restart()
    sender.observe(EPOCH, 990, 1002)
    assert take(sender, 300) == Send(990, 10)
    sender.observe(EPOCH, 1000, 1002)
    assert take(sender, 600) == Send(1000, 2)
