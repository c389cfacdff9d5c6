"""Access tokens: ours pass, everything that people have tried on JWT libraries does not."""

from __future__ import annotations

import base64
import hmac
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import OKPKey, RSAKey

from headend.security.access_token import ALGORITHM, AUDIENCE, ISSUER, LIFE_S, TYPE, AccessTokens
from headend.security.roles import Permission, Principal, of_scopes

SECRET = b"a secret of the tests"
NOW = 1_800_000_000
TOKENS = AccessTokens(SECRET)
ANN = Principal("ann", 7, of_scopes(["fleet:read", "command:send"]), "ann")
HEADER = {"alg": ALGORITHM, "typ": TYPE}
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "ann",
    "person": "ann",
    "tenant": 7,
    "scope": "fleet:read",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + LIFE_S,
}


def b64(data) -> str:
    octets = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def signed(header=HEADER, key=None, **claims):
    """A token under our own key, with anything else in it; None drops a claim."""
    content = {k: v for k, v in {**CLAIMS, **claims}.items() if v is not None}
    return jwt.encode(header, content, key or TOKENS._key, algorithms=[header["alg"]])


def test_our_own_token_is_its_owner_until_it_ends():
    token = TOKENS.issue(ANN, NOW)
    assert TOKENS.check(token, NOW) == ANN
    assert TOKENS.check(token, NOW + LIFE_S - 1) == ANN
    assert TOKENS.check(token, NOW + LIFE_S) is None
    assert TOKENS.check(token, NOW - 1) is None
    assert AccessTokens(SECRET + b"x").check(token, NOW) is None
    assert TOKENS.check(signed(), NOW).permissions == of_scopes(["fleet:read"])


def public_pem() -> bytes:
    return TOKENS._key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_der() -> bytes:
    return TOKENS._key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def with_secret(secret: bytes) -> str:
    """HMAC by hand: the library would not let an attacker use a public key."""
    text = f"{b64({'alg': 'HS256', 'typ': TYPE})}.{b64(CLAIMS)}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def tampered(**header) -> str:
    """Our signature under another header."""
    _, body, signature = signed().split(".")
    return f"{b64({**HEADER, **header})}.{body}.{signature}"


ATTACKS = {
    "none": lambda: f"{b64({'alg': 'none', 'typ': TYPE})}.{b64(CLAIMS)}.",
    "None": lambda: f"{b64({'alg': 'None', 'typ': TYPE})}.{b64(CLAIMS)}.",
    "empty signature": lambda: signed().rpartition(".")[0] + ".",
    "HS256 with the public key as PEM": lambda: with_secret(public_pem()),
    "HS256 with the public key as DER": lambda: with_secret(public_der()),
    "HS256 with the public key as JWK": lambda: with_secret(
        json.dumps(TOKENS._key.as_dict(private=False)).encode()
    ),
    "another Ed25519 key": lambda: signed(key=OKPKey.generate_key("Ed25519")),
    "RS256": lambda: signed({"alg": "RS256", "typ": TYPE}, RSAKey.generate_key(2048)),
    "EdDSA, the old name": lambda: signed({"alg": "EdDSA", "typ": TYPE}),
    "kid with a path": lambda: signed({**HEADER, "kid": "../../../../dev/null"}),
    "kid with SQL": lambda: signed({**HEADER, "kid": "' or 1=1 --"}),
    "jku": lambda: signed({**HEADER, "jku": "https://evil.example/keys"}),
    "x5u": lambda: signed({**HEADER, "x5u": "https://evil.example/cert"}),
    "jwk inside": lambda: signed({**HEADER, "jwk": OKPKey.generate_key("Ed25519").as_dict()}),
    "crit": lambda: tampered(crit=["exp"]),
    "an ID token": lambda: signed({"alg": ALGORITHM, "typ": "JWT"}),
    "no type": lambda: signed({"alg": ALGORITHM}),
    "another issuer": lambda: signed(iss="https://evil.example"),
    "no issuer": lambda: signed(iss=None),
    "another audience": lambda: signed(aud="grafana"),
    "a list of audiences": lambda: signed(aud=[AUDIENCE, "grafana"]),
    "no audience": lambda: signed(aud=None),
    "not yet": lambda: signed(nbf=NOW + 60),
    "over": lambda: signed(exp=NOW),
    "no end": lambda: signed(exp=None),
    "an end that is a text": lambda: signed(exp=str(NOW + 60)),
    "tenant as a text": lambda: signed(tenant="7"),
    "another body": lambda: ".".join(
        [signed().split(".")[0], b64({**CLAIMS, "tenant": 1}), signed().split(".")[2]]
    ),
    "twice signed": lambda: signed() + "." + signed().rpartition(".")[2],
    "1 MB": lambda: signed(sub="a" * 1_000_000),
    "not a token": lambda: "a.b.c",
    "surrogates": lambda: "\udcff.\udcff.\udcff",
}


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # it warns the attacker
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_forged_token_is_nobody(attack):
    assert TOKENS.check(attack(), NOW) is None


def test_there_are_attacks_enough_and_scopes_that_are_unknown_give_nothing():
    assert len(ATTACKS) >= 25
    who = TOKENS.check(signed(scope="root admin:all"), NOW)
    assert who.permissions == {Permission.OPEN, Permission.SELF}
