"""Our own certificate authority: for the broker, the head-end, gateways and meters with a modem.

Theory of operation. An authority is a P-256 key and a self-signed certificate. It signs what a
requester asks for (PKCS #10), but never the name that the requester wants: the caller of `issue`
says the name and what the certificate is good for. A device's common name is `gw/ID` or `meter/ID`,
which is also the middle of its topics, so the broker's rules need no list of devices. The caller
gives the time; serial numbers are random (RFC 5280, 4.1.2.2).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ohmesh.model.errors import AccessError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

AUTHORITY_LIFE: Final = timedelta(days=3650)
LIFE: Final = timedelta(days=397)
CRL_LIFE: Final = timedelta(days=30)
SKEW: Final = timedelta(minutes=5)
"""A device's clock may be behind ours by so much."""
CSR_BYTES_MAX: Final = 16_384
DEVICE: Final = re.compile(r"(gw|meter)/[A-Za-z0-9_-]{1,64}")


class Use(Enum):
    """What a certificate is good for."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PKCS #8, in the clear: write it with mode 0600."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """A certificate request in PEM, as a device makes it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def device_name(kind: str, name: str) -> str:
    """The common name of a device: kind is `gw` or `meter`. Raises AccessError."""
    found = f"{kind}/{name}"
    if DEVICE.fullmatch(found) is None:
        raise AccessError("bad_name", f"{found!r} is no name of a gateway or meter")
    return found


@dataclass(frozen=True, slots=True)
class Authority:
    """A key that signs, and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, name: str, now: datetime) -> Authority:
        """A new authority of a name."""
        key = new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        usage = _usage(signs_certificates=True)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        builder = builder.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def load(cls, key: bytes, certificate: bytes) -> Authority:
        """From PEM. Raises ConfigError."""
        try:
            found = load_pem_private_key(key, None)
            shown = x509.load_pem_x509_certificate(certificate)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"the certificate authority cannot be read: {error}") from error
        if not isinstance(found, ec.EllipticCurvePrivateKey) or (
            found.public_key() != shown.public_key()
        ):
            raise ConfigError("the certificate authority's key is not its certificate's")
        return cls(found, shown)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        csr: bytes,
        name: str,
        now: datetime,
        *,
        use: Use = Use.CLIENT,
        hosts: Sequence[str] = (),
        life: timedelta = LIFE,
    ) -> x509.Certificate:
        """Sign a request.

        Args:
            csr: PKCS #10 in PEM; only its public key is taken.
            name: the common name that the certificate gets.
            now: from when it is good, less SKEW.
            use: what for.
            hosts: names and addresses of a server.
            life: how long.

        Raises: AccessError(bad_request): no request, a bad signature, another kind of key.
        """
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.certificate.subject, _public_key(csr), now, life)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([use.value]), False),
            (issuer, False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        if hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def crl(self, revoked: Mapping[int, datetime], now: datetime) -> bytes:
        """A revocation list in PEM. Args: revoked: serial number -> since when."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - SKEW).next_update(now + CRL_LIFE)
        for serial, since in sorted(revoked.items()):
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
            builder = builder.add_revoked_certificate(one.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _public_key(csr: bytes) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    """The key of a request that its holder has signed. Raises AccessError."""
    try:
        if len(csr) > CSR_BYTES_MAX:
            raise AccessError("bad_request", "the certificate request is too long")
        found = x509.load_pem_x509_csr(csr)
        key, holds = found.public_key(), found.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise AccessError("bad_request", "this is no certificate request in PEM") from error
    curve = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    if not holds or not (curve or isinstance(key, ed25519.Ed25519PublicKey)):
        raise AccessError("bad_request", "the request needs a valid signature by a P-256 key")
    assert isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
    return key


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
