"""Orders, status, topics and addresses of the air."""

from __future__ import annotations

import pytest

from ohmesh.model.errors import ConfigError, Malformed
from ohmesh.wire import topics
from ohmesh.wire.aircontrol import (
    AirAction,
    AirControl,
    AirStatus,
    decode_control,
    decode_status,
    encode_control,
)
from ohmesh.wire.brokerurl import BrokerUrl


def test_orders_are_the_json_of_their_documentation():
    assert encode_control(AirControl(AirAction.KILL)) == b'{"action":"kill"}'
    assert decode_control(b'{"action": "kill", "meter": true}') == AirControl(
        AirAction.KILL, meter=True
    )
    order = AirControl(AirAction.LOSS, peer=7, loss_percent=30)
    assert decode_control(encode_control(order)) == order
    order = AirControl(AirAction.STICK, on=False)
    assert decode_control(encode_control(order)) == order
    with pytest.raises(Malformed):
        decode_control(b'{"action": "event", "event": "No Kind"}')


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"action":"dance"}',
        b'{"action":"kill","when":1}',
        b'{"action":"loss","loss_percent":101}',
        b'{"action":"kill","meter":1}',
    ],
)
def test_what_is_no_order_is_malformed(octets):
    with pytest.raises(Malformed):
        decode_control(octets)
    with pytest.raises(Malformed):
        decode_status(octets)


def test_status_survives_its_json():
    status = AirStatus("fleet", 60, 59, 58, 600, 1200, 3, stopped=True, time="2026-01-01")
    assert decode_status(encode_control(status)) == status


def test_topics_of_the_air():
    assert topics.air_hello(1) == "ohmesh/air/1/rxp/hello"
    assert topics.air_all(1, "tx") == "ohmesh/air/1/tx/+"
    assert topics.air_status(1, "f") == "ohmesh/air/1/status/f"
    assert topics.air_node(topics.air_tx(1, 4294967294)) == 4294967294
    assert topics.air_node(topics.air_ctl(1, 0)) == 0
    assert topics.air_channel(topics.air_tx(1, 5)) == "tx"
    assert topics.air_channel("ohmesh/v1/gw/x/up") == ""


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "ohmesh/air/1/tx",
        "ohmesh/air/1/tx/x",
        "ohmesh/air/1/tx/²",
        "ohmesh/air/1/rxp/5",
        "ohmesh/air/1/tx/-1",
        "ohmesh/air/1/tx/99999999999",
        "ohmesh/v1/1/tx/5",
    ],
)
def test_other_topics_name_no_node(topic):
    with pytest.raises(Malformed):
        topics.air_node(topic)


def test_addresses_of_brokers():
    assert BrokerUrl.parse("mqtt://127.0.0.1") == BrokerUrl("127.0.0.1", 1883)
    assert BrokerUrl.parse("mqtt://u%40x:p%2Fw@host:2000/") == BrokerUrl("host", 2000, "u@x", "p/w")
    assert "p/w" not in repr(BrokerUrl.parse("mqtt://u:p%2Fw@host"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "http://host",
        "mqtt://",
        "mqtt://h:x",
        "mqtt://h:99999",
        "mqtt://h/path",
        "mqtt://[::1",
        "mqtt://secret@",
    ],
)
def test_wrong_addresses_are_refused_without_telling_secrets(text):
    with pytest.raises(ConfigError) as caught:
        BrokerUrl.parse(text)
    assert "secret" not in str(caught.value)
