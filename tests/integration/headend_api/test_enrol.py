"""Enrolment: one certificate a token, renewal by the key alone, revocation."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from api_site import client_of, running
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from headend.mqttconfig import rules
from headend.mqttconfig.write import authority
from headend.security import ca
from headend.security.enrolment import RENEWAL, Enroller, serial_of
from headend.security.revocation import Place, Revocations
from headend.store import db

START = datetime(2026, 6, 1, tzinfo=UTC)
GATE = "ab" * 32


class Clock:
    now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def enroller():
    fleet, service = (ca.Authority.create(name, START) for name in ("fleet", "service"))
    return Enroller(fleet, service.pem.decode(), [GATE])


@pytest.fixture
async def enrolling(site, clock, enroller):
    async with running(site, enroller=enroller, now=clock) as made:
        yield made


@pytest.fixture
async def operator(enrolling):
    async with client_of(enrolling) as client:
        yield client


@pytest.fixture
async def device(enrolling):
    async with client_of(enrolling, None, Origin="http://127.0.0.1") as client:
        yield client


@pytest.fixture
async def gateway(operator, request):
    name = f"gw-{abs(hash(request.node.name)) % 10**9}"
    assert (await operator.post("/v1/gateways", json={"gateway": name})).status_code == 201
    return name


async def token_of(operator, gateway):
    answer = await operator.post(f"/v1/gateways/{gateway}/enrolment")
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


def csr(key, name="whatever it says"):
    return ca.request(key, name).decode()


async def enrol(device, token, key=None):
    return await device.post(
        "/v1/enrol", json={"token": token, "request": csr(key or ca.new_key())}
    )


def certificate_of(answer):
    assert answer.status_code == 200, answer.text
    return x509.load_pem_x509_certificate(answer.json()["certificate"].encode())


async def renew(device, certificate, key, *, request=None, signed=None):
    request = request or csr(ca.new_key())
    signature = key.sign(RENEWAL + (signed or request).encode(), ec.ECDSA(hashes.SHA256()))
    body = {
        "certificate": ca.pem(certificate).decode(),
        "request": request,
        "signature": b64encode(signature).decode(),
    }
    return await device.post("/v1/enrol/renewal", json=body)


async def listed(operator, gateway):
    answer = await operator.get(f"/v1/gateways/{gateway}/certificates")
    return {one["serial"]: one["revoked_at"] for one in answer.json()["items"]}


async def test_a_token_gives_one_certificate_in_the_gateway_s_name(
    operator, device, gateway, enroller
):
    token, key = await token_of(operator, gateway), ca.new_key()
    answer = await enrol(device, token, key)
    certificate = certificate_of(answer)
    assert certificate.subject.rfc4514_string() == f"CN=gw/{gateway}"
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_after_utc - START == timedelta(days=90)
    assert answer.json()["broker_authority"] == enroller.broker_authority
    assert answer.json()["gate_keys"] == [GATE]
    again = await enrol(device, token)
    assert again.status_code == 422, "another request"
    assert "used before" in again.text
    assert list(await listed(operator, gateway)) == [serial_of(certificate)]


async def test_the_same_request_gets_the_same_certificate_when_its_answer_was_lost(
    operator, device, gateway
):
    token, request = await token_of(operator, gateway), csr(ca.new_key())
    body = {"token": token, "request": request}
    answers = await asyncio.gather(*(device.post("/v1/enrol", json=body) for _ in range(8)))
    assert len({certificate_of(one).serial_number for one in answers}) == 1
    assert len(await listed(operator, gateway)) == 1


async def test_doubled_claims_at_the_same_time_give_one_certificate(operator, device, gateway):
    token = await token_of(operator, gateway)
    answers = await asyncio.gather(*(enrol(device, token) for _ in range(20)))
    assert sorted(one.status_code for one in answers) == [200] + [422] * 19
    assert len(await listed(operator, gateway)) == 1


async def test_tokens_that_are_no_token_expired_void_or_with_a_bad_request(
    operator, device, gateway, clock
):
    void = await token_of(operator, gateway)
    token = await token_of(operator, gateway)
    assert (await enrol(device, void)).status_code == 404
    assert (await enrol(device, "no-such-token")).status_code == 404
    bad = await device.post("/v1/enrol", json={"token": token, "request": "garbage"})
    assert bad.status_code == 422
    assert "no certificate request" in bad.text
    clock.now = START + timedelta(hours=25)
    assert (await enrol(device, token)).status_code == 404
    assert await listed(operator, gateway) == {}


async def test_a_certificate_is_renewed_by_its_key_until_a_month_after_its_end(
    operator, device, gateway, clock
):
    key, fresh = ca.new_key(), ca.new_key()
    old = certificate_of(await enrol(device, await token_of(operator, gateway), key))
    clock.now = START + timedelta(days=119)
    request = csr(fresh)
    new = certificate_of(await renew(device, old, key, request=request))
    assert new.public_key() == fresh.public_key()
    assert new.subject == old.subject
    replayed = certificate_of(await renew(device, old, key, request=request))
    assert replayed == new
    for answer in (
        await renew(device, old, ca.new_key()),
        await renew(device, old, key, signed="another request"),
    ):
        assert answer.status_code == 422
        assert "not signed by its holder" in answer.text
    clock.now = START + timedelta(days=121)
    assert (await renew(device, old, key)).status_code == 404


async def test_a_foreign_certificate_is_not_renewed(operator, device, gateway):
    key, stranger = ca.new_key(), ca.Authority.create("fleet", START)
    own = certificate_of(await enrol(device, await token_of(operator, gateway), key))
    forged = stranger.issue(csr(key).encode(), f"gw/{gateway}", START)
    assert (await renew(device, forged, key)).status_code == 404
    assert serial_of(forged) != serial_of(own)


async def test_a_revoked_gateway_is_renewed_by_a_new_token_alone(operator, device, gateway):
    key = ca.new_key()
    old = certificate_of(await enrol(device, await token_of(operator, gateway), key))
    unused = await token_of(operator, gateway)
    assert (await operator.delete(f"/v1/gateways/{gateway}/certificates")).status_code == 204
    assert (await renew(device, old, key)).status_code == 404
    assert (await enrol(device, unused)).status_code == 404
    again = certificate_of(await enrol(device, await token_of(operator, gateway)))
    revoked = await listed(operator, gateway)
    assert revoked[serial_of(old)] is not None
    assert revoked[serial_of(again)] is None


async def test_without_an_authority_nothing_is_issued(app):
    async with client_of(app, None, Origin="http://127.0.0.1") as device:
        answer = await enrol(device, "token")
    assert answer.status_code == 422
    assert "enrolment.folder" in answer.text


async def test_the_list_and_the_rules_follow_the_store_and_the_list_is_renewed_in_time(
    operator, device, gateway, site, clock, tmp_path
):
    authority(tmp_path, "fleet", START)
    pump = Revocations(url=site.urls["worker"], place=Place(tmp_path), now=clock)
    key = ca.new_key()
    old = certificate_of(await enrol(device, await token_of(operator, gateway), key))
    denied = f"user gw/{gateway}\ntopic deny ohmesh/v1/gw/{gateway}/#"

    def look():
        with db.connect(site.urls["worker"], name="test", autocommit=True) as connection:
            written = pump.step(connection)
        crl = x509.load_pem_x509_crl((tmp_path / "fleet.crl").read_bytes())
        acl = (tmp_path / "devices.acl").read_text()
        return written, {one.serial_number for one in crl}, denied in acl, crl

    assert look()[0]
    assert not look()[0], "nothing new"
    await operator.delete(f"/v1/gateways/{gateway}/certificates")
    written, serials, is_denied, _ = look()
    assert (written, old.serial_number in serials, is_denied) == (True, True, True)
    await enrol(device, await token_of(operator, gateway))
    written, serials, is_denied, crl = look()
    assert (written, old.serial_number in serials, is_denied) == (True, True, False)
    clock.now = START + timedelta(days=16)
    written, _, _, renewed = look()
    assert written
    assert renewed.next_update_utc > crl.next_update_utc
    assert rules.DEVICE_RULES in (tmp_path / "devices.acl").read_text()


class Fleet:
    """Gateways that claim, each in one of five ways; the certificates that they got."""

    def __init__(self, operator, device):
        self.operator, self.device = operator, device
        self.certificates = {}
        self.late = {}
        self.refusals = Counter()
        self.turns = asyncio.Semaphore(16)

    async def claim(self, name, token, request=None):
        answer = await self.device.post(
            "/v1/enrol", json={"token": token, "request": request or csr(ca.new_key(), "gw/other")}
        )
        if answer.status_code == 200:
            assert answer.json()["gateway"] == name
            made = certificate_of(answer)
            self.certificates.setdefault(name, set()).add(made.serial_number)
            assert f"gw/{name}" in made.subject.rfc4514_string()
        else:
            self.refusals[answer.status_code] += 1

    async def join(self, name, way):
        async with self.turns:
            made = await self.operator.post("/v1/gateways", json={"gateway": name})
            assert made.status_code == 201
            token = await token_of(self.operator, name)
            await getattr(self, way)(name, token)

    async def right(self, name, token):
        await self.claim(name, token)

    async def replayed(self, name, token):
        request = csr(ca.new_key())
        for again in (request, request, None):
            await self.claim(name, token, again)

    async def doubled(self, name, token):
        await asyncio.gather(self.claim(name, token), self.claim(name, token))

    async def void(self, name, token):
        second = await token_of(self.operator, name)
        await self.claim(name, token)
        await self.claim(name, second)

    async def expired(self, name, token):
        self.late[name] = token


WAYS = ("right", "replayed", "doubled", "void", "expired")


@pytest.mark.parametrize("each", [4, pytest.param(200, marks=pytest.mark.soak)])
async def test_a_fleet_gets_one_certificate_a_claim(operator, device, clock, each):
    fleet = Fleet(operator, device)
    names = {f"fleet{each}-{way}-{n}": way for n in range(each) for way in WAYS}
    await asyncio.gather(*(fleet.join(name, way) for name, way in names.items()))
    clock.now = START + timedelta(hours=25)
    for name, token in fleet.late.items():
        await fleet.claim(name, token)
    claimed = {name for name, way in names.items() if way != "expired"}
    assert {name: len(made) for name, made in fleet.certificates.items()} == dict.fromkeys(
        claimed, 1
    )
    assert fleet.refusals == {422: 2 * each, 404: 2 * each}
    for name in names:
        assert len(await listed(operator, name)) == (name in claimed)
