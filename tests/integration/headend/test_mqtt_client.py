"""The head-end's MQTT client against real Mosquittos, and against a broker that talks nonsense."""

from __future__ import annotations

import socket
import threading

import pytest

from headend.mqtt import MqttClient
from meter_sim.servers.mosquitto import Mosquitto
from meter_sim.servers.process import LOOPBACK, free_port
from ohmesh.wire import mqtt5


class Heard:
    """A client that keeps what it hears, and acknowledges when it is told to."""

    def __init__(self, url, *, receive_maximum=64, **options):
        self.deliveries = []
        self._settled = 0
        self.is_open = True
        self.client = MqttClient(
            url,
            client_id="heard",
            subscriptions=["t/+"],
            receive=self.deliveries.extend,
            room=lambda: self.is_open,
            receive_maximum=receive_maximum,
            **options,
        )

    def settle(self):
        """Acknowledge all that came."""
        news = self.deliveries[self._settled :]
        self._settled += len(news)
        self.client.acknowledge([(d.connection, d.mid) for d in news])

    def __enter__(self):
        self.client.start()
        assert self.client.wait_connected(10)
        return self

    def __exit__(self, *_):
        self.client.stop()


@pytest.fixture
def publisher(until):
    """Publish with QoS 1 until the broker has it all."""

    def run(url, count, topic="t/1"):
        client = MqttClient(url, client_id="publisher")
        client.start()
        assert client.wait_connected(10)
        for number in range(count):
            assert client.publish(topic, b"%d" % number, qos=1)
        until(lambda: client.unsettled == 0)
        client.stop()

    return run


@pytest.mark.mosquitto
def test_a_session_s_backlog_comes_once_and_in_order(tmp_path, publisher, until):
    with Mosquitto(tmp_path, queued_max=0) as broker:
        with Heard(broker.url):
            pass
        publisher(broker.url, 3000)
        with Heard(broker.url, receive_maximum=7) as heard:

            def all_came():
                heard.settle()
                return len(heard.deliveries) == 3000

            until(all_came)
    assert [int(d.payload) for d in heard.deliveries] == list(range(3000))


@pytest.mark.mosquitto
def test_what_was_not_acknowledged_comes_again_on_the_next_connection(tmp_path, publisher, until):
    with Mosquitto(tmp_path) as broker:
        with Heard(broker.url) as first:
            publisher(broker.url, 20)
            until(lambda: len(first.deliveries) == 20)
            first.client.acknowledge([(d.connection, d.mid) for d in first.deliveries[:5]])
        with Heard(broker.url) as second:
            until(lambda: len(second.deliveries) == 15)
            second.client.acknowledge([(d.connection + 1, d.mid) for d in second.deliveries])
        with Heard(broker.url) as third:
            until(lambda: len(third.deliveries) == 15)
    for again in (second, third):
        assert [int(d.payload) for d in again.deliveries] == list(range(5, 20))


@pytest.mark.mosquitto
def test_after_a_restart_of_the_broker_it_subscribes_anew(tmp_path, publisher, until):
    broker = Mosquitto(tmp_path).start()
    try:
        with Heard(broker.url) as heard:
            for round_ in (1, 2):
                publisher(broker.url, 10, f"t/{round_}")
                until(lambda: len(heard.deliveries) == 10 * round_)  # noqa: B023 - used within the round
                heard.settle()
                broker.stop()
                until(lambda: not heard.client.connected)
                assert not heard.client.publish("t/1", b"nobody there")
                broker.start()
                until(lambda: heard.client.connected)
    finally:
        broker.stop()
    assert {d.connection for d in heard.deliveries[:10]} != {
        d.connection for d in heard.deliveries[10:]
    }


@pytest.mark.mosquitto
def test_without_room_nothing_is_read_and_nothing_is_lost(tmp_path, publisher, until):
    """The bound: what one read brings."""
    with Mosquitto(tmp_path, queued_max=0) as broker, Heard(broker.url) as heard:
        heard.is_open = False
        publisher(broker.url, 500)
        assert len(heard.deliveries) <= 64
        heard.is_open = True

        def all_came():
            heard.settle()
            return len(heard.deliveries) == 500

        until(all_came)
    assert [int(d.payload) for d in heard.deliveries] == list(range(500))


class Nonsense:
    """A broker that accepts, sends given bytes, and keeps what it is sent."""

    def __init__(self, octets):
        self.port, self.farewells, self._octets = free_port(), [], octets
        self._listener = socket.create_server((LOOPBACK, self.port))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            peer, _ = self._listener.accept()
            with peer:
                peer.settimeout(10)
                if not peer.recv(4096):
                    return
                peer.sendall(b"\x20\x03\x00\x00\x00" + self._octets)
                said = b""
                while not said.endswith(mqtt5.MALFORMED):
                    said += peer.recv(4096) or mqtt5.DISCONNECT + mqtt5.MALFORMED
                self.farewells.append(said)

    def stop(self):
        with socket.create_connection((LOOPBACK, self.port)):
            pass
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize(
    "octets",
    [
        b"\x30\xff\xff\xff\xff\x7f",  # a length of five bytes
        b"\x30\xff\xff\xff\x7f",  # 256 MiB
        b"\x36\x05\x00\x01t\x00\x01\x00",  # QoS 3
        b"\x32\x02\x00\x20",  # a topic beyond its packet
    ],
)
def test_a_broker_that_talks_nonsense_is_told_so_and_tried_again(octets, until):
    broker = Nonsense(octets)
    client = MqttClient(f"mqtt://{LOOPBACK}:{broker.port}", client_id="x", subscriptions=["t"])
    client.start()
    try:
        until(lambda: len(broker.farewells) >= 2)
    finally:
        client.stop()
        broker.stop()
    subscribe = mqtt5.subscribe(65_535, ["t"], 1)
    assert {*broker.farewells} <= {subscribe + mqtt5.MALFORMED, mqtt5.MALFORMED}
