"""`ohmesh gateway enrol` and renewal, against a head-end's API with its own authority, by HTTP."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gateway import cli
from gateway.enrolment import EnrolmentError, renew
from gateway.identity import Identity
from headend.security import ca
from headend.security.enrolment import RENEWAL
from ohmesh.model.errors import ConfigError

TOKEN = "a-token-that-works-once"
NOW = datetime.now(UTC)


class Api:
    """The two operations of the head-end; what it was sent, and what it answers next."""

    def __init__(self):
        self.fleet, self.service = (ca.Authority.create(n, NOW) for n in ("fleet", "service"))
        self.bodies = []
        self.gateway, self.life, self.problem = "gw1", timedelta(days=90), None
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.bodies.append((self.path, body))
                status, answer = api.answer(self.path, body)
                octets = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def answer(self, path, body):
        if self.problem:
            return 422, {"title": "Refused", "detail": self.problem}
        if path.endswith("renewal"):
            old = x509.load_pem_x509_certificate(body["certificate"].encode())
            signed = RENEWAL + body["request"].encode()
            old.public_key().verify(b64decode(body["signature"]), signed, ec.ECDSA(hashes.SHA256()))
        made = self.fleet.issue(body["request"].encode(), f"gw/{self.gateway}", NOW, life=self.life)
        return 200, {
            "gateway": self.gateway,
            "certificate": ca.pem(made).decode(),
            "broker_authority": self.service.pem.decode(),
            "gate_keys": ["ab" * 32],
        }

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def api():
    made = Api()
    yield made
    made.close()


@pytest.fixture
def identity(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Identity(tmp_path / "identity")


def enrol(api):
    return cli.main(["enrol", "--url", api.url, "--token", TOKEN])


def test_a_key_is_made_here_and_stays_here(api, identity, capsys):
    assert enrol(api) == 0
    assert "enrolled as gw/gw1 until" in capsys.readouterr().out
    file = identity.folder / "identity.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert identity.folder.stat().st_mode & 0o777 == 0o700
    assert "PRIVATE KEY" in file.read_text()
    assert "PRIVATE" not in json.dumps(api.bodies)
    assert identity.enrolment.gate_keys == ["ab" * 32]
    assert identity.context().get_ca_certs()[0]["subject"] == ((("commonName", "service"),),)
    assert TOKEN not in "".join(p.read_text() for p in identity.folder.iterdir())


def test_renewal_is_signed_by_the_old_key_and_brings_a_new_one(api, identity):
    enrol(api)
    before, life = identity.certificate(), identity.life()
    assert life.renewal == life.begins + (life.ends - life.begins) * 2 / 3
    renew(identity, identity.enrolment)
    after = x509.load_pem_x509_certificate(identity.certificate())
    assert after.public_key() != x509.load_pem_x509_certificate(before).public_key()
    assert [path for path, _ in api.bodies] == ["/v1/enrol", "/v1/enrol/renewal"]
    identity.context()


def test_a_failed_renewal_leaves_the_old_identity(api, identity):
    enrol(api)
    before = (identity.folder / "identity.pem").read_bytes()
    api.problem = "this certificate is not one of ours that can be renewed"
    with pytest.raises(EnrolmentError, match="not one of ours"):
        renew(identity, identity.enrolment)
    assert (identity.folder / "identity.pem").read_bytes() == before


async def test_a_running_gateway_renews_in_time(api, identity, gateway_process, wait_until):
    api.life = timedelta(minutes=1)  # it began five minutes ago: renewal is due
    enrol(api)
    before = identity.certificate()
    api.life = timedelta(days=90)
    gateway = gateway_process()
    assert await wait_until(lambda: "the certificate is renewed" in gateway.log.read_text())
    assert identity.certificate() != before


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"problem": "the token was used before"}, "the head-end refuses: the token was used"),
        ({"gateway": "gw2"}, "the token is for the gateway gw2; this one is called gw1"),
        ({"url": "http://127.0.0.1:9"}, "127.0.0.1:9 does not answer"),
    ],
)
def test_what_can_go_wrong_says_what_to_do_and_leaves_no_identity(api, identity, change, text):
    url = api.url
    for name, value in change.items():
        setattr(api, name, value)
    with pytest.raises(EnrolmentError, match=text):
        enrol(api)
    assert not identity.exists
    assert url


@pytest.mark.parametrize("url", ["http://ami.example", "ftp://x", "nonsense", ""])
def test_a_token_never_travels_in_the_clear(api, identity, url):
    api.url = url
    with pytest.raises(ConfigError, match="must be https"):
        enrol(api)
    assert api.bodies == []
    assert not identity.exists
