"""Short-lived access tokens: JWT with one algorithm, Ed25519. Pure.

A caller with a key may ask for one and hand it to a program that should not hold the key. It lives
five minutes and cannot be called back, so it is checked without the database. The algorithm is ours
to choose: whatever the header of a token says beside `Ed25519`, `at+jwt` is refused (RFC 8725, 3.1;
RFC 9068, 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from headend.security.roles import Principal, of_scopes
from headend.security.secrets import derive

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM: Final = "Ed25519"
TYPE: Final = "at+jwt"
ISSUER: Final = "ohmesh-headend"
AUDIENCE: Final = "ohmesh-api"
LIFE_S: Final = 300
CHARACTERS_MAX: Final = 4096


class AccessTokens:
    """Makes and checks access tokens with a key that is derived from the server's secret."""

    def __init__(self, secret: bytes) -> None:
        private = Ed25519PrivateKey.from_private_bytes(derive(secret, b"ohmesh-jwt"))
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._key = OKPKey.import_key(pem)

    def issue(self, who: Principal, now_s: int) -> str:
        """A token for somebody, good for LIFE_S seconds."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": who.name,
            "person": who.person,
            "tenant": who.tenant_id,
            "scope": " ".join(sorted(who.permissions)),
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + LIFE_S,
        }
        header = {"alg": ALGORITHM, "typ": TYPE}
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])

    def check(self, token: str, now_s: int) -> Principal | None:
        """Who a token stands for; None when anything about it is wrong."""
        if len(token) > CHARACTERS_MAX:
            return None
        try:
            found = jwt.decode(token, self._key, algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        if found.header != {"alg": ALGORITHM, "typ": TYPE}:
            return None
        return _principal(found.claims, now_s)


def _principal(claims: Mapping[str, object], now_s: int) -> Principal | None:
    """The principal of claims that we signed. Every one of them must be there."""
    match claims:
        case {
            "iss": str(issuer),
            "aud": str(audience),
            "sub": str(name),
            "person": str(person),
            "tenant": int(tenant),
            "scope": str(scope),
            "nbf": int(not_before),
            "exp": int(expiry),
        } if (issuer, audience) == (ISSUER, AUDIENCE) and not_before <= now_s < expiry:
            return Principal(name, tenant, of_scopes(scope.split()), person)
    return None
