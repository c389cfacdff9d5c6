from __future__ import annotations

from gateway.thinning import LEVELS, Thinning, least_pause_ms

MINUTE_MS = 60_000


def test_telegrams_get_rarer_as_the_outbox_fills():
    pauses = [least_pause_ms(percent / 100) for percent in range(101)]
    assert pauses == sorted(pauses)
    assert pauses[79] == 0
    assert pauses[80] == 5 * MINUTE_MS
    assert pauses[100] == 60 * MINUTE_MS


def test_each_meter_keeps_its_turn_at_every_level():
    for fill, pause_ms in LEVELS:
        thinning = Thinning()
        taken = dict.fromkeys(("a", "b"), 0)
        for now_ms in range(0, 10 * pause_ms, MINUTE_MS):
            for meter in taken:
                if thinning.admits(meter, fill, now_ms):
                    thinning.took(meter, now_ms)
                    taken[meter] += 1
        assert taken == {"a": 10, "b": 10}


def test_an_empty_outbox_takes_all():
    thinning = Thinning()
    for now_ms in range(10):
        assert thinning.admits("a", 0.5, now_ms)
        thinning.took("a", now_ms)
