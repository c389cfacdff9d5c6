"""The files that `ohmesh headend mqtt-config` writes, on a real Mosquitto with certificates."""

from __future__ import annotations

import itertools
import json
import os
import ssl
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from headend.mqtt import MqttClient, TlsFiles
from headend.mqttconfig.write import Broker, authority, write
from headend.security import ca
from meter_sim.servers.process import LOOPBACK, free_port, listening, spawn, stop, wait_until

pytestmark = pytest.mark.mosquitto
NOW = datetime.now(UTC)
WAIT_S = 10
NOT_AUTHORIZED, NO_SUBSCRIBERS = 0x87, 0x10
GATEWAYS, METERS = ("gw1", "gw2"), ("M1", "M2", "gw1")
PUBLISHES = {
    **{f"gw/{g}": {f"ohmesh/v1/gw/{g}/{c}" for c in ("up", "state")} for g in GATEWAYS},
    **{f"meter/{m}": {f"ohmesh/v1/meter/{m}/{c}" for c in ("up", "state")} for m in METERS},
    "ohmesh-headend": {f"ohmesh/v1/gw/{g}/{c}" for g in GATEWAYS for c in ("ack", "down")},
}
READS = {
    **{f"gw/{g}": {f"ohmesh/v1/gw/{g}/{c}" for c in ("ack", "down")} for g in GATEWAYS},
    **{f"meter/{m}": set() for m in METERS},
    "ohmesh-headend": {
        *(f"ohmesh/v1/gw/{g}/{c}" for g in GATEWAYS for c in ("up", "state")),
        *(f"ohmesh/v1/meter/{m}/up" for m in METERS),
    },
}
CHANNELS = ("up", "state", "ack", "down")
PLACES = [
    *(f"ohmesh/v1/gw/{g}/{c}" for g in GATEWAYS for c in CHANNELS),
    *(f"ohmesh/v1/meter/{m}/{c}" for m in METERS for c in ("up", "state")),
    *("ohmesh/v1/gw1/up", "ohmesh/v1/gw/up", "ohmesh/v1/gw/gw1/up/x", "ohmesh/v1/gw/gw1"),
    *("ohmesh/air/1/tx/1", "x", "ohmesh", "ohmesh/v1/gw//up", "/ohmesh/v1/gw/gw1/up"),
    *("ohmesh/v1/gw/ohmesh-headend/up", "ohmesh/v1/ohmesh-headend/up"),
]
FILTERS = [
    *("#", "+/#", "ohmesh/#", "ohmesh/v1/gw/+/up", "ohmesh/v1/gw/+/state", "ohmesh/v1/gw/+/down"),
    *("ohmesh/v1/meter/+/up", "ohmesh/v1/+/gw1/down", "$SYS/#", "$CONTROL/#", "ohmesh/v1/gw/gw1/#"),
    *("$share/x/ohmesh/v1/gw/gw2/down", "$share/y/ohmesh/v1/gw/+/up", "$share/z/#"),
]


