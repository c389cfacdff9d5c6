"""A gateway with a certificate, on a real Mosquitto as `ohmesh headend mqtt-config` sets it up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from datetime import UTC, datetime, timedelta

import aiomqtt
import pytest

from gateway.identity import Identity, NewKey
from gateway.mqtt import reachable
from headend.mqttconfig.rules import device_rules
from headend.mqttconfig.write import Broker, authority, write
from headend.security import ca
from meter_sim.servers.process import LOOPBACK, free_port, listening, spawn, stop, wait_until
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.uplink import decode_batch, encode_ack

pytestmark = pytest.mark.mosquitto
NOW = datetime.now(UTC)


class SecureBroker:
    """Mosquitto with two authorities, and identities for its devices."""

    def __init__(self, folder):
        self.folder = folder
        self.port, self.headend_port = free_port(), free_port()
        place = Broker((LOOPBACK,), LOOPBACK, self.port, LOOPBACK, self.headend_port)
        write(folder, place, NOW)
        if os.geteuid() == 0:
            with (folder / "mosquitto.conf").open("a") as stream:
                stream.write("user root\n")
        self.fleet = authority(folder, "fleet", NOW)
        self.url = f"mqtts://{LOOPBACK}:{self.port}"
        self.process = None

    def start(self):
        log = self.folder / "mosquitto.log"
        argv = ["/usr/sbin/mosquitto", "-c", self.folder / "mosquitto.conf"]
        with log.open("ab") as stream:
            self.process = spawn(argv, log=stream)
        wait_until(lambda: listening(self.port) and listening(self.headend_port), self.process, log)

    def stop(self):
        if self.process is not None:
            stop(self.process)

    def identity(self, folder, *, signer=None, now=NOW, life=ca.LIFE, name="gw/gw1"):
        """An identity folder as enrolment writes it; its certificate."""
        key = NewKey(name)
        made = (signer or self.fleet).issue(key.request, name, now, life=life)
        trusted = (self.folder / "service-ca.crt").read_bytes()
        Identity(folder).keep(key, ca.pem(made), trusted)
        return made

    def revoke(self, certificate):
        crl = self.fleet.crl({certificate.serial_number: NOW}, datetime.now(UTC))
        (self.folder / "fleet.crl").write_bytes(crl)
        self.process.send_signal(1)

    async def head_end(self):
        """Acknowledges and counts, on the head-end's own listener."""
        context = ssl.create_default_context(cafile=self.folder / "service-ca.crt")
        context.load_cert_chain(self.folder / "headend.crt", self.folder / "headend.key")
        rows = {}
        async with aiomqtt.Client(
            LOOPBACK,
            self.headend_port,
            tls_context=context,
            protocol=aiomqtt.ProtocolVersion.V5,
        ) as client:
            await client.subscribe("ohmesh/v1/gw/+/up", qos=1)
            yield rows
            async for message in client.messages:
                batch = decode_batch(message.payload)
                for n, telegram in enumerate(batch.telegrams()):
                    rows[batch.epoch, batch.first_seq + n] = telegram.payload
                through = batch.end_seq
                topic = f"ohmesh/v1/gw/{batch.gateway}/ack"
                await client.publish(topic, encode_ack(batch.epoch, through))
                yield rows


@pytest.fixture
def secure(tmp_path):
    folder = tmp_path / "secure"
    folder.mkdir()
    made = SecureBroker(folder)
    made.start()
    yield made
    made.stop()


async def why_not(secure, folder, url=None):
    return await reachable(
        BrokerUrl.parse(url or secure.url), "x", timeout_s=5, context=Identity(folder).context
    )


async def test_telegrams_go_up_with_a_certificate_and_over_the_second_address(
    secure, gateway_process, bench, tmp_path
):
    secure.identity(tmp_path / "identity")
    gateway = gateway_process(
        BROKER__URL=f"mqtts://{LOOPBACK}:{free_port()}", BROKER__OTHERS=json.dumps([secure.url])
    )
    client = await bench(gateway)
    heard = secure.head_end()
    rows = await anext(heard)
    for _ in range(20):
        await client.put()
    async with asyncio.timeout(30):
        while len(rows) < 20:
            rows = await anext(heard)
    await heard.aclose()
    assert len(rows) == 20
    assert len(set(rows.values())) == 20
    assert f"connected to {LOOPBACK}:{secure.port}" in gateway.log.read_text()


@pytest.mark.filterwarnings(  # paho leaves the socket of a failed handshake to the collector
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
async def test_each_wrong_certificate_is_refused_with_words_that_say_what_to_do(secure, tmp_path):
    good = tmp_path / "good"
    certificate = secure.identity(good)
    assert await why_not(secure, good) is None
    assert "wants a certificate" in await why_not(secure, _trusting(secure, tmp_path / "none"))
    old = {"now": NOW - timedelta(days=30), "life": timedelta(days=1)}
    secure.identity(tmp_path / "expired", **old)
    assert "our certificate has expired" in await why_not(secure, tmp_path / "expired")
    secure.identity(tmp_path / "foreign", signer=ca.Authority.create("ohmesh fleet", NOW))
    assert "enrol" in await why_not(secure, tmp_path / "foreign")
    elsewhere = secure.url.replace(LOOPBACK, "localhost")
    assert "is not for localhost: correct broker.url" in await why_not(secure, good, elsewhere)
    stranger = ca.Authority.create("stranger", NOW)
    (good / "broker-ca.crt").write_bytes(stranger.pem)
    assert "not of the authority that we enrolled with" in await why_not(secure, good)
    secure.identity(good)
    await asyncio.sleep(1.1)  # a list of the same second would not be newer
    secure.revoke(certificate)
    assert await why_not(secure, good) is None, "another certificate of the same gateway"


async def test_a_revoked_gateway_is_out_and_says_so(secure, gateway_process, tmp_path, wait_until):
    certificate = secure.identity(tmp_path / "identity")
    gateway = gateway_process(BROKER__URL=secure.url)
    assert await wait_until(lambda: "connected to" in gateway.log.read_text())
    await asyncio.sleep(1.1)
    secure.revoke(certificate)
    assert await wait_until(lambda: "Reloading config" in _log(secure))
    gateway.stop()
    gateway.start()
    assert await wait_until(lambda: "our certificate is revoked" in gateway.log.read_text())
    assert gateway.log.read_text().count("connected to") == 1


async def test_the_open_connection_of_a_revoked_gateway_is_mute(
    secure, gateway_process, bench, tmp_path, wait_until
):
    """The list stops new connections; the rules silence the one that is open."""
    certificate = secure.identity(tmp_path / "identity")
    gateway = gateway_process(BROKER__URL=secure.url)
    client = await bench(gateway)
    heard = secure.head_end()
    rows = await anext(heard)
    for _ in range(5):
        await client.put()
    async with asyncio.timeout(30):
        while len(rows) < 5:
            rows = await anext(heard)
    (secure.folder / "devices.acl").write_text(device_rules(["gw1"]))
    await asyncio.sleep(1.1)
    secure.revoke(certificate)
    assert await wait_until(lambda: "Reloading config" in _log(secure))
    await asyncio.sleep(0.5)
    for _ in range(5):
        await client.put()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            while True:
                rows = await anext(heard)
    assert len(rows) == 5, "nothing that came after the revocation"
    await heard.aclose()


def _trusting(secure, folder):
    folder.mkdir()
    (folder / "broker-ca.crt").write_bytes((secure.folder / "service-ca.crt").read_bytes())
    return folder


def _log(secure):
    return (secure.folder / "mosquitto.log").read_text()
