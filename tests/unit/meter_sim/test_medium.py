"""The channel: airtime, half-duplex, capture, hidden stations, waiting for silence."""

from __future__ import annotations

from itertools import count

import pytest

from meter_sim.medium import Medium
from meter_sim.radio import Links

LOUD = -600
SECONDS = count(1000)
FRAME = bytes(104)
"""With 16 bytes of PHY exactly 120: 19.2 ms at 50 kbps."""


def medium(heard, rate_kbps=50, time_divisor=1):
    return Medium(Links(heard), seed=1, rate_kbps=rate_kbps, time_divisor=time_divisor)


def everybody(*nodes, level=LOUD):
    return {a: {b: level for b in nodes if a != b} for a in nodes}


def heard_by(arrivals):
    return {(a.node, a.frame) for a in arrivals}


@pytest.mark.parametrize(("length_bytes", "airtime_us"), [(120, 21_760), (12, 4_480)])
def test_airtime_at_50_kbps(length_bytes, airtime_us):
    assert medium({}).airtime_us(length_bytes) == airtime_us
    assert medium({}, time_divisor=20).airtime_us(length_bytes) == airtime_us // 20


def test_a_frame_arrives_at_its_end_at_everybody_but_its_sender():
    air = medium(everybody(1, 2, 3))
    end_us = air.transmit(1000, 1, FRAME)
    assert end_us == 1000 + 19_200
    assert air.next_end_us == end_us
    assert air.completed(end_us - 1) == []
    arrivals = air.completed(end_us)
    assert heard_by(arrivals) == {(2, FRAME), (3, FRAME)}
    assert {a.rssi_dbm for a in arrivals} == {-60}
    assert {a.t_us for a in arrivals} == {end_us}
    assert air.next_end_us is None


def test_nobody_hears_over_no_link():
    air = medium({1: {2: LOUD}, 2: {1: LOUD}, 3: {}})
    assert heard_by(air.completed(air.transmit(0, 1, FRAME))) == {(2, FRAME)}


def test_a_radio_waits_until_the_channel_is_silent():
    air = medium(everybody(1, 2, 3))
    first = air.transmit(0, 1, b"first")
    second = air.transmit(1, 2, b"second")
    assert second >= first + air.airtime_us(6)
    assert heard_by(air.completed(second)) == {
        (2, b"first"),
        (3, b"first"),
        (1, b"second"),
        (3, b"second"),
    }


def test_a_radio_sends_its_own_frames_one_after_another():
    air = medium(everybody(1, 2))
    ends = [air.transmit(0, 1, bytes([n])) for n in range(3)]
    assert ends == sorted(ends)
    assert [a.frame for a in air.completed(ends[-1])] == [b"\0", b"\1", b"\2"]


HACK = b"\x17" + bytes(30)


def test_an_acknowledgement_goes_before_frames_that_wait():
    air = medium(everybody(1, 2, 3))
    first = air.transmit(0, 1, FRAME)
    waiting = air.transmit(1, 3, FRAME)
    acknowledged = air.transmit(2, 2, HACK)
    assert acknowledged == first + air.airtime_us(len(HACK))
    arrivals = air.completed(10**6)
    assert [(a.t_us, a.frame) for a in arrivals if a.node == 1] == [
        (acknowledged, HACK),
        (pytest.approx(waiting + air.airtime_us(len(HACK)), abs=10_000), FRAME),
    ]
    assert air.given_up == 0


def test_an_acknowledgement_never_cuts_a_frame_that_has_begun():
    air = medium(everybody(1, 2, 3))
    first = air.transmit(0, 1, FRAME)
    assert air.transmit(1000, 2, HACK) == first + air.airtime_us(len(HACK))
    assert (3, FRAME) in heard_by(air.completed(first))


def test_acknowledgements_do_not_put_a_frame_off_beyond_its_time():
    air = medium(everybody(1, 2, 3))
    air.transmit(0, 1, FRAME)
    assert air.transmit(1, 3, FRAME) is not None
    for _ in range(60):
        air.transmit(2, 2, HACK)
    assert air.given_up > 0
    assert all(arrival.t_us < 10**6 for arrival in air.completed(10**7))


def hidden(left=LOUD, right=LOUD):
    """1 and 3 do not hear each other; 2 hears both."""
    return medium({1: {2: left}, 3: {2: right}, 2: {1: LOUD, 3: LOUD}})


def test_hidden_stations_destroy_each_others_frames():
    air = hidden()
    air.transmit(0, 1, b"from the left")
    end = air.transmit(1000, 3, b"from the right")
    assert air.completed(end) == []