class Site:
    """The broker, and who may come to it."""

    def __init__(self, folder, port, headend_port):
        self.folder, self.port, self.headend_port = folder, port, headend_port

    def files(self, name, signer="fleet"):
        """A key and a certificate for a common name."""
        key = ca.new_key()
        made = authority(self.folder, signer, NOW).issue(ca.request(key, "ignored"), name, NOW)
        stem = self.folder / f"test-{uuid.uuid4().hex}"
        stem.with_suffix(".key").write_bytes(ca.key_pem(key))
        stem.with_suffix(".crt").write_bytes(ca.pem(made))
        return stem, made

    @contextmanager
    def client(self, name, *, stem=None, port=None, client_id="", will=""):
        """A client with a certificate; `.code` is how its CONNECT ended."""
        if name == "ohmesh-headend" and stem is None:
            stem, port = self.folder / "headend", self.headend_port
        stem = stem or self.files(name)[0]
        made = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        context = ssl.create_default_context(cafile=self.folder / "service-ca.crt")
        context.load_cert_chain(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        made.tls_set_context(context)
        if will:
            made.will_set(will, name.encode(), qos=1)
        over = threading.Event()
        made.code, made.inbox, made.said, made.ended = None, [], set(), over
        done = threading.Event()

        def connected(_client, _data, _flags, code, _properties):
            made.code = code
            done.set()

        def lost(*_):
            over.set()
            done.set()

        made.on_connect, made.on_disconnect, made.on_connect_fail = connected, lost, lost

        def heard(_client, _data, message):
            made.inbox.append(message.topic)
            made.said.add(bytes(message.payload))

        made.on_message = heard
        try:
            made.connect(LOOPBACK, port or self.port)
        except (ssl.SSLError, OSError):
            yield made
            return
        made.loop_start()
        done.wait(WAIT_S)
        try:
            yield made
        finally:
            made.disconnect()
            made.loop_stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Files as the command writes them, and a broker that reads them."""
    folder, ports = tmp_path_factory.mktemp("broker"), (free_port(), free_port())
    argv = [sys.executable, "-m", "ohmesh", "headend", "mqtt-config", "--write", folder]
    argv += ["--host", LOOPBACK, "--listen", LOOPBACK, "--port", str(ports[0])]
    done = subprocess.run(
        [*argv, "--headend-port", str(ports[1])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "mosquitto.conf" in json.loads(done.stdout)["files"]
    with running(folder, *ports) as made:
        yield made


@contextmanager
def running(folder, port, headend_port):
    log = folder / "log"
    if os.geteuid() == 0:  # it would give up its rights and could not read the test's folder
        with (folder / "mosquitto.conf").open("a") as stream:
            stream.write("user root\n")
    with log.open("ab") as stream:
        process = spawn(["/usr/sbin/mosquitto", "-c", folder / "mosquitto.conf"], log=stream)
    try:
        wait_until(lambda: listening(port) and listening(headend_port), process, log)
        yield Site(folder, port, headend_port)
    finally:
        stop(process)


def publish_code(client, topic, *, retain=False):
    """The reason code of the broker's PUBACK."""
    codes, done = [], threading.Event()

    def published(_client, _data, _mid, code, _properties):
        codes.append(code.value)
        done.set()

    client.on_publish = published
    client.publish(topic, b"x", qos=1, retain=retain)
    assert done.wait(WAIT_S), topic
    return codes[0]


def subscribe(client, topic):
    done = threading.Event()
    client.on_subscribe = lambda *_: done.set()
    client.subscribe(topic, options=SubscribeOptions(qos=1))
    assert done.wait(WAIT_S), topic


@pytest.mark.parametrize("name", PUBLISHES)
def test_each_publishes_to_its_own_topics_and_no_other(site, name):
    with site.client(name) as client:
        assert client.code == 0, client.code
        surprises = [
            (topic, retain)
            for topic, retain in itertools.product(PLACES, (False, True))
            if (publish_code(client, topic, retain=retain) != NOT_AUTHORIZED)
            != (topic in PUBLISHES[name])
        ]
    assert surprises == []


@pytest.mark.parametrize("name", READS)
def test_each_hears_its_own_topics_and_no_other(site, name, until):
    """Mosquitto grants any subscription and asks at delivery: so what comes is what counts."""
    with site.client(name) as client:
        assert client.code == 0, client.code
        for topic in PLACES + FILTERS:
            subscribe(client, topic)
        client.inbox.clear()  # what is retained
        for other, its_topics in PUBLISHES.items():
            # A second connection of a name ends its first.
            with nullcontext(client) if other == name else site.client(other) as publisher:
                for topic in its_topics:
                    assert publish_code(publisher, topic) != NOT_AUTHORIZED
        until(lambda: set(client.inbox) >= READS[name])
        # The broker has one thread: its answer to this comes behind all that it had to deliver.
        publish_code(client, min(PUBLISHES[name]))
    assert set(client.inbox) == READS[name]


def test_there_are_cases_enough():
    published = 2 * len(PLACES) * len(PUBLISHES)
    heard = len(READS) * (len(PLACES) + len(FILTERS))
    assert published + heard >= 400


def test_a_will_on_another_s_topic_is_never_sent(site, until):
    heard = "ohmesh/v1/gw/gw2/state"
    with site.client("ohmesh-headend") as headend:
        subscribe(headend, heard)
        headend.said.clear()
        with site.client("gw/gw1", will=heard) as thief:
            if thief.code == 0:
                thief._sock.close()
        with site.client("gw/gw2", will=heard) as owner:
            owner._sock.close()  # a power cut
            until(lambda: b"gw/gw2" in headend.said)
    wills = headend.said - {b"x"}  # what other tests left retained may come late
    assert wills == {b"gw/gw2"}


def test_no_certificate_a_foreign_one_and_an_expired_one_do_not_get_in(site):
    with site.client("gw/gw1", port=site.headend_port) as client:
        assert client.code != 0, "a device at the head-end's door"
    with site.client("ohmesh-headend", stem=site.folder / "headend", port=site.port) as client:
        assert client.code != 0, "the head-end's authority signs no device"
    foreign = ca.Authority.create("ohmesh fleet", NOW)
    key = ca.new_key()
    stem = site.folder / "foreign"
    stem.with_suffix(".key").write_bytes(ca.key_pem(key))
    old = NOW - timedelta(days=30)
    ours = authority(site.folder, "fleet", NOW)
    for signer, now, life in ((foreign, NOW, ca.LIFE), (ours, old, timedelta(days=1))):
        made = signer.issue(ca.request(key, "x"), "gw/gw1", now, life=life)
        stem.with_suffix(".crt").write_bytes(ca.pem(made))
        with site.client("gw/gw1", stem=stem) as client:
            assert client.code != 0
    plain = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    answered = []
    plain.on_connect = lambda *_: answered.append(True)
    plain.connect(LOOPBACK, site.port)
    plain.loop(1)
    plain.loop(1)
    plain.disconnect()
    assert answered == []


def test_a_device_cannot_throw_another_out_by_its_client_id(site):
    with (
        site.client("gw/gw2", client_id="second") as victim,
        site.client("ohmesh-headend", client_id="ohmesh-headend") as headend,
    ):
        for client_id in ("gw/gw2", "second", "ohmesh-headend"):
            with site.client("gw/gw1", client_id=client_id) as thief:
                assert thief.code == 0
                assert publish_code(thief, "ohmesh/v1/gw/gw1/up") != NOT_AUTHORIZED
                assert publish_code(thief, "ohmesh/v1/gw/gw2/up") == NOT_AUTHORIZED
        assert publish_code(victim, "ohmesh/v1/gw/gw2/up") != NOT_AUTHORIZED
        assert publish_code(headend, "ohmesh/v1/gw/gw1/down") in {0, NO_SUBSCRIBERS}
        assert not victim.ended.is_set()
        assert not headend.ended.is_set()


def test_a_revoked_certificate_is_out(tmp_path):
    ports = free_port(), free_port()
    broker = Broker((LOOPBACK,), LOOPBACK, ports[0], LOOPBACK, ports[1])
    write(tmp_path, broker, NOW)
    site = Site(tmp_path, *ports)
    (lost, certificate), (kept, _) = site.files("gw/gw1"), site.files("gw/gw2")
    crl = authority(tmp_path, "fleet", NOW).crl({certificate.serial_number: NOW}, NOW)
    (tmp_path / "fleet.crl").write_bytes(crl)
    with running(tmp_path, *ports):
        with site.client("gw/gw1", stem=lost) as client:
            assert client.code != 0
        with site.client("gw/gw2", stem=kept) as client:
            assert client.code == 0


def test_the_head_end_s_own_client_comes_in(site, until):
    files = TlsFiles(
        site.folder / "service-ca.crt", site.folder / "headend.crt", site.folder / "headend.key"
    )
    client = MqttClient(f"mqtts://{LOOPBACK}:{site.headend_port}", client_id="h", tls=files)
    client.start()
    try:
        until(lambda: client.connected)
    finally:
        client.stop()


def test_large_and_many_messages_pass_the_head_end_s_tls(site, until):
    """What the TLS layer holds is read although the socket itself has nothing more."""
    stem, _ = site.files("gw/gw1")
    came, ca_file = [], site.folder / "service-ca.crt"

    def take(deliveries):
        came.extend(d.payload for d in deliveries)
        reader.acknowledge([(d.connection, d.mid) for d in deliveries])

    reader = MqttClient(
        f"mqtts://{LOOPBACK}:{site.headend_port}",
        client_id="reader",
        subscriptions=["ohmesh/v1/gw/+/up"],
        receive=take,
        tls=TlsFiles(ca_file, site.folder / "headend.crt", site.folder / "headend.key"),
    )
    sender = MqttClient(
        f"mqtts://{LOOPBACK}:{site.port}",
        client_id="gw1",
        tls=TlsFiles(ca_file, stem.with_suffix(".crt"), stem.with_suffix(".key")),
    )
    sent = [os.urandom(500_000), *(os.urandom(50) for _ in range(300)), os.urandom(400_000)]
    for client in (reader, sender):
        client.start()
    try:
        until(lambda: reader.connected and sender.connected)
        for payload in sent:
            assert sender.publish("ohmesh/v1/gw/gw1/up", payload, qos=1)
        until(lambda: sent[-1] in came)
    finally:
        for client in (reader, sender):
            client.stop()
    # The broker names a session after the certificate: what waited in it came first.
    assert came[came.index(sent[0]) :] == sent


def test_files_with_keys_are_their_owner_s_alone(site):
    modes = {f.name: f.stat().st_mode & 0o777 for f in site.folder.glob("*.key")}
    assert {"broker.key", "headend.key", "fleet-ca.key", "service-ca.key"} <= set(modes)
    written = {n: m for n, m in modes.items() if not n.startswith(("test-", "foreign"))}
    assert set(written.values()) == {0o600}
