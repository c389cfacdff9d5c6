"""Who this gateway is to the broker: a folder with a key, a certificate and whom to trust.

`identity.pem` holds the key and its certificate in one file, so that a renewal replaces both or
neither; the key is made here and never leaves. `broker-ca.crt` is the authority of the broker's
certificate. `enrolment.json` says where to renew, and the public keys of the release gates. The
only module of the gateway that speaks X.509.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from gateway.disk import replace_file
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ohmesh.wire.brokerurl import BrokerUrl

_RENEW_AT: Final = 2 / 3
"""Of a certificate's life."""
_ALERTS: Final = {
    "CERTIFICATE_REVOKED": "our certificate is revoked: enrol this gateway anew",
    "CERTIFICATE_EXPIRED": "our certificate has expired: enrol this gateway anew",
    "UNKNOWN_CA": "the broker does not know the authority of our certificate: enrol here anew",
    "CERTIFICATE_REQUIRED": "the broker wants a certificate: enrol this gateway",
    "HANDSHAKE_FAILURE": "the broker wants a certificate: enrol this gateway",
}
_REFUSAL_S: Final = 2.0
"""How long a broker may take to say that it does not want us."""


class Enrolment(msgspec.Struct, frozen=True):
    """What stays of an enrolment. Args: url: of the head-end; gate_keys: in hex digits."""

    url: str
    gate_keys: list[str] = []


@dataclass(frozen=True, slots=True)
class Life:
    """From when to when a certificate is good, and its common name."""

    name: str
    begins: datetime
    ends: datetime

    @property
    def renewal(self) -> datetime:
        """When to renew."""
        return self.begins + (self.ends - self.begins) * _RENEW_AT


class NewKey:
    """A key made on this device, and the request for its certificate."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject)
        self.request = request.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def fits(self, certificate: bytes) -> bool:
        """Whether a certificate in PEM is for this key. Raises ValueError."""
        return x509.load_pem_x509_certificate(certificate).public_key() == self._key.public_key()

    def pem(self) -> bytes:
        """The private key; it goes into the identity and nowhere else."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Identity:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pem = folder / "identity.pem"
        self._authority = folder / "broker-ca.crt"
        self._enrolment = folder / "enrolment.json"
        self.api_authority = folder / "api-ca.crt"

    @property
    def exists(self) -> bool:
        """Whether this gateway is enrolled."""
        return self._pem.exists()

    def keep(self, key: NewKey, certificate: bytes, authority: bytes) -> None:
        """Put a new identity in the place of the old one. Raises ConfigError, OSError."""
        try:
            if not key.fits(certificate):
                raise ConfigError("the head-end's certificate is for another key")
        except ValueError as error:
            raise ConfigError(f"the head-end's certificate cannot be read: {error}") from error
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._authority, authority)
        replace_file(self._pem, key.pem() + certificate, mode=0o600)

    def keep_enrolment(self, enrolment: Enrolment) -> None:
        """Where to renew, and whom to trust. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._enrolment, msgspec.json.encode(enrolment))

    def trust_api(self, authority: bytes) -> None:
        """Trust the head-end's own certificate by this authority. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self.api_authority, authority)

    @property
    def enrolment(self) -> Enrolment | None:
        """What stays of the enrolment; None without one. Raises ConfigError."""
        try:
            return msgspec.json.decode(self._enrolment.read_bytes(), type=Enrolment)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{self._enrolment}: {error}; enrol this gateway anew") from error

    def life(self) -> Life:
        """Of the present certificate. Raises ConfigError."""
        shown = self._certificate()
        names = shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        name = str(names[0].value) if names else ""
        return Life(name, shown.not_valid_before_utc, shown.not_valid_after_utc)

    def certificate(self) -> bytes:
        """The present certificate in PEM. Raises ConfigError."""
        return self._certificate().public_bytes(Encoding.PEM)

    def sign(self, octets: bytes) -> str:
        """Base64 of the present key's signature (ECDSA, SHA-256). Raises ConfigError."""
        try:
            key = load_pem_private_key(self._pem.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._pem}: {error}; enrol this gateway anew") from error
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return b64encode(key.sign(octets, ec.ECDSA(hashes.SHA256()))).decode()

    def context(self) -> ssl.SSLContext:
        """For one connection to the broker, read anew. Raises ConfigError."""
        try:
            authority = self._authority if self._authority.exists() else None
            context = ssl.create_default_context(cafile=authority)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.exists:
                context.load_cert_chain(self._pem)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"the identity in {self.folder} cannot be used: {error}") from error
        return context

    def _certificate(self) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate(self._pem.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._pem}: {error}; enrol this gateway anew") from error


async def refusal(broker: BrokerUrl, context: ssl.SSLContext, now: datetime) -> str:
    """Why TLS with a broker fails, in words; "" when it does not.

    With TLS 1.3 a broker judges our certificate after the handshake and closes; an MQTT client
    just sees a lost connection. So this connects once more and listens for the alert.
    """
    try:
        async with asyncio.timeout(_REFUSAL_S):
            reader, writer = await asyncio.open_connection(broker.host, broker.port, ssl=context)
            try:
                await reader.read(1)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except ssl.SSLCertVerificationError as error:
        return _not_trusted(broker, error, now)
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        return next((text for name, text in _ALERTS.items() if name in reason), reason)
    except (OSError, TimeoutError):
        return ""
    return ""


def _not_trusted(broker: BrokerUrl, error: ssl.SSLCertVerificationError, now: datetime) -> str:
    why = error.verify_message or str(error)
    if "mismatch" in why or "not valid for" in why:
        return f"the broker's certificate is not for {broker.host}: correct broker.url ({why})"
    if "expired" in why or "not yet valid" in why:
        shown = now.isoformat(timespec="seconds")
        return f"the broker's certificate is not valid now, {shown}: is the clock right? ({why})"
    return f"the broker's certificate is not of the authority that we enrolled with ({why})"
