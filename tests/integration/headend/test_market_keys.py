"""Encrypted telegrams of a market's meter, through the store: nothing is taken twice or late."""

from __future__ import annotations

import pytest

from firmware_profiles import registry
from firmware_profiles.api import Report
from firmware_profiles.lu_smarty.profile import seal
from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.keystore import market_name
from headend.mqtt import Delivery
from headend.service.fleet import NewMeter, change_meter, register_meter
from ohmesh.model.reading import Reading
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.uplink import encode_batch

KEY = bytes(range(16))
TITLE = b"OHM\0\0\0\0\2"


@pytest.fixture
def side(store, kit):
    """A gateway with a Luxembourg meter."""
    store.gateway()
    store.ask(register_meter(1, NewMeter("L1", "L1", "lu_smarty", 900)))
    return Side(store, kit)


class Side:
    def __init__(self, store, kit):
        self.store, self.kit, self.seq = store, kit, 0
        self.connection = store.connect("ingest")
        self.writer = Writer(store.keystore)

    def learn(self, key=KEY):
        sealed = self.store.keystore.seal(market_name("L1"), key)
        assert self.store.ask(change_meter(1, "L1", market_keys_sealed=sealed))

    def telegram(self, counter, key=KEY):
        profile = registry.load("lu_smarty")
        time = self.kit.START + self.kit.STEP * (counter + 1)
        register = profile.spec.registers["el.energy.import"]
        plain = profile.encode(Report("L1", time, (Reading(register, counter, time),)))
        payload = seal(plain, key, title=TITLE, counter=counter)
        return Telegram(TelegramKind.METER, "p1", "L1", "lu_smarty", 0, payload)

    def send(self, *counters):
        batch = encode_batch("gw1", 1, self.seq, [self.telegram(n) for n in counters])
        self.seq += len(counters)
        work = sort([Delivery(topics.gateway_topic("gw1", "up"), batch)], 10**6)[0]
        return self.writer.store(self.connection, work, now_ms=1_767_225_600_000)

    def requeue(self):
        return self.writer.requeue(self.connection, 100)

    def reasons(self):
        rows = self.store.rows(
            "select reason from bulk.telegram_quarantine where resolved_at is null order by seq"
        )
        return [row["reason"] for row in rows]


def test_a_replayed_or_lower_counter_is_refused_and_reported(side):
    side.learn()
    assert side.send(1, 2).readings == 2
    assert side.send(2).held == 1
    stored = side.send(1, 3)
    assert (stored.readings, stored.held) == (1, 1)
    assert side.reasons() == ["decode:replay", "decode:replay"]
    assert side.store.counts() == {"readings": 3, "telegrams": 5, "held": 2}


def test_what_came_before_the_keys_is_read_when_they_come_and_once(side):
    assert side.send(1, 2).held == 2
    assert side.reasons() == ["decode:key", "decode:key"]
    side.learn()
    assert side.send(5).readings == 1, "before the backlog was tried again"
    assert side.requeue() == (2, 2)
    assert side.store.counts() == {"readings": 3, "telegrams": 3, "held": 0}


def test_a_replay_stays_one_when_it_is_tried_again(side):
    side.learn()
    side.send(1, 1)
    assert side.store.ask(change_meter(1, "L1", interval_s=1800))
    side.requeue()
    assert side.store.counts()["readings"] == 1


def test_new_keys_begin_a_new_count(side):
    side.learn(bytes(16))
    side.learn()
    side.send(9)
    side.learn(KEY + bytes(0x11 * n for n in range(16)))
    assert side.send(2).readings == 1
