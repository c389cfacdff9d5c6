"""The gate's word that one meter may be cut, and two people's word that a limit may be passed.

A *release* travels beside a sealed command that takes supply away (`DownMessage.release`). The
gateway checks it with the gate's public key before it hands the command on; the head-end's gate
alone holds the private key.

| offset | size | field |
|---|---|---|
| 0 | 1 | version, 1 |
| 1 | 8 | key id: the first octets of SHA-256 over the public key |
| 9 | 16 | command id |
| 25 | 5 | not_after_s, big-endian: UTC seconds since 1970; later than that it says nothing |
| 30 | 1 | n, length of the area's name |
| 31 | n | area, UTF-8: what the gateway's limit counts by, such as a transformer |
| 31+n | 64 | Ed25519 signature |

Signed: `ohmesh release 1`, a zero, the meter's address at its gateway, a zero, and all octets
before the signature. So a release fits one meter and one command; replayed it allows what it
allowed, until it has expired.

An *approval* is one person's signature under a subject, `close-breaker:<tenant>:<opened_at>` or
`release:<command id>`. Signed: `ohmesh approval 1`, a zero, the name, a zero, the subject, a zero,
and not_after_s in decimal digits. Two approvals count as two people when names and keys differ.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from ohmesh.model.errors import BadChecksum, Malformed, Truncated, UnknownVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
AREA_BYTES_MAX: Final = 64
_VERSION = 1
_KEY_ID_BYTES = 8
_AREA_AT = 31
_LENGTH_MIN = _AREA_AT + SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Release:
    """What a release says.

    Attributes:
        command: the command's id, 16 bytes.
        not_after_s: UTC seconds since 1970.
        area: what limits count by; at most 64 octets of UTF-8, may be empty.
    """

    command: bytes
    not_after_s: int
    area: str


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's word; `signature`: 64 bytes."""

    name: str
    subject: str
    not_after_s: int
    signature: bytes


def key_id(public: bytes) -> bytes:
    """Which key: 8 bytes of a public key's digest."""
    return hashlib.sha256(public).digest()[:_KEY_ID_BYTES]


def public_key(private: bytes) -> bytes:
    """The public half of a private key, 32 bytes each."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def sign_release(private: bytes, meter: str, release: Release) -> bytes:
    """The octets of a release for the meter with this address at its gateway."""
    area = release.area.encode()
    if len(release.command) != 16 or len(area) > AREA_BYTES_MAX:
        raise Malformed("a release has a command id of 16 bytes and an area of at most 64")
    key = Ed25519PrivateKey.from_private_bytes(private)
    head = b"".join(
        (
            bytes((_VERSION,)),
            key_id(key.public_key().public_bytes_raw()),
            release.command,
            release.not_after_s.to_bytes(5, "big"),
            bytes((len(area),)),
            area,
        )
    )
    return head + key.sign(_release_text(meter, head))


def open_release(keys: Iterable[bytes], meter: str, octets: bytes) -> Release:
    """Check a release and say what it allows; whether it has expired is the caller's to judge.

    Args:
        keys: public keys of the gates that are trusted.
        meter: the address of the meter that the command is for.
        octets: as they came.

    Raises:
        Truncated, UnknownVersion, Malformed: it is not of this form.
        BadChecksum: of another gate, for another meter, or altered.
    """
    if len(octets) < _LENGTH_MIN:
        raise Truncated(f"{len(octets)} bytes; a release has at least {_LENGTH_MIN}")
    if octets[0] != _VERSION:
        raise UnknownVersion(f"release version {octets[0]}")
    head, signature = octets[:-SIGNATURE_BYTES], octets[-SIGNATURE_BYTES:]
    if len(head) != _AREA_AT + head[_AREA_AT - 1] or head[_AREA_AT - 1] > AREA_BYTES_MAX:
        raise Malformed("the area's length does not fit the release")
    signer = {key_id(key): key for key in keys}.get(head[1:9])
    if signer is None or not _verifies(signer, signature, _release_text(meter, head)):
        raise BadChecksum("the release is not of a trusted gate for this meter")
    try:
        area = head[_AREA_AT:].decode()
    except UnicodeDecodeError as error:
        raise Malformed(str(error)) from error
    return Release(head[9:25], int.from_bytes(head[25:30], "big"), area)


def sign_approval(private: bytes, name: str, subject: str, not_after_s: int) -> Approval:
    """One person's approval."""
    key = Ed25519PrivateKey.from_private_bytes(private)
    return Approval(
        name, subject, not_after_s, key.sign(_approval_text(name, subject, not_after_s))
    )


def two_people(
    people: Mapping[str, bytes], subject: str, approvals: Iterable[Approval], now_s: int
) -> bool:
    """Whether two different people have approved a subject.

    Args:
        people: name -> public key of those who may.
        subject: exactly what is to be approved.
        approvals: as they came; those that do not verify, have expired or have another subject do
            not count.
        now_s: UTC seconds since 1970.
    """
    keys = {
        people[one.name]
        for one in approvals
        if one.subject == subject and one.not_after_s >= now_s and one.name in people
        if _verifies(
            people[one.name],
            one.signature,
            _approval_text(one.name, one.subject, one.not_after_s),
        )
    }
    return len(keys) >= 2


def _release_text(meter: str, head: bytes) -> bytes:
    return b"ohmesh release 1\0" + meter.encode() + b"\0" + head


def _approval_text(name: str, subject: str, not_after_s: int) -> bytes:
    return "\0".join(("ohmesh approval 1", name, subject, str(not_after_s))).encode()


def _verifies(key: bytes, signature: bytes, text: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True
