"""The hop seal: eight octets that prove a frame came from a member of the network.

A sealer is injected, so that a product may use a hardware key store and a simulator none at all.
The seal covers header and body; the 32-bit frame counter in the header makes every input unique.
"""

import hashlib
from typing import Protocol

from ohmesh.mesh.constants import MIC_BYTES
from ohmesh.mesh.errors import MeshUsageError

NO_KEY = -1
_KEY_BYTES_MIN = 16
_KEY_BYTES_MAX = 64


class Sealer(Protocol):
    """Makes and checks the integrity code of a frame."""

    @property
    def index(self) -> int:
        """Index of the key that new frames are sealed with."""
        ...

    @property
    def newest(self) -> int:
        """Highest index of a key that is held; NO_KEY with none."""
        ...

    def seal(self, message: bytes, key_index: int) -> bytes:
        """Return MIC_BYTES octets over header and body."""
        ...

    def verify(self, message: bytes, mic: bytes, key_index: int) -> bool:
        """Return True if the code is right for one of the live keys."""
        ...


class ChecksumSealer:
    """Integrity without a key (unkeyed BLAKE2b): finds damage, keeps nobody out."""

    index = 0
    newest = 0

    def seal(self, message: bytes, key_index: int) -> bytes:
        """See Sealer."""
        del key_index
        return hashlib.blake2b(message, digest_size=MIC_BYTES).digest()

    def verify(self, message: bytes, mic: bytes, key_index: int) -> bool:
        """See Sealer."""
        return self.seal(message, key_index) == mic


class KeyedSealer:
    """A real message authentication code from the standard library: keyed BLAKE2b (RFC 7693).

    Two live keys let the network change keys without a gap: every node is given the new one while
    all still seal with the old; the root begins with the new, and who hears it follows.

    Args:
        keys: key index -> network key of 16..64 octets; empty on a meter that has not joined.
        index: the root: seal with this one. A meter follows what it hears.
    """

    def __init__(self, keys: dict[int, bytes], index: int | None = None) -> None:
        """Keep a copy of the keys. Raises MeshUsageError."""
        self._leads = index is not None
        self._index = NO_KEY if index is None else index
        self._keys: dict[int, bytes] = {}
        self.install(keys)

    @property
    def index(self) -> int:
        """See Sealer."""
        return self._index

    @property
    def newest(self) -> int:
        """See Sealer."""
        return max(self._keys, default=NO_KEY)

    def install(self, keys: dict[int, bytes]) -> None:
        """Hold these keys and no others. Raises MeshUsageError."""
        if not all(_KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX for key in keys.values()):
            msg = f"a network key has {_KEY_BYTES_MIN}..{_KEY_BYTES_MAX} octets"
            raise MeshUsageError(msg)
        self._keys = dict(keys)
        if not self._leads and self._index not in keys:
            self._index = min(keys, default=NO_KEY)

    def seal(self, message: bytes, key_index: int) -> bytes:
        """See Sealer."""
        key = self._keys.get(key_index)
        if key is None:
            msg = f"no network key with index {key_index}"
            raise MeshUsageError(msg)
        return hashlib.blake2b(message, digest_size=MIC_BYTES, key=key).digest()

    def verify(self, message: bytes, mic: bytes, key_index: int) -> bool:
        """See Sealer."""
        # Lengths are fixed and an attacker on a radio cannot time us: plain comparison is enough.
        if key_index not in self._keys or self.seal(message, key_index) != mic:
            return False
        if key_index > self._index and not self._leads:
            self._index = key_index
        return True


class StubSealer:
    """Right length, no work: for simulators that count octets and not attackers."""

    index = 0
    newest = 0

    def seal(self, message: bytes, key_index: int) -> bytes:
        """See Sealer."""
        del message, key_index
        return bytes(MIC_BYTES)

    def verify(self, message: bytes, mic: bytes, key_index: int) -> bool:
        """See Sealer."""
        del message, key_index
        return len(mic) == MIC_BYTES
