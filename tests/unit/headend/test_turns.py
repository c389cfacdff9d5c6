"""Senders take turns, acknowledgements keep their order, and a flood is told once."""

from __future__ import annotations

from headend.ingest.rates import Flood, Rates
from headend.ingest.source import MqttSource, Receipts
from headend.ingest.turns import Turns
from headend.mqtt import Delivery


def message(topic: str, mid: int = 0, connection: int = 1) -> Delivery:
    return Delivery(topic, b"", mid, connection)


def test_one_of_each_sender_in_turn():
    turns = Turns(100)
    for mid in range(1, 7):
        assert turns.put(message("flood", mid), 0)
    assert turns.put(message("quiet", 7), 0)
    assert turns.put(message("other", 8), 0)
    assert [d.mid for d in turns.take(4, 0)] == [1, 7, 8, 2]
    assert [d.mid for d in turns.take(100, 0)] == [3, 4, 5, 6]
    assert turns.take(1, 0) == []


def test_no_place_is_told_and_a_taken_message_makes_one():
    turns = Turns(2)
    assert turns.put(message("a"), 0)
    assert turns.put(message("b"), 0)
    assert not turns.put(message("c"), 0)
    assert turns.take(1, 0)
    assert turns.put(message("c"), 0)


def test_receipts_wait_for_what_came_before():
    receipts = Receipts()
    first, second, third = (message("t", mid) for mid in (1, 2, 3))
    for one in (first, second, third):
        receipts.expect(one)
    assert receipts.finish([third]) == []
    assert receipts.finish([second]) == []
    assert receipts.finish([first]) == [(1, 1), (1, 2), (1, 3)]


def test_receipts_of_two_connections_are_told_apart():
    receipts = Receipts()
    old, new = message("t", 1, connection=1), message("t", 1, connection=2)
    receipts.expect(old)
    receipts.expect(new)
    assert receipts.finish([new]) == []
    assert receipts.finish([old]) == [(1, 1), (2, 1)]


def test_a_message_that_came_twice_is_acknowledged_twice_and_holds_up_nobody():
    receipts = Receipts()
    twice, after = message("t", 1), message("t", 2)
    for one in (twice, twice, after):
        receipts.expect(one)
    assert receipts.finish([twice, twice, after]) == [(1, 1), (1, 1), (1, 2)]
    receipts.expect(twice)
    assert receipts.finish([twice]) == [(1, 1)]


def test_a_gateway_that_floods_leaves_the_others_their_places():
    """Beyond its bound its batches are taken off the broker's hands and kept by nobody here."""
    source = MqttSource(
        "mqtt://127.0.0.1:1", client_id="x", shared=False, receive_maximum=64, sender_max=5
    )
    acknowledged = []
    source.client.acknowledge = lambda _connection, mid: acknowledged.append(mid)
    for mid in range(1, 101):
        source._enqueue(message("ohmesh/v1/gw/mad/up", mid))
    source._enqueue(message("ohmesh/v1/gw/calm/up", 101))
    lane = source.lanes[0]
    taken = lane.fetch(100, 0)
    assert [d.mid for d in taken] == [1, 101, 2, 3, 4, 5]
    lane.done(taken)
    assert acknowledged == list(range(1, 102))


def test_direct_meters_are_never_shed():
    source = MqttSource(
        "mqtt://127.0.0.1:1", client_id="x", shared=False, receive_maximum=64, sender_max=5
    )
    for mid in range(1, 21):
        source._enqueue(message("ohmesh/v1/meter/M1/up", mid))
    assert len(source.lanes[0].fetch(100, 0)) == 20


def test_lanes_keep_the_order_of_a_gateway():
    source = MqttSource(
        "mqtt://127.0.0.1:1", client_id="x", shared=False, receive_maximum=64, lanes=4
    )
    for mid in range(1, 41):
        source._enqueue(message(f"ohmesh/v1/gw/gw{mid % 10}/up", mid))
    taken = [lane.fetch(100, 0) for lane in source.lanes]
    assert sorted(d.mid for one in taken for d in one) == list(range(1, 41))
    of = [{d.topic for d in one} for one in taken]
    assert sum(map(len, of)) == 10
    for one in taken:
        for topic in {d.topic for d in one}:
            mids = [d.mid for d in one if d.topic == topic]
            assert mids == sorted(mids)


def test_a_flood_is_told_once_an_hour_and_a_backlog_is_none():
    rates = Rates(100)
    minute = 60_000
    assert all(rates.note(1, m * minute, 99, now_ms=0) is None for m in range(1000))
    assert rates.note(1, 1000 * minute, 60, now_ms=0) is None
    assert rates.note(1, 1000 * minute, 60, now_ms=0) == Flood(1, 120)
    assert rates.note(1, 1000 * minute, 60, now_ms=1000) is None
    assert rates.note(2, 1000 * minute, 101, now_ms=1000) == Flood(2, 101)
    assert rates.note(1, 1000 * minute, 60, now_ms=3_600_000) == Flood(1, 240)
