"""Hop ARQ in literal milliseconds; the coin always says zero, or what the test says."""

import pytest

from ohmesh.mesh.arq import Arq, ExchangeDone, wait_ms
from ohmesh.mesh.constants import ARQ_ATTEMPTS
from ohmesh.mesh.errors import MeshUsageError
from ohmesh.mesh.frames import NO_TAG, Hack, HackStatus


class Coin:
    """Answers with the numbers given, then with zero."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)
        self.asked = []

    def randrange(self, stop):
        self.asked.append(stop)
        return self.numbers.pop(0) if self.numbers else 0


def started(coin=None, attempts=3):
    arq = Arq(coin or Coin(), 250)
    arq.begin(1000, b"frame", dst=7, lseq=42, attempts=attempts)
    return arq


def test_idle_machine_wants_nothing():
    arq = Arq(Coin(), 250)
    assert (arq.due_ms, arq.busy, arq.wake(10**9)) == (None, False, None)


def test_acknowledged_at_first_try():
    arq = started()
    assert arq.due_ms == 1000
    assert arq.wake(1000) == b"frame"
    assert arq.due_ms == 1125
    assert arq.wake(1124) is None
    hack = Hack(42, HackStatus.OK, NO_TAG)
    assert arq.hear(7, hack) == ExchangeDone(1, hack)
    assert (arq.busy, arq.due_ms) == (False, None)


def test_backoff_grows_and_is_part_of_the_wait():
    coin = Coin(5, 9, 31, 2)
    arq = started(coin, attempts=4)
    assert arq.due_ms == 1020  # 5 slots of 4 ms
    assert arq.wake(1020) == b"frame"
    assert arq.due_ms == 1020 + 125 + 36
    assert arq.wake(1181) == b"frame"
    assert arq.due_ms == 1181 + 150 + 124
    assert arq.wake(1455) == b"frame"
    assert arq.wake(arq.due_ms) == b"frame"
    assert coin.asked == [8, 16, 32, 32]


def test_gives_up_after_the_last_wait():
    arq = started(attempts=2)
    assert arq.wake(1000) == b"frame"
    assert arq.wake(1125) == b"frame"
    assert arq.due_ms == 1275
    assert arq.wake(1275) == ExchangeDone(2, None)
    assert not arq.busy


def test_waits_grow_and_are_the_mean_over_all_attempts():
    waits = [wait_ms(250, attempt) for attempt in range(1, ARQ_ATTEMPTS + 1)]
    assert waits == sorted(waits)
    assert abs(sum(waits) - 250 * ARQ_ATTEMPTS) < ARQ_ATTEMPTS
    assert wait_ms(250, ARQ_ATTEMPTS + 5) == waits[-1]


@pytest.mark.parametrize(("src", "lseq"), [(8, 42), (7, 43)])
def test_foreign_acknowledgement_is_ignored(src, lseq):
    arq = started()
    arq.wake(1000)
    assert arq.hear(src, Hack(lseq, HackStatus.OK, NO_TAG)) is None
    assert arq.busy


def test_acknowledgement_before_any_transmission_is_a_forgery():
    arq = started(Coin(5))
    assert arq.hear(7, Hack(42, HackStatus.OK, NO_TAG)) is None


def test_late_acknowledgement_during_backoff_counts():
    arq = started(Coin(0, 15))
    arq.wake(1000)
    assert arq.wake(1130) is None  # the wait is over, the back-off is not
    hack = Hack(42, HackStatus.BUSY, NO_TAG)
    assert arq.hear(7, hack) == ExchangeDone(1, hack)


def test_one_exchange_at_a_time():
    with pytest.raises(MeshUsageError):
        started().begin(1000, b"other", dst=7, lseq=43, attempts=1)
