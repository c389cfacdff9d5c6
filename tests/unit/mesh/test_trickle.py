"""Trickle (RFC 6206) step by step."""

from ohmesh.mesh.trickle import Trickle


class Zero:
    def randrange(self, _stop):
        return 0


def timer(k=1):
    return Trickle(Zero(), imin_ms=1000, doublings=2, k=k)


def test_stopped_until_reset():
    trickle = timer()
    assert trickle.next_ms == -1
    assert trickle.wake(10**9) is False


def test_sends_in_the_second_half_and_doubles_to_imax():
    trickle = timer()
    trickle.reset(0)
    times = [now for now in range(0, 12_000, 100) if trickle.wake(now)]
    # intervals 0-1000, 1000-3000, 3000-7000, 7000-11000 ...: each sends at its half
    assert times == [500, 2000, 5000, 9000]
    assert trickle.interval_ms == 4000


def test_suppressed_by_k_consistent_messages():
    trickle = timer(k=2)
    trickle.reset(0)
    trickle.hear_consistent()
    trickle.hear_consistent()
    assert trickle.wake(500) is False
    # Trickle-F: suppressed once, so the slot lies in the second quarter: 1000 + 500
    trickle2 = timer(k=1)
    trickle2.reset(0)
    trickle2.hear_consistent()
    assert trickle2.wake(500) is False
    trickle2.wake(1000)
    assert trickle2.next_ms == 1500


def test_reset_falls_back_once():
    trickle = timer()
    trickle.reset(0)
    for now in range(0, 3001, 500):
        trickle.wake(now)
    assert trickle.interval_ms == 4000
    trickle.reset(3100)
    assert (trickle.interval_ms, trickle.next_ms) == (1000, 3600)
    trickle.reset(3200)  # already at Imin: RFC 6206, 4.2 rule 6 does nothing
    assert trickle.next_ms == 3600


def test_stop():
    trickle = timer()
    trickle.reset(0)
    trickle.stop()
    assert trickle.next_ms == -1
