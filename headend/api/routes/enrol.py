"""Enrolment of gateways: tokens, certificates, revocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from headend.api import enrol_views as views
from headend.api.answers import Pager, answer, documented
from headend.api.export.lists import also_as_files
from headend.api.fields import Body, PageQuery, PathId
from headend.api.routes.gateways import find_gateway
from headend.api.services import Caller, Parts
from headend.api.store import DEED
from headend.security import audit, enrolment
from headend.store.plan import single
from ohmesh.model.errors import AccessError

if TYPE_CHECKING:
    from headend.api.access import Principal
    from headend.api.services import Services
    from headend.security.enrolment import Enroller, Issued

router = APIRouter(prefix="/v1", tags=["enrolment"])
Pem = Annotated[
    str, StringConstraints(min_length=1, max_length=16_384, pattern=r"^[\x20-\x7e\n\r]+$")
]
Secret = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
Base64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/=]{1,200}$")]
_OPEN = (401, 404, 422, 429, 503)


class Enrol(Body):
    """A token, and a request for a certificate (PKCS #10, PEM). The key stays where it was made."""

    token: Secret
    request: Pem


class Renew(Body):
    """The present certificate, a request for the next one, and the present key's word for it.

    `signature`: base64, ECDSA with SHA-256 over `ohmesh renewal 1`, a zero octet, and `request`.
    """

    certificate: Pem
    request: Pem
    signature: Base64


def _enroller(parts: Services) -> Enroller:
    if parts.enroller is None:
        raise AccessError(
            "no_authority", "this head-end has no enrolment.folder: it issues no certificates"
        )
    return parts.enroller


async def _gateway_id(parts: Services, who: Principal, name: str) -> int:
    row = await find_gateway(parts, who, name)
    ask = parts.rows(who.tenant_id, "gateway_number", name=row["gateway"])
    return int((await ask)[0]["id"])


@router.post(
    "/gateways/{gateway}/enrolment",
    status_code=201,
    responses=documented("EnrolmentToken", created=201, repeats=False),
)
async def add_enrolment(parts: Parts, who: Caller, gateway: PathId) -> Response:
    """Make a token with which a gateway gets its certificate. A token before it is void."""
    number, now = await _gateway_id(parts, who, gateway), parts.now()
    _enroller(parts)
    plan = enrolment.add_token(who.tenant_id, number, who.name, now)
    secret = await parts.store.run(who.tenant_id, plan)
    return answer(views.EnrolmentToken(gateway, secret, now + enrolment.TOKEN_LIFE), 201)


@router.get("/gateways/{gateway}/certificates", responses=documented("CertificatePage", files=True))
@also_as_files(views.Certificate)
async def list_certificates(
    request: Request,
    parts: Parts,
    who: Caller,
    gateway: PathId,
    query: Annotated[PageQuery, Query()],
) -> Response:
    """List a gateway's certificates, revoked and expired ones too."""
    number = await _gateway_id(parts, who, gateway)
    scope = query.scope("certificates", tenant=who.tenant_id, gateway=gateway)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], (None,))
    ask = enrolment.SQL(
        "certificates",
        tenant_id=who.tenant_id,
        gateway_id=number,
        after=after,
        limit=pager.limit,
    )
    rows = await parts.store.run(who.tenant_id, single(ask))
    return pager.page(rows, lambda row: views.Certificate(**row), lambda row: (row["serial"],))


@router.delete(
    "/gateways/{gateway}/certificates",
    status_code=204,
    responses=documented("", only=(401, 403, 404, 422, 429, 503)),
)
async def revoke_certificates(parts: Parts, who: Caller, gateway: PathId) -> Response:
    """Shut a gateway out, as when it was stolen: within a minute the broker takes nothing of it."""
    number = await _gateway_id(parts, who, gateway)
    await parts.store.run(who.tenant_id, enrolment.revoke(who.tenant_id, number, parts.now()))
    return Response(status_code=204)


@router.post("/enrol", responses=documented("GatewayIdentity", only=_OPEN))
async def enrol(parts: Parts, body: Enrol) -> Response:
    """Get the certificate for a token. The same request again gets the same certificate."""
    enroller = _enroller(parts)
    tenant_id = await parts.store.run(0, enrolment.token_tenant(body.token))
    plan = enrolment.enrol(
        tenant_id, body.token, body.request.encode(), enroller.authority, parts.now()
    )
    DEED.set(audit.Deed("an enrolment token", "enrol", "/v1/enrol"))
    return _identity(enroller, await parts.store.run(tenant_id, plan))


@router.post("/enrol/renewal", responses=documented("GatewayIdentity", only=_OPEN))
async def renew_certificate(parts: Parts, body: Renew) -> Response:
    """Get the next certificate for the present one, until 30 days after its end."""
    enroller = _enroller(parts)
    certificate = enrolment.read_certificate(body.certificate)
    tenant_id = await parts.store.run(0, enrolment.certificate_tenant(certificate))
    plan = enrolment.renew(
        tenant_id,
        certificate,
        body.request.encode(),
        body.signature,
        authority=enroller.authority,
        now=parts.now(),
    )
    name = certificate.subject.rfc4514_string().removeprefix("CN=")
    DEED.set(audit.Deed(name, "renew_certificate", "/v1/enrol/renewal"))
    return _identity(enroller, await parts.store.run(tenant_id, plan))


def _identity(enroller: Enroller, issued: Issued) -> Response:
    return answer(
        views.GatewayIdentity(
            issued.gateway, issued.pem, enroller.broker_authority, list(enroller.gate_keys)
        )
    )
