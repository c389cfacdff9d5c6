"""A thousand gateways lose their broker at once (T7), on virtual time."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gateway.config import GatewaySettings
from gateway.mqtt import spread

GATEWAYS = 1000
ACCEPTED_MAX_PER_S = 50
BACK_MAX_S = 180
HELD_S = 3600.0


def come_back(outage_s, seed):
    """When each is connected again, in seconds after the broker is back."""
    chance = random.Random(seed)
    cap_s = GatewaySettings().broker.reconnect_cap_s
    for _ in range(GATEWAYS):
        backoff = spread(cap_s, chance.random)
        at_s = backoff.failed(HELD_S)
        while at_s < outage_s:
            at_s += backoff.failed(0)
        yield at_s - outage_s


@pytest.mark.parametrize("outage_s", [0, 1, 10, 60, 300, 3600, 86_400])
def test_a_broker_that_comes_back_meets_no_herd(outage_s):
    back = list(come_back(outage_s, seed=outage_s))
    seconds = Counter(map(int, back))
    assert sum(seconds.values()) == GATEWAYS
    assert max(seconds.values()) <= ACCEPTED_MAX_PER_S
    assert max(back) <= BACK_MAX_S


def test_a_broker_that_accepts_and_drops_is_left_in_peace():
    backoff = spread(160.0, lambda: 1.0)
    assert [backoff.failed(held_s=1.0) for _ in range(5)] == [40, 80, 160, 160, 160]
    assert backoff.failed(held_s=60.0) == 40
