"""The loss coin is Philox, keyed as its module says, and nothing else decides."""

from __future__ import annotations

import numpy as np
from numpy.random import Philox

from meter_sim.coin import Coin
from meter_sim.radio import SURE


def test_a_toss_is_the_first_16_bits_of_philox_with_seed_and_transmitter_as_key():
    for seed, transmitter, receiver, frame in [
        (1, 2, 3, 4),
        (2**40, 2**32 - 2, 1, 0),
        (0, 1, 1, 9),
    ]:
        key = np.array([seed, transmitter], dtype=np.uint64)
        counter = np.array([frame, receiver, 0, 0], dtype=np.uint64)
        expected = int(Philox(key=key, counter=counter).random_raw()) >> 48
        assert Coin(seed).toss(transmitter, receiver, frame) == expected


def test_the_order_of_tosses_does_not_matter():
    one, other = Coin(7), Coin(7)
    tosses = [(a, b, n) for a in range(3) for b in range(3) for n in range(5)]
    forwards = {toss: one.toss(*toss) for toss in tosses}
    backwards = {toss: other.toss(*toss) for toss in reversed(tosses)}
    assert forwards == backwards


def test_every_argument_changes_the_outcome():
    base = [Coin(1).toss(2, 3, frame) for frame in range(50)]
    assert base != [Coin(2).toss(2, 3, frame) for frame in range(50)]
    assert base != [Coin(1).toss(3, 2, frame) for frame in range(50)]
    assert len(set(base)) > 45


def test_a_probability_of_a_quarter_happens_a_quarter_of_the_time():
    coin = Coin(3)
    happened = sum(coin.toss(1, 2, frame) < SURE // 4 for frame in range(10_000))
    assert 2_300 < happened < 2_700


def test_several_tosses_of_a_frame_begin_with_the_toss_and_go_on_in_the_words_of_philox():
    key = np.array([5, 6], dtype=np.uint64)
    words = Philox(key=key, counter=np.array([8, 7, 0, 0], dtype=np.uint64)).random_raw(3)
    expected = [int(word) >> shift & 0xFFFF for word in words for shift in (48, 32, 16, 0)]
    coin = Coin(5)
    assert coin.tosses(6, 7, 8, 11).tolist() == expected[:11]
    assert coin.toss(6, 7, 8) == expected[0]
