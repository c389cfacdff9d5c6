"""Signing in at an OpenID provider: a small real one, and everything it could say wrong."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from api_site import OURS, client_of, running
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from headend.security.oidc import Provider
from headend.security.roles import Role

ISSUER = "https://id.example"
CLIENT, SECRET = "ohmesh", "client secret"
RETURN = "http://127.0.0.1/oidc/return"


class SmallProvider(httpx.AsyncBaseTransport):
    """An OpenID provider (Core 3.1, PKCE RFC 7636), reached as a transport of httpx."""

    def __init__(self):
        self.key = ECKey.generate_key("P-256", {"kid": "k1"})
        self.codes = {}
        self.claims = {"sub": "4711", "preferred_username": "kim", "groups": ["ami-operators"]}
        self.header = {"alg": "ES256", "kid": "k1"}
        self.signs_with = self.key
        self.issuer = ISSUER

    def authorize(self, url):
        """What a person's browser does there. Returns: the address it is sent back to."""
        query = dict(parse_qsl(urlsplit(url).query))
        assert query["client_id"] == CLIENT
        assert query["redirect_uri"] == RETURN
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        self.codes["code1"] = query
        return f"{RETURN}?{urlencode({'code': 'code1', 'state': query['state']})}"

    async def handle_async_request(self, request):
        match request.url.path:
            case "/.well-known/openid-configuration":
                names = ("authorization", "token")
                found = {f"{n}_endpoint": f"{ISSUER}/{n}" for n in names}
                return httpx.Response(
                    200, json={"issuer": self.issuer, "jwks_uri": f"{ISSUER}/keys", **found}
                )
            case "/keys":
                return httpx.Response(200, json=KeySet([self.key]).as_dict(private=False))
            case "/token":
                return self._token(await request.aread(), request.headers)
        return httpx.Response(404)

    def _token(self, body, headers):
        form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
        asked = self.codes.pop(form["code"], None)
        proof = urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if asked is None or proof.decode().rstrip("=") != asked["code_challenge"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        assert headers["authorization"].startswith("Basic ")
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": CLIENT, "iat": now, "exp": now + 60}
        claims |= {"nonce": asked["nonce"], **self.claims}
        claims = {k: v for k, v in claims.items() if v is not None}
        token = jwt.encode(self.header, claims, self.signs_with, algorithms=[self.header["alg"]])
        answer = {"access_token": "a", "token_type": "Bearer", "id_token": token}
        return httpx.Response(200, json=answer)


@pytest.fixture
def provider():
    return SmallProvider()


@pytest.fixture
async def browser(site, provider):
    """A browser at a head-end that knows the provider."""
    ours = Provider(
        issuer=ISSUER,
        client_id=CLIENT,
        client_secret=SECRET,
        redirect_url=RETURN,
        name="the utility",
        tenant_id=OURS,
        role_claim="groups",
        roles={"ami-operators": Role.OPERATOR, "ami-auditors": Role.AUDITOR},
        key=bytes(32),
        transport=provider,
    )
    async with running(site, provider=ours) as app, client_of(app, None) as client:
        yield client


async def signed_in(browser, provider):
    away = await browser.get("/oidc/start")
    assert away.status_code == 303
    return await browser.get(provider.authorize(away.headers["location"]))


async def test_somebody_whom_the_provider_knows_is_known(browser, provider):
    assert "the utility" in (await browser.get("/login")).text
    answer = await signed_in(browser, provider)
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text
    me = (await browser.get("/v1/me")).json()
    assert me["name"] == "kim"
    assert "supply:switch" in me["permissions"]


async def test_the_role_is_today_s(browser, provider):
    provider.claims["sub"], provider.claims["preferred_username"] = "4712", "lee"
    await signed_in(browser, provider)
    provider.claims["groups"] = "ami-auditors"
    await signed_in(browser, provider)
    permissions = (await browser.get("/v1/me")).json()["permissions"]
    assert "audit:read" in permissions
    assert "supply:switch" not in permissions


async def test_no_password_opens_the_account_of_somebody_from_elsewhere(browser, provider):
    await signed_in(browser, provider)
    browser.cookies.clear()
    form = {"user": "kim", "password": ""}
    answer = await browser.post("/login", data=form, headers={"Origin": "http://127.0.0.1"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"groups": []}, "oidc_role"),
        ({"groups": ["strangers"]}, "oidc_role"),
        ({"iss": "https://evil.example"}, "oidc_token"),
        ({"aud": "grafana"}, "oidc_token"),
        ({"azp": "grafana"}, "oidc_token"),
        ({"exp": 1}, "oidc_token"),
        ({"exp": None}, "oidc_token"),
        ({"nonce": "another"}, "oidc_token"),
        ({"nonce": None}, "oidc_token"),
        ({"sub": None}, "oidc_token"),
        ({"preferred_username": "<script>"}, "oidc_name"),
    ],
)
async def test_a_wrong_id_token_gives_no_session(browser, provider, claims, code):
    provider.claims |= claims
    answer = await signed_in(browser, provider)
    assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert (await browser.get("/v1/me")).status_code == 401


async def test_a_token_under_another_key_or_a_shared_secret_gives_no_session(browser, provider):
    provider.signs_with = ECKey.generate_key("P-256", {"kid": "k1"})
    assert (await signed_in(browser, provider)).json()["code"] == "oidc_token"
    public = json.dumps(provider.key.as_dict(private=False)).encode()
    provider.signs_with, provider.header = OctKey.import_key(public), {"alg": "HS256", "kid": "k1"}
    assert (await signed_in(browser, provider)).json()["code"] == "oidc_token"


async def test_the_way_back_belongs_to_the_way_out(browser, provider):
    away = await browser.get("/oidc/start")
    back = provider.authorize(away.headers["location"])
    forged = back.replace("state=", "state=x")
    assert (await browser.get(forged)).json()["code"] == "oidc_state"
    refused = back.replace("code=code1", "error=access_denied")
    assert (await browser.get(refused)).json()["code"] == "oidc_refused"
    browser.cookies.clear()
    assert (await browser.get(back)).json()["code"] == "oidc_state"


async def test_a_code_is_good_once(browser, provider):
    away = await browser.get("/oidc/start")
    back = provider.authorize(away.headers["location"])
    assert (await browser.get(back)).status_code == 200
    again = await browser.get(back)
    assert again.status_code in {403, 502}


async def test_a_provider_of_another_name_is_refused(browser, provider):
    provider.issuer = "https://evil.example"
    answer = await browser.get("/oidc/start")
    assert (answer.status_code, answer.json()["code"]) == (502, "oidc_issuer")


async def test_without_a_provider_there_is_no_such_page(stranger):
    assert (await stranger.get("/oidc/start")).status_code == 404
