"""Meters' keys at rest: AES-256-GCM under the key-encryption key (KEK).

A meter of the mesh has one key, for its seal. A meter that encrypts by its market's standard has
market keys: the unicast key and, where the market uses one, the authentication key.

| offset | size | field |
|---|---|---|
| 0 | 1 | version, 1 |
| 1 | 12 | nonce: the first octets of HMAC-SHA-256 over meter name and key |
| 13 | n + 16 | ciphertext and tag; associated data: version and meter name |

The nonce is made from what is sealed, so the same key of the same meter gives the same octets and
a repeated registration is recognised; two different inputs meet in a nonce with chance 2**-96.

The file may hold older KEKs behind the one that seals: they only open, until `ohmesh headend
rekey` has sealed everything anew (ADR 0057).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from firmware_profiles.api import Keys
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEK_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
MARKET_KEY_BYTES: Final = 16


class Keystore:
    """Seals meters' keys with a KEK of 32 bytes; opens what it or an older one has sealed."""

    def __init__(self, kek: bytes, *older: bytes) -> None:
        for one in (kek, *older):
            if len(one) != KEK_BYTES:
                raise ConfigError(f"the key-encryption key has {len(one)} bytes instead of 32")
        self._kek = kek
        self._ciphers = [_cipher(one) for one in (kek, *older)]
        self._nonce_key = hmac.digest(kek, b"ohmesh nonce", hashlib.sha256)

    @classmethod
    def from_file(cls, path: Path) -> Keystore:
        """From a file with 64 hex digits a line: the KEK, then older ones. Raises ConfigError."""
        try:
            lines = path.read_text(encoding="ascii").split() or [""]
            return cls(*map(bytes.fromhex, lines))
        except (OSError, ValueError) as error:
            raise ConfigError(f"the key-encryption key in {path}: {error}") from error

    def derive(self, purpose: bytes) -> bytes:
        """Another secret of 32 bytes, for a purpose of its own."""
        return hmac.digest(self._kek, purpose, hashlib.sha256)

    def seal(self, meter: str, key: bytes) -> bytes:
        """A meter's key for the store."""
        context = _VERSION + meter.encode()
        text = len(context).to_bytes(2, "big") + context + key
        nonce = hmac.digest(self._nonce_key, text, hashlib.sha256)[:_NONCE_BYTES]
        return _VERSION + nonce + self._ciphers[0].encrypt(nonce, key, context)

    def seal_anew(self, name: str, sealed: bytes) -> bytes | None:
        """The same under the KEK; None: it is already. Raises ConfigError: no KEK opens it."""
        anew = self.seal(name, self.open(name, sealed))
        return None if anew == sealed else anew

    def open(self, meter: str, sealed: bytes) -> bytes:
        """A meter's key from the store. Raises ConfigError: another KEK, or altered octets."""
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _VERSION:
            raise ConfigError(f"the key of meter {meter} is sealed in an unknown way")
        for cipher in self._ciphers:
            with contextlib.suppress(InvalidTag, ValueError):
                return cipher.decrypt(nonce, body, _VERSION + meter.encode())
        raise ConfigError(f"the key of meter {meter} does not open: another key-encryption key?")

    def open_market(self, meter: str, sealed: bytes) -> Keys:
        """A meter's market keys from the store. Raises ConfigError."""
        octets = self.open(market_name(meter), sealed)
        if len(octets) not in {MARKET_KEY_BYTES, 2 * MARKET_KEY_BYTES}:
            raise ConfigError(f"the market keys of meter {meter} have {len(octets)} bytes")
        return Keys(octets[:MARKET_KEY_BYTES], octets[MARKET_KEY_BYTES:] or None)


def _cipher(kek: bytes) -> AESGCM:
    return AESGCM(hmac.digest(kek, b"ohmesh seal", hashlib.sha256))


def market_name(meter: str) -> str:
    """The name under which a meter's market keys are sealed; no meter's own name has a slash.

    What is sealed is the unicast key, and behind it the authentication key where there is one.
    """
    return f"{meter}/market"
