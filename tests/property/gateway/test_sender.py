"""The sender against a head-end that is deaf, slow, late and forgetful, on a line that breaks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sending import Lane, Send, Sender, SendingLimits

LIMITS = SendingLimits(batch_telegrams=7, linger_ms=50, window=3, resend_ms=500, resend_cap_ms=4000)
EPOCH = 5

EVENTS = st.lists(
    st.sampled_from(["append", "append", "hear", "deaf", "lose", "break", "pass"]), max_size=120
)


class World:
    """Telegrams that were committed, and what the head-end has of them."""

    def __init__(self):
        self.sender = Sender(LIMITS)
        self.now_ms = 0
        self.next_seq = 0
        self.acked = 0
        self.told = 0
        self.got = set()
        self.sends = 0
        self.early = 0
        self.observe()

    def observe(self):
        self.told = self.acked
        self.sender.observe(EPOCH, self.acked, self.next_seq, self.urgent())

    def urgent(self):
        """Every eleventh telegram is."""
        return [seq for seq in range(self.told, self.next_seq) if seq % 11 == 10]

    def pump(self, *, head_end_hears, broker_takes=True):
        """Send all that it wants to send now."""
        for _ in range(3 * LIMITS.window):
            step = self.sender.step(self.now_ms)
            if not isinstance(step, Send):
                assert step.until_ms is None or step.until_ms > self.now_ms
                return
            assert self.told <= step.first_seq < self.next_seq
            assert 1 <= step.limit <= min(LIMITS.batch_telegrams, self.next_seq - step.first_seq)
            end = step.first_seq + step.limit
            self.sends += 1
            self.early += step.lane is not Lane.ORDERED
            if not broker_takes:
                self.sender.restart()
                return
            self.sender.sent(EPOCH, step, step.limit, self.now_ms)
            if head_end_hears:
                self.got |= set(range(step.first_seq, end))
                self.acknowledge()
        raise AssertionError("more batches than window and lanes hold")

    def acknowledge(self):
        while self.acked in self.got:
            self.acked += 1
        # The word arrives in the next round, not within the same breath.


def play(world, events):
    for event in events:
        world.observe()
        if event == "append":
            world.next_seq += 3
        elif event == "hear":
            world.pump(head_end_hears=True)
        elif event == "deaf":
            world.pump(head_end_hears=False)
        elif event == "lose":
            world.pump(head_end_hears=False, broker_takes=False)
        elif event == "break":
            world.sender.restart()
        world.now_ms += 60


@given(EVENTS)
@settings(max_examples=300)
def test_whatever_happened_all_arrives_once_the_head_end_hears_again(events):
    world = World()
    play(world, events)
    before = world.sends - world.early
    for _ in range(2000):
        if world.acked == world.next_seq:
            break
        world.observe()
        world.pump(head_end_hears=True)
        world.now_ms += 100
    assert world.acked == world.next_seq
    batches = -(-world.next_seq // LIMITS.batch_telegrams)
    assert world.sends - world.early - before <= batches + LIMITS.window + 2, (
        "hardly anything is sent twice"
    )


@given(EVENTS, st.integers(1, 50))
@settings(max_examples=100)
def test_a_dead_head_end_costs_one_batch_per_cap(events, hours):
    world = World()
    play(world, events)
    world.next_seq += 1000
    world.observe()
    for _ in range(100):  # until it has given up hope
        world.pump(head_end_hears=False)
        world.now_ms += 500
    before, early = world.sends - world.early, world.early
    span_ms = hours * LIMITS.resend_cap_ms
    for _ in range(span_ms // 100):
        world.pump(head_end_hears=False)
        world.now_ms += 100
    assert world.sends - world.early - before <= hours + 1
    rounds = hours + 1
    assert world.early - early <= rounds * len(world.urgent()), "urgent ones once a round"
