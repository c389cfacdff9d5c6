"""Enrolment of gateways, as plans: a token becomes a certificate, once; renewal; revocation.

Theory of operation. Somebody who may writes a token for a gateway that is registered. Whoever shows
it within a day gets one certificate for one request, and the same one when the answer was lost and
the same request comes again; another request finds the token used. A new enrolment revokes what the
gateway had: the box was replaced. Renewal needs no token: the request is signed with the key of a
certificate of ours that is not revoked, and may have expired for at most 30 days, so that a gateway
that was away comes back by itself.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from headend.security import ca
from headend.security.secrets import digest, new_token
from headend.store.plan import Plan, Queries, first
from ohmesh.model.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

SQL: Final = Queries("headend.security", "enrolment.sql")
TOKEN_LIFE: Final = timedelta(hours=24)
CERTIFICATE_LIFE: Final = timedelta(days=90)
LATE: Final = timedelta(days=30)
"""How long after its end a certificate may still be renewed."""
RENEWAL: Final = b"ohmesh renewal 1\0"
"""Before the request in what a renewal signs."""


@dataclass(frozen=True, slots=True)
class Enroller:
    """What the head-end enrols with.

    Attributes:
        authority: signs devices.
        broker_authority: certificate of the broker's authority, PEM.
        gate_keys: public keys of the release gates, in hex digits.
    """

    authority: ca.Authority
    broker_authority: str
    gate_keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Issued:
    """A gateway and its certificate in PEM."""

    gateway: str
    pem: str


def add_token(tenant_id: int, gateway_id: int, made_by: str, now: datetime) -> Plan[str]:
    """A token for a gateway; one that was not used before is void. Returns: shown once."""
    secret = new_token()
    yield SQL("drop_tokens", tenant_id=tenant_id, gateway_id=gateway_id)
    yield SQL(
        "insert_token",
        digest=digest(secret),
        tenant_id=tenant_id,
        gateway_id=gateway_id,
        made_by=made_by,
        expires_at=now + TOKEN_LIFE,
    )
    return secret


def token_tenant(secret: str) -> Plan[int]:
    """Whose token it is. Raises AccessError(unknown_token)."""
    row = first((yield SQL("tenant_of_token", digest=digest(secret))))
    if row is None or row["tenant_id"] is None:
        raise _no_token()
    return int(row["tenant_id"])


def enrol(
    tenant_id: int, secret: str, csr: bytes, authority: ca.Authority, now: datetime
) -> Plan[Issued]:
    """The certificate for a token. Raises AccessError: unknown_token, used_token, bad_request."""
    shown = digest(secret)
    row = first((yield SQL("lock_token", tenant_id=tenant_id, digest=shown, now=now)))
    if row is None:
        raise _no_token()
    request = sha256(csr).digest()
    if row["request"] is not None:
        again = yield from _again(tenant_id, request)
        if again is None:
            raise AccessError("used_token", "the token was used before: ask for a new one")
        return Issued(row["gateway"], again)
    yield SQL("revoke", tenant_id=tenant_id, gateway_id=row["gateway_id"], now=now)
    issued = yield from _issue(tenant_id, row["gateway_id"], row["gateway"], csr, authority, now)
    yield SQL("use_token", tenant_id=tenant_id, digest=shown, request=request)
    return issued


def read_certificate(text: str) -> x509.Certificate:
    """A certificate in PEM. Raises AccessError(bad_certificate)."""
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise AccessError("bad_certificate", "this is no certificate in PEM") from error


def serial_of(certificate: x509.Certificate) -> str:
    """A serial number as the store keeps it."""
    return f"{certificate.serial_number:x}"


def certificate_tenant(certificate: x509.Certificate) -> Plan[int]:
    """Whose gateway's certificate it is. Raises AccessError(unknown_certificate)."""
    row = first((yield SQL("tenant_of_certificate", serial=serial_of(certificate))))
    if row is None or row["tenant_id"] is None:
        raise _no_certificate()
    return int(row["tenant_id"])


def renew(
    tenant_id: int,
    certificate: x509.Certificate,
    csr: bytes,
    signature: str,
    *,
    authority: ca.Authority,
    now: datetime,
) -> Plan[Issued]:
    """A new certificate for who holds the key of an old one.

    Args:
        tenant_id: of the old certificate's gateway.
        certificate: the old one.
        csr: the request for the new one.
        signature: base64, by the old key over RENEWAL and the request; ECDSA with SHA-256.
        authority: signs.
        now: UTC.

    Raises: AccessError: unknown_certificate, bad_signature, bad_request.
    """
    serial = serial_of(certificate)
    row = first((yield SQL("lock_certificate", tenant_id=tenant_id, serial=serial)))
    if row is None or row["not_after"] + LATE < now or _differ(row["pem"], certificate):
        raise _no_certificate()
    _check_signature(certificate, csr, signature)
    again = yield from _again(tenant_id, sha256(csr).digest())
    if again is not None:
        return Issued(row["gateway"], again)
    return (yield from _issue(tenant_id, row["gateway_id"], row["gateway"], csr, authority, now))


def revoke(tenant_id: int, gateway_id: int, now: datetime) -> Plan[None]:
    """A gateway's certificates are good no more, and its token neither."""
    yield SQL("drop_tokens", tenant_id=tenant_id, gateway_id=gateway_id)
    yield SQL("revoke", tenant_id=tenant_id, gateway_id=gateway_id, now=now)


def _again(tenant_id: int, request: bytes) -> Plan[str | None]:
    row = first((yield SQL("by_request", tenant_id=tenant_id, request=request)))
    return None if row is None else str(row["pem"])


def _issue(  # noqa: PLR0917 - who, what, by whom, when
    tenant_id: int,
    gateway_id: int,
    gateway: str,
    csr: bytes,
    authority: ca.Authority,
    now: datetime,
) -> Plan[Issued]:
    name = ca.device_name("gw", gateway)
    made = authority.issue(csr, name, now, life=CERTIFICATE_LIFE)
    text = ca.pem(made).decode()
    yield SQL(
        "insert_certificate",
        serial=serial_of(made),
        tenant_id=tenant_id,
        gateway_id=gateway_id,
        not_before=made.not_valid_before_utc,
        not_after=made.not_valid_after_utc,
        request=sha256(csr).digest(),
        pem=text,
    )
    return Issued(gateway, text)


def _differ(kept: str, shown: x509.Certificate) -> bool:
    return x509.load_pem_x509_certificate(kept.encode()) != shown


def _check_signature(certificate: x509.Certificate, csr: bytes, signature: str) -> None:
    key = certificate.public_key()
    try:
        octets = b64decode(signature, validate=True)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(octets, RENEWAL + csr, ec.ECDSA(hashes.SHA256()))
        else:
            assert isinstance(key, ed25519.Ed25519PublicKey)  # the authority signs these two alone
            key.verify(octets, RENEWAL + csr)
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise AccessError("bad_signature", "the request is not signed by its holder") from error


def _no_token() -> AccessError:
    return AccessError("unknown_token", "there is no such enrolment token, or its day is over")


def _no_certificate() -> AccessError:
    return AccessError(
        "unknown_certificate", "this certificate is not one of ours that can be renewed"
    )
