"""Many connections at one broker that is killed: all come back, each once, and none for another."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from gateway.mqtt import Link, LinkSettings, Message, spread
from ohmesh.wire.brokerurl import BrokerUrl


class Gateways:
    """Links that count how often each came up."""

    def __init__(self, broker, count, cap_s):
        self.ups = Counter()
        self.heard = Counter()
        url = BrokerUrl.parse(broker.url)
        chance = random.Random(1)
        self.links = [
            Link(self._settings(url, number), spread(cap_s, chance.random))
            for number in range(count)
        ]

    def _settings(self, url, number):
        def changed(up):
            self.ups[number] += up

        return LinkSettings(
            brokers=[url],
            client_id=f"herd-{number}",
            topics=[f"herd/{number}"],
            on_message=lambda _, octets: self.heard.update([octets]),
            on_change=changed,
        )

    def all_up(self):
        return all(link.up for link in self.links)

    async def say(self, word):
        """Each to itself: what comes back was carried both ways."""
        for number, link in enumerate(self.links):
            await link.publish(Message(f"herd/{number}", f"{word}-{number}".encode(), qos=1))


@pytest.mark.parametrize(
    ("count", "cap_s", "wait_s"),
    [
        (30, 4.0, 60),
        pytest.param(1000, 300.0, 600, marks=[pytest.mark.soak, pytest.mark.timeout(2400)]),
    ],
)
async def test_all_come_back_and_each_is_itself(broker, wait_until, end_task, count, cap_s, wait_s):
    gateways = Gateways(broker, count, cap_s)
    tasks = [asyncio.create_task(link.run(), name="link") for link in gateways.links]
    try:
        assert await wait_until(gateways.all_up, wait_s)
        await gateways.say("before")
        broker.stop()
        assert await wait_until(lambda: not any(link.up for link in gateways.links), wait_s)
        broker.start()
        assert await wait_until(gateways.all_up, wait_s)
        await gateways.say("after")
        assert await wait_until(lambda: len(gateways.heard) == 2 * count, wait_s)
    finally:
        await asyncio.gather(*map(end_task, tasks))
    assert set(gateways.heard.values()) == {1}
    assert set(gateways.ups.values()) == {2}, "up once before and once after"
