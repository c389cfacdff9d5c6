"""The small state a node must not lose, as octets.

::

    0  "OM" 2   2  version 1   3  life 2   5  counter ceiling 4   9  next oseq 4
    13 root epoch 4   17 dtsn 1   18 CRC-32 of the above 4
"""

import struct
import zlib
from dataclasses import dataclass

from ohmesh.mesh.errors import StateError

_FIXED = struct.Struct(">2sBHIIIB")
_CRC = struct.Struct(">I")
_MAGIC = b"OM"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class State:
    """What survives a reboot beside payloads and routes.

    Attributes:
        life: random name of this store; a node that lost it draws a new one.
        ceiling: no counter at or above it was used.
        next_oseq: number of the next own payload.
        epoch: root only: highest epoch used.
        dtsn: root only: last call for registrations.
    """

    life: int
    ceiling: int
    next_oseq: int
    epoch: int = 0
    dtsn: int = 0

    def encode(self) -> bytes:
        """Return the blob."""
        fixed = _FIXED.pack(
            _MAGIC,
            _VERSION,
            self.life,
            self.ceiling,
            self.next_oseq,
            self.epoch,
            self.dtsn,
        )
        return fixed + _CRC.pack(zlib.crc32(fixed))

    @classmethod
    def decode(cls, blob: bytes) -> "State":
        """Return the state of a blob.

        Raises:
            StateError: wrong length, damage, or a version this code does not know.
        """
        if len(blob) != _FIXED.size + _CRC.size:
            msg = f"state of {len(blob)} B"
            raise StateError(msg)
        fixed = blob[: _FIXED.size]
        magic, version, *values = _FIXED.unpack(fixed)
        if magic != _MAGIC or _CRC.unpack(blob[_FIXED.size :]) != (zlib.crc32(fixed),):
            msg = "state is torn or not ours"
            raise StateError(msg)
        if version != _VERSION:
            msg = f"state version {version}"
            raise StateError(msg)
        return cls(*values)