def test_the_one_8_db_above_the_other_is_captured():
    for gap, survives in ((79, False), (80, True)):
        air = hidden(left=LOUD, right=LOUD - gap)
        air.transmit(0, 1, b"loud")
        end = air.transmit(1000, 3, b"quiet")
        assert heard_by(air.completed(end)) == ({(2, b"loud")} if survives else set())


def test_two_quiet_ones_together_can_spoil_a_loud_one():
    """Each is 9 dB below, their sum is 6 dB below."""
    links = {1: {2: LOUD}, 3: {2: LOUD - 90}, 4: {2: LOUD - 90}, 2: {}}
    one = medium(links)
    one.transmit(0, 1, FRAME)
    one.transmit(0, 3, FRAME)
    assert heard_by(one.completed(10**6)) == {(2, FRAME)}
    both = medium(links)
    for node in (1, 3, 4):
        both.transmit(0, node, FRAME)
    assert both.completed(10**6) == []


def test_frames_that_only_touch_do_not_collide():
    air = hidden()
    end = air.transmit(0, 1, b"a")
    last = air.transmit(end, 3, b"b")
    assert heard_by(air.completed(last)) == {(2, b"a"), (2, b"b")}


def test_the_judgement_does_not_depend_on_when_it_is_asked_for():
    """Four that do not hear each other talk to a fifth, in frames of all lengths."""
    links = {n: {5: LOUD - 60 * n} for n in range(1, 5)} | {5: {}}
    frames = [(n * 9000, 1 + n % 4, bytes([n]) * (1 + n * 37 % 250)) for n in range(80)]
    late, often = medium(links), medium(links)
    heard_often = []
    for now_us, node, frame in frames:
        late.transmit(now_us, node, frame)
        heard_often += often.completed(now_us)
        often.transmit(now_us, node, frame)
    heard_late = late.completed(10**9)
    assert heard_late == heard_often + often.completed(10**9)
    assert 0 < len(heard_late) < len(frames)


def test_a_sender_hears_nothing_while_it_sends():
    """3 hears 1 but 1 does not hear 3, so 3 talks into 1's frame and misses it."""
    air = medium({1: {3: LOUD}, 3: {}, 2: {3: LOUD}})
    air.transmit(0, 3, FRAME)
    end = air.transmit(100, 1, FRAME)
    assert air.completed(end) == []


def test_a_dead_radio_neither_sends_nor_hears():
    air = medium(everybody(1, 2, 3))
    air.kill(2)
    assert air.transmit(0, 2, FRAME) is None
    assert heard_by(air.completed(air.transmit(0, 1, FRAME))) == {(3, FRAME)}
    air.revive(2)
    assert (2, FRAME) in heard_by(air.completed(air.transmit(10**6, 1, FRAME)))


def test_a_frame_of_a_radio_that_dies_meanwhile_is_lost():
    air = medium(everybody(1, 2))
    end = air.transmit(0, 1, FRAME)
    air.kill(1)
    assert air.completed(end) == []


def heard_share(air, sender, receiver, frames=2000):
    heard = 0
    for _ in range(frames):
        end = air.transmit(next(SECONDS) * 10**6, sender, FRAME)
        heard += any(a.node == receiver for a in air.completed(end))
    return heard / frames


def test_a_given_loss_holds_for_one_link_both_ways_and_ends():
    air = medium(everybody(1, 2, 3))
    air.set_loss(1, 2, 50)
    assert heard_share(air, 1, 2) == pytest.approx(0.5, abs=0.05)
    assert heard_share(air, 2, 1) == pytest.approx(0.5, abs=0.05)
    assert heard_share(air, 1, 3, 50) == 1.0
    air.set_loss(1, 2, None)
    assert heard_share(air, 1, 2, 50) == 1.0


def test_a_given_loss_of_a_node_holds_for_all_its_links():
    air = medium(everybody(1, 2, 3))
    air.set_loss(2, None, 100)
    assert heard_share(air, 1, 2, 50) == 0.0
    assert heard_share(air, 2, 3, 50) == 0.0
    assert heard_share(air, 1, 3, 50) == 1.0


def test_a_frame_without_a_gap_in_time_is_given_up():
    air = medium(everybody(1, 2))
    sent = [air.transmit(0, 1, bytes(255)) for _ in range(20)]
    assert None in sent
    assert air.given_up == sent.count(None)
    on_air = [end for end in sent if end is not None]
    assert len(on_air) == 10  # 43 ms each; the tenth starts at 390 ms, the last before the limit
    assert len(air.completed(max(on_air))) == len(on_air)


def test_the_chance_of_a_weak_link_is_the_models():
    air = medium({1: {2: -1038}, 2: {}})
    assert heard_share(air, 1, 2) == pytest.approx(0.55, abs=0.07)
