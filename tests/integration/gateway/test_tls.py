"""A gateway with a certificate, on a real Mosquitto as `ohmesh headend mqtt-config` sets it up."""

from __future__ import annotations

import asyncio
import json
import ssl
from datetime import timedelta

import pytest
from secure_broker import NOW, connack

from gateway.identity import Identity, NewKey
from gateway.mqtt import reachable
from headend.mqttconfig.write import authority
from headend.security import ca
from meter_sim.servers.process import LOOPBACK, free_port
from ohmesh.model.errors import ConfigError
from ohmesh.wire.brokerurl import BrokerUrl

pytestmark = pytest.mark.mosquitto


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


def _signed(secure, folder, *, signer=None, name="gw/gw1", now=NOW, life=ca.LIFE):
    """A context that shows a certificate of these words."""
    secure.identity(folder, signer=signer, name=name, now=now, life=life)
    return Identity(folder).context()


def _with(context, change):
    change(context)
    return context


def _mixed(secure, folder):
    """One gateway's certificate with another's key."""
    key, other = NewKey("gw/gw1"), NewKey("gw/gw1")
    made = secure.fleet.issue(key.request, "gw/gw1", NOW, life=ca.LIFE)
    Identity(folder).keep(other, ca.pem(made), (secure.folder / "service-ca.crt").read_bytes())
    return Identity(folder).context()


def _old_version(context):
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


INTRUDERS = {
    "in the clear": lambda s, f: None,  # noqa: ARG005 - all have the same form
    "no certificate": lambda s, f: Identity(_trusting(s, f)).context(),
    "expired": lambda s, f: _signed(s, f, now=NOW - timedelta(days=30), life=timedelta(days=1)),
    "not valid yet": lambda s, f: _signed(s, f, now=NOW + timedelta(days=2)),
    "of a foreign authority": lambda s, f: _signed(s, f, signer=ca.Authority.create("x", NOW)),
    "of an authority of the same name": lambda s, f: _signed(
        s, f, signer=ca.Authority.create("ohmesh fleet", NOW)
    ),
    "of the service's authority": lambda s, f: _signed(
        s, f, signer=authority(s.folder, "service", NOW)
    ),
    "the head-end's own": lambda s, f: _service(s, f, "headend"),
    "the broker's own": lambda s, f: _service(s, f, "broker"),
    "another's key": _mixed,
    "TLS 1.1": lambda s, f: _with(_signed(s, f), _old_version),
    "a certificate on the head-end's listener": _signed,
}


def _service(secure, folder, stem):
    context = Identity(_trusting(secure, folder)).context()
    context.load_cert_chain(secure.folder / f"{stem}.crt", secure.folder / f"{stem}.key")
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
async def test_twelve_intruders_are_refused_and_a_thirteenth_who_was_revoked(
    secure, tmp_path, wait_until
):
    assert len(INTRUDERS) == 12
    answers = {}
    for number, (name, made) in enumerate(INTRUDERS.items()):
        try:
            context = made(secure, tmp_path / str(number))
        except ConfigError as error:
            answers[name] = str(error)
            continue
        port = secure.headend_port if "listener" in name else secure.port
        answers[name] = await asyncio.to_thread(connack, port, context)
    assert "another's key" in answers
    assert "key" in str(answers.pop("another's key")), "it does not even try"
    assert set(answers.values()) == {None}, answers
    certificate = secure.identity(tmp_path / "lost")
    context = Identity(tmp_path / "lost").context()
    assert connack(secure.port, context) == 0
    await asyncio.sleep(1.1)  # a list of the same second would not be newer
    secure.revoke(certificate)
    assert await wait_until(lambda: connack(secure.port, context) is None, 10)


@pytest.mark.parametrize(
    "times", [40, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
async def test_nobody_takes_another_s_session_by_its_client_id(
    secure, gateway_process, bench, tmp_path, wait_until, times
):
    secure.identity(tmp_path / "identity")
    thief = _signed(secure, tmp_path / "thief", name="gw/gw2")
    gateway = gateway_process(BROKER__URL=secure.url)
    client = await bench(gateway)
    heard = secure.head_end()
    rows = await anext(heard)
    assert await wait_until(lambda: "connected to" in gateway.log.read_text())
    names = ("ohmesh-gw-gw1", "gw/gw1", "gw1")
    for turn in range(times):
        code = await asyncio.to_thread(connack, secure.port, thief, names[turn % len(names)])
        assert code == 0, "it comes in, under its own name"
    await client.put()
    async with asyncio.timeout(30):
        while not rows:
            rows = await anext(heard)
    await heard.aclose()
    log = gateway.log.read_text()
    assert (log.count("connected to"), log.count("is lost")) == (1, 0)


def _trusting(secure, folder):
    folder.mkdir()
    (folder / "broker-ca.crt").write_bytes((secure.folder / "service-ca.crt").read_bytes())
    return folder


def _log(secure):
    return (secure.folder / "mosquitto.log").read_text()
