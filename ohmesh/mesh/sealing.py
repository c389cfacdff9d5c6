"""The hop seal: eight octets that prove a frame came from a member of the network.

A sealer is injected, so that a product may use a hardware key store and a simulator none at all.
The seal covers header and body; the 32-bit frame counter in the header makes every input unique.
"""

import hashlib
from typing import Protocol

from ohmesh.mesh.constants import MIC_BYTES
from ohmesh.mesh.errors import MeshUsageError

_KEY_BYTES_MIN = 16
_KEY_BYTES_MAX = 64


class Sealer(Protocol):
    """Makes and checks the integrity code of a frame."""

    def seal(self, message: bytes, key_index: int) -> bytes:
        """Return MIC_BYTES octets over header and body."""
        ...

    def verify(self, message: bytes, mic: bytes, key_index: int) -> bool:
        """Return True if the code is right for one of the live keys."""
        ...


class ChecksumSealer:
    """Integrity without a key (unkeyed BLAKE2b): finds damage, keeps nobody out."""

    def seal(self, message: bytes, key_index: int) -> bytes:
        """See Sealer."""
        del key_index
        return hashlib.blake2b(message, digest_size=MIC_BYTES).digest()

    def verify(self, message: bytes, mic: bytes, key_index: int) -> bool:
        """See Sealer."""
        return self.seal(message, key_index) == mic


class KeyedSealer:
    """A real message authentication code from the standard library: keyed BLAKE2b (RFC 7693).

    Args:
        keys: key index -> network key of 16..64 octets; two live indices allow rotation.
    """

    def __init__(self, keys: dict[int, bytes]) -> None:
        """Keep a copy of the keys."""
        if not all(_KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX for key in keys.values()):
            msg = f"a network key has {_KEY_BYTES_MIN}..{_KEY_BYTES_MAX} octets"
            raise MeshUsageError(msg)
        self._keys = dict(keys)

    def seal(self, message: bytes, key_index: int) -> bytes:
        """See Sealer."""
        key = self._keys.get(key_index)
        if key is None:
            msg = f"no network key with index {key_index}"
            raise MeshUsageError(msg)
        return hashlib.blake2b(message, digest_size=MIC_BYTES, key=key).digest()

    def verify(self, message: bytes, mic: bytes, key_index: int) -> bool:
        """See Sealer."""
        if key_index not in self._keys:
            return False
        # Lengths are fixed and an attacker on a radio cannot time us: plain comparison is enough.
        return self.seal(message, key_index) == mic


class StubSealer:
    """Right length, no work: for simulators that count octets and not attackers."""

    def seal(self, message: bytes, key_index: int) -> bytes:
        """See Sealer."""
        del message, key_index
        return bytes(MIC_BYTES)

    def verify(self, message: bytes, mic: bytes, key_index: int) -> bool:
        """See Sealer."""
        del message, key_index
        return len(mic) == MIC_BYTES
