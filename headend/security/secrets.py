"""Secrets that people and programs show: passwords, keys, sessions, set-up links.

A password is kept as Argon2id. Everything else is 256 random bits, so a plain SHA-256 keeps it: no
dictionary leads back, and it can be looked up. What is shown once is never kept or logged.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import secrets

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

KEY_PREFIX = "ohm_"
"""So that scanners for lost secrets, and people, know one when they see it."""
PASSWORD_CHARACTERS_MIN, PASSWORD_CHARACTERS_MAX = 12, 200
_HASH = PasswordHash((Argon2Hasher(),))


def digest(secret: str) -> bytes:
    """How a key, session or link is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def new_key() -> str:
    """An API key."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def new_token() -> str:
    """The secret of a session or a link."""
    return secrets.token_urlsafe(32)


def hash_password(password: str) -> str:
    """Argon2id with pwdlib's parameters; takes tens of milliseconds."""
    return _HASH.hash(password)


def verify_password(password: str, kept: str | None) -> bool:
    """Whether it is the password; takes as long for a user who does not exist."""
    try:
        right = _HASH.verify(password.encode("utf-8", "replace"), kept or _nobodys_hash())
    except UnknownHashError:
        return False
    return right and kept is not None


@functools.cache
def _nobodys_hash() -> str:
    """Made when first asked for: it costs what a sign-in costs, and few processes need it."""
    return _HASH.hash(secrets.token_urlsafe(24))


def derive(secret: bytes, purpose: bytes) -> bytes:
    """32 bytes for one purpose, from the server's secret; purpose: at most 16 bytes."""
    return hashlib.blake2b(secret, person=purpose, digest_size=32).digest()


def seal(key: bytes, text: str) -> str:
    """48 hex digits that only a holder of the key can make."""
    octets = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(octets, key=key, digest_size=24).hexdigest()


def is_sealed(key: bytes, text: str, shown: str) -> bool:
    """Whether the seal is the text's."""
    return hmac.compare_digest(shown.encode(errors="replace"), seal(key, text).encode())
