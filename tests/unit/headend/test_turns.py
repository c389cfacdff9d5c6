"""Senders take turns, acknowledgements keep their order, and a flood is told once."""

from __future__ import annotations

from headend.ingest.rates import Flood, Rates
from headend.ingest.source import MqttSource, Receipts
from headend.ingest.turns import Turns
from headend.mqtt import Delivery


def message(topic: str, mid: int = 0, connection: int = 1) -> Delivery:
    return Delivery(topic, b"", mid, connection)


def test_one_of_each_sender_in_turn():
    turns = Turns(100, 32)
    assert not turns.put(message("flood", mid) for mid in range(1, 7))
    assert not turns.put([message("quiet", 7), message("other", 8)])
    assert [d.mid for d in turns.take(4, 0)] == [1, 7, 8, 2]
    assert [d.mid for d in turns.take(100, 0)] == [3, 4, 5, 6]
    assert turns.take(1, 0) == []


def test_without_a_place_qos_0_is_refused_and_qos_1_is_held():
    turns = Turns(2, 32)
    first, second, third = (message(topic) for topic in "abc")
    assert turns.put([first, second, third]) == [third]
    assert not turns.room
    assert not turns.put([message("d", 1)])
    assert turns.take(2, 0) == [first, second]
    assert turns.room
    assert not turns.put([third])
    assert turns.take(9, 0) == [message("d", 1), third]


def test_a_line_that_is_full_refuses_where_it_has_a_bound():
    turns = Turns(100, 2, lambda topic: topic == "bounded")
    assert [d.mid for d in turns.put(message("bounded", mid) for mid in (1, 2, 3))] == [3]
    assert not turns.put(message("other", mid) for mid in range(4, 14))


def test_receipts_wait_for_what_came_before():
    receipts = Receipts()
    first, second, third = (message("t", mid) for mid in (1, 2, 3))
    receipts.expect([first, second, third])
    assert receipts.finish([third]) == []
    assert receipts.finish([second]) == []
    assert receipts.finish([first]) == [(1, 1), (1, 2), (1, 3)]


def test_receipts_of_two_connections_are_told_apart():
    receipts = Receipts()
    old, new = message("t", 1, connection=1), message("t", 1, connection=2)
    receipts.expect([old, new])
    assert receipts.finish([new]) == []
    assert receipts.finish([old]) == [(1, 1), (2, 1)]


def test_a_message_that_came_twice_is_acknowledged_twice_and_holds_up_nobody():
    receipts = Receipts()
    twice, after = message("t", 1), message("t", 2)
    receipts.expect([twice, twice, after])
    assert receipts.finish([twice, twice, after]) == [(1, 1), (1, 1), (1, 2)]
    receipts.expect([twice])
    assert receipts.finish([twice]) == [(1, 1)]


def test_a_gateway_that_floods_leaves_the_others_their_places():
    """Beyond its bound its batches are taken off the broker's hands and kept by nobody here."""
    source = MqttSource(
        "mqtt://127.0.0.1:1", client_id="x", shared=False, receive_maximum=64, sender_max=5
    )
    acknowledged = []
    source.client.acknowledge = lambda places: acknowledged.extend(mid for _, mid in places)
    source._enqueue([message("ohmesh/v1/gw/mad/up", mid) for mid in range(1, 101)])
    source._enqueue([message("ohmesh/v1/gw/calm/up", 101)])
    lane = source.lanes[0]
    taken = lane.fetch(100, 0)
    assert [d.mid for d in taken] == [1, 101, 2, 3, 4, 5]
    lane.done(taken)
    assert acknowledged == list(range(1, 102))


def test_direct_meters_are_never_shed():
    source = MqttSource(
        "mqtt://127.0.0.1:1", client_id="x", shared=False, receive_maximum=64, sender_max=5
    )
    source._enqueue([message("ohmesh/v1/meter/M1/up", mid) for mid in range(1, 21)])
    assert len(source.lanes[0].fetch(100, 0)) == 20


def test_lanes_keep_the_order_of_a_gateway():
    source = MqttSource(
        "mqtt://127.0.0.1:1", client_id="x", shared=False, receive_maximum=64, lanes=4
    )
    source._enqueue([message(f"ohmesh/v1/gw/gw{mid % 10}/up", mid) for mid in range(1, 41)])
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
