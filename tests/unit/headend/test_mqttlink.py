"""What the head-end's half of an MQTT connection says, and when it gives up."""

from __future__ import annotations

import pytest

from headend.mqttlink import ANSWER_S, Delivery, Link, LinkError
from ohmesh.model.errors import Malformed
from ohmesh.wire import mqtt5

HELLO = mqtt5.Hello("h", None, None, 30, clean_start=False, receive_maximum=20)
CONNACK = b"\x20\x03\x00\x00\x00"
SUBACK = b"\x90\x05\xff\xff\x00\x01\x01"


def link(*subscriptions: str) -> Link:
    made = Link(HELLO, subscriptions, number=7, now_s=0.0)
    assert sent(made) == mqtt5.connect(HELLO)
    return made


def sent(one: Link) -> bytes:
    taken = bytes(one.outgoing)
    del one.outgoing[:]
    return taken


def connected(connack: bytes = CONNACK) -> Link:
    made = link()
    assert made.receive(connack, 0.0) == []
    assert made.ready
    return made


def puback(number: int) -> bytes:
    return mqtt5.puback(number)


def test_it_is_ready_when_the_subscription_is_accepted():
    one = link("a/+", "b")
    assert one.receive(CONNACK, 0.0) == []
    assert not one.ready
    assert sent(one) == mqtt5.subscribe(65_535, ["a/+", "b"], 1)
    assert one.receive(SUBACK, 0.0) == []
    assert one.ready


def test_messages_of_one_read_come_together_and_are_acknowledged_together():
    one = connected()
    octets = b"".join(mqtt5.publish(b"t", bytes((n,)), n & 1, n) for n in range(1, 5))
    assert one.receive(octets, 1.0) == [
        Delivery("t", b"\x01", 1, 7),
        Delivery("t", b"\x02", 0, 7),
        Delivery("t", b"\x03", 3, 7),
        Delivery("t", b"\x04", 0, 7),
    ]
    one.acknowledge([1, 3])
    assert sent(one) == puback(1) + puback(3)


def test_what_the_session_holds_may_come_before_the_subscription_is_accepted():
    one = link("t")
    found = one.receive(CONNACK + mqtt5.publish(b"t", b"x", 1, 9), 0.0)
    assert [d.mid for d in found] == [9]


def test_a_duplicate_is_handed_over_like_any_other():
    """DUP (3.3.1.1) says nothing to who counts by content."""
    one = connected()
    octets = bytearray(mqtt5.publish(b"t", b"x", 1, 9))
    octets[0] |= 0x08
    assert one.receive(bytes(octets), 0.0) == [Delivery("t", b"x", 9, 7)]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (mqtt5.publish(b"t", b"x", 0, 0), "before CONNACK"),
        (CONNACK + b"\x34\x06\x00\x01t\x00\x01\x00", "QoS 2"),
        (CONNACK + b"\x36\x06\x00\x01t\x00\x01\x00", "QoS 3"),
        (CONNACK + b"\x32\x06\x00\x01t\x00\x00\x00", "number 0"),
        (CONNACK + b"\x30\xff\xff\xff\xff\x01", "four bytes"),
        (CONNACK + b"\x30\x04\x00\x05abcdefgh", "leaves its length"),
        (CONNACK + b"\x30\x05\x00\x01t\x7f\x00" + bytes(200), "leaves its length"),
    ],
)
def test_what_is_no_mqtt_is_refused(octets, reason):
    with pytest.raises(Malformed, match=reason):
        link().receive(octets, 0.0)


@pytest.mark.parametrize("reason", [0x80, 0x87, 0x8E, 0x97])
def test_a_refusal_and_a_farewell_end_it_with_their_reason(reason):
    with pytest.raises(LinkError, match=f"{reason:#04x}"):
        link().receive(b"\x20\x03\x00" + bytes((reason, 0)), 0.0)
    with pytest.raises(LinkError, match=f"{reason:#04x}"):
        connected().receive(b"\xe0\x01" + bytes((reason,)), 0.0)


def test_a_refused_subscription_is_told_and_the_others_stay(caplog):
    one = link("a", "b")
    one.receive(CONNACK + b"\x90\x05\xff\xff\x00\x01\x87", 0.0)
    assert one.ready
    assert "refuses a subscription, reason 0x87" in caplog.text


def test_it_pings_and_gives_up_on_a_broker_that_is_silent():
    one = connected()
    assert one.due(14.0) == 15.0
    assert sent(one) == b""
    for at_s in (15.0, 30.0, 45.0):
        one.due(at_s)
        assert sent(one) == mqtt5.PINGREQ
    with pytest.raises(LinkError, match="nothing was heard"):
        one.due(46.0)


def test_it_pings_on_while_nothing_is_read_and_blames_nobody():
    one = connected()
    for at_s in (15.0, 30.0, 45.0, 60.0):
        one.due(at_s, listening=False)
        assert sent(one) == mqtt5.PINGREQ
    one.due(61.0)


def test_a_broker_that_does_not_answer_is_given_up():
    one = link("t")
    assert one.due(ANSWER_S) == 1.0
    with pytest.raises(LinkError, match="does not answer"):
        one.due(ANSWER_S + 0.1)


def test_the_broker_s_keep_alive_goes_before_ours():
    one = connected(b"\x20\x06\x00\x00\x03\x13\x00\x08")
    assert one.due(1.0) == 4.0
    one.due(4.0)
    assert sent(one) == mqtt5.PINGREQ


def test_the_broker_s_receive_maximum_is_kept():
    one = connected(b"\x20\x06\x00\x00\x03\x21\x00\x02")
    for n in range(4):
        one.publish("t", bytes((n,)), qos=1)
    one.publish("t", b"now")
    first = [mqtt5.publish(b"t", bytes((n,)), 1, n + 1) for n in range(4)]
    assert sent(one) == first[0] + first[1] + mqtt5.publish(b"t", b"now", 0, 0)
    assert one.unsettled == 4
    one.receive(puback(2), 0.0)
    assert sent(one) == first[2]
    one.receive(b"\x40\x03\x00\x01\x97" + puback(1), 0.0)  # refused is answered as well
    assert sent(one) == first[3]
    one.receive(puback(3) + puback(4), 0.0)
    assert one.unsettled == 0
