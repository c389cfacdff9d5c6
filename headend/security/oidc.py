"""Signing in at an OpenID provider: authorization code with PKCE, ID token checked by joserfc.

Theory of operation. `start` gives the provider's address and a sealed note (state, nonce, code
verifier) for a cookie of ten minutes; `finish` takes what the browser brings back, compares the
state, exchanges the code and checks the ID token: signature by the provider's published keys with
an asymmetric algorithm, issuer, audience, times, nonce (OpenID Connect Core 3.1.3.7). The role
comes from a claim by the configuration's table; without a role there is no user.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

import httpx
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from headend.security.secrets import is_sealed, seal
from ohmesh.model.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headend.security.roles import Role

ALGORITHMS: Final = ["RS256", "PS256", "ES256", "Ed25519", "EdDSA"]
NOTE_S: Final = 600
LEEWAY_S: Final = 60
TIMEOUT_S: Final = 10
SCOPE: Final = "openid profile email"


class _Note(msgspec.Struct, frozen=True):
    state: str
    nonce: str
    verifier: str
    until_s: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whom the provider vouches for."""

    subject: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Provider:
    """One OpenID provider.

    Attributes:
        issuer: its address; `/.well-known/openid-configuration` is under it.
        client_id, client_secret: what it knows us by.
        redirect_url: where it sends the browser back, `https://.../oidc/return`.
        name: for the sign-in page.
        tenant_id: whose users its users are.
        role_claim: the claim that has a text or a list of texts.
        roles: text of the claim -> role; the first that fits counts.
        key: seals the notes.
        transport: of HTTP; None: the network.
    """

    issuer: str
    client_id: str
    redirect_url: str
    name: str
    tenant_id: int
    role_claim: str
    roles: Mapping[str, Role]
    client_secret: str = field(repr=False)
    key: bytes = field(repr=False)
    transport: httpx.AsyncBaseTransport | None = None

    async def start(self) -> tuple[str, str]:
        """The address to send the browser to, and the note for its cookie. Raises AccessError."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        note = _Note(state, nonce, verifier, int(time.time()) + NOTE_S)
        async with self._client() as client:
            places = await self._places(client)
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_url,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        text = msgspec.json.encode(note).hex()
        url = httpx.URL(str(places["authorization_endpoint"])).copy_merge_params(query)
        return str(url), f"{text}.{seal(self.key, text)}"

    async def finish(self, note_text: str, query: Mapping[str, str]) -> Identity:
        """Who has come back. Raises AccessError."""
        note = self._open(note_text)
        if not hmac.compare_digest(query.get("state", "").encode(), note.state.encode()):
            raise AccessError("oidc_state", "this answer belongs to another sign-in; start again")
        if "code" not in query:
            raise AccessError("oidc_refused", "the OpenID provider has refused the sign-in")
        form = {
            "grant_type": "authorization_code",
            "code": query["code"],
            "redirect_uri": self.redirect_url,
            "code_verifier": note.verifier,
        }
        async with self._client() as client:
            places = await self._places(client)
            try:
                answer = await client.post(places["token_endpoint"], data=form, auth=self._auth())
                token = str(answer.raise_for_status().json()["id_token"])
                keys = KeySet.import_key_set((await client.get(places["jwks_uri"])).json())
            except (httpx.HTTPError, JoseError, ValueError, TypeError, KeyError) as error:
                raise AccessError("oidc_failed", "the OpenID provider gave no token") from error
        return self._identity(token, keys, note.nonce)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=TIMEOUT_S, transport=self.transport)

    def _auth(self) -> httpx.BasicAuth:
        """RFC 6749, 2.3.1: both parts are form-encoded first."""
        return httpx.BasicAuth(quote_plus(self.client_id), quote_plus(self.client_secret))

    async def _places(self, client: httpx.AsyncClient) -> dict[str, Any]:
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            found = (await client.get(url)).json()
        except (httpx.HTTPError, ValueError) as error:
            raise AccessError("oidc_away", "the OpenID provider does not answer") from error
        if not isinstance(found, dict) or found.get("issuer") != self.issuer:
            raise AccessError("oidc_issuer", "the OpenID provider names another issuer")
        return found

    def _open(self, text: str) -> _Note:
        body, _, shown = text.partition(".")
        if not is_sealed(self.key, body, shown):
            raise AccessError("oidc_state", "this sign-in was not started here; start again")
        note = msgspec.json.decode(bytes.fromhex(body), type=_Note)
        if note.until_s < time.time():
            raise AccessError("oidc_state", "this sign-in took too long; start again")
        return note

    def _identity(self, token: str, keys: KeySet, nonce: str) -> Identity:
        try:
            claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
            rules = jwt.JWTClaimsRegistry(
                leeway=LEEWAY_S,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self.client_id},
                exp={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            rules.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise AccessError("oidc_token", "the OpenID provider's token does not hold") from error
        if claims.get("azp", self.client_id) != self.client_id:
            raise AccessError("oidc_token", "the OpenID provider's token is for somebody else")
        name = claims.get("preferred_username") or claims.get("email") or claims["sub"]
        return Identity(f"{self.issuer} {claims['sub']}", str(name), self._role(claims))

    def _role(self, claims: Mapping[str, Any]) -> Role:
        claim = claims.get(self.role_claim, [])
        given = {str(one) for one in (claim if isinstance(claim, list) else [claim])}
        for text, role in self.roles.items():
            if text in given:
                return role
        raise AccessError("oidc_role", "the OpenID provider gives you no role here")


def _challenge(verifier: str) -> str:
    """RFC 7636, 4.2, method S256."""
    octets = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
