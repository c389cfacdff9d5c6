"""The small MQTT 5 codec against the layouts of the OASIS specification."""

from __future__ import annotations

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from meter_sim import mqtt5
from ohmesh.model.errors import Malformed, Oversize


def fed(octets):
    return mqtt5.Incoming().feed(octets)


def test_connect_without_a_user():
    assert mqtt5.connect("me", 10, None, None) == (
        b"\x10\x14\x00\x04MQTT\x05\x02\x00\x0a\x05\x27\x00\x10\x00\x00\x00\x02me"
    )


def test_connect_with_user_and_password():
    octets = mqtt5.connect("me", 10, "u", "pw")
    assert octets[9] == 0xC2
    assert octets.endswith(b"\x00\x02me\x00\x01u\x00\x02pw")


def test_subscribe_lists_filters_with_their_qos():
    assert mqtt5.subscribe(1, {"a/+": 0, "b": 1}) == (
        b"\x82\x0d\x00\x01\x00\x00\x03a/+\x00\x00\x01b\x01"
    )


def test_publish_expires_after_two_seconds():
    octets = mqtt5.publish("t/1", b"frame")
    assert octets == b"\x30\x10\x00\x03t/1\x05\x02\x00\x00\x00\x02frame"
    properties, length = Properties(PacketTypes.PUBLISH).unpack(octets[7:])
    assert (properties.MessageExpiryInterval, length) == (2, 6)


def test_what_we_publish_we_can_read():
    for size in (0, 1, 110, 111, 112, 127, 128, 16_383, 16_384, 300_000):
        payload = bytes(size)
        assert fed(mqtt5.publish("ohmesh/air/1/tx/100", payload)) == [
            mqtt5.Publish("ohmesh/air/1/tx/100", payload)
        ]


def test_a_message_with_qos_1_carries_its_packet_id():
    assert fed(b"\x32\x0a\x00\x01t\x01\x02\x00data") == [mqtt5.Publish("t", b"data", 0x102)]
    assert mqtt5.puback(0x102) == b"\x40\x02\x01\x02"


def test_the_properties_of_others_are_skipped():
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("trace", "x" * 200)
    properties.ContentType = "json"
    body = b"\x00\x01t" + properties.pack() + b"data"
    assert fed(b"\x30" + bytes((0x80 | len(body) & 127, len(body) >> 7)) + body) == [
        mqtt5.Publish("t", b"data")
    ]


def test_the_brokers_answers():
    assert fed(b"\x20\x03\x00\x00\x00") == [mqtt5.Connack(0)]
    assert fed(b"\x20\x03\x00\x86\x00") == [mqtt5.Connack(0x86)]
    assert fed(b"\x90\x05\x00\x01\x00\x00\x87") == [mqtt5.Suback(b"\x00\x87")]
    assert fed(b"\xe0\x00") == [mqtt5.Disconnect(0)]
    assert fed(b"\xe0\x02\x8e\x00") == [mqtt5.Disconnect(0x8E)]
    assert fed(b"\xd0\x00") == []
    assert fed(b"\x40\x02\x00\x01") == []


def test_packets_come_out_whatever_pieces_they_come_in():
    stream = b"".join(mqtt5.publish(f"t/{n}", bytes([n]) * n * 9) for n in range(40))
    whole = fed(stream)
    assert len(whole) == 40
    incoming = mqtt5.Incoming()
    assert [p for octet in stream for p in incoming.feed(bytes((octet,)))] == whole


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"\x30\xff\xff\xff\x7f", Oversize),
        (b"\x30\xff\xff\xff\xff\x01", Malformed),
        (b"\x30\x02\x00\x09", Malformed),
        (b"\x30\x04\x00\x01t\x7f", Malformed),
        (b"\x30\x07\x00\x01t\xff\xff\xff\xff", Malformed),
        (b"\x30\x05\x00\x02\xff\xfe\x00", Malformed),
        (b"\x20\x01\x00", Malformed),
        (b"\x90\x01\x00", Malformed),
    ],
)
def test_what_is_no_mqtt_ends_in_one_typed_error(octets, error):
    with pytest.raises(error):
        fed(octets)
