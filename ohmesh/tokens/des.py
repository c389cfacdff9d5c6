"""Single-key DES, for decoder key generation algorithm 02 only.

A 56-bit key is no protection today. It stands here because meters in service have decoder keys
that were derived with it; nothing else may import this module, and new supply groups take DKGA04.
The library offers triple DES: three equal keys make it single DES.
"""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes


def encrypt(key: bytes, block: bytes) -> bytes:
    """One 8-byte block under one 8-byte key; parity bits are ignored."""
    cipher = Cipher(TripleDES(key * 3), modes.ECB())  # noqa: S305 - one block: no mode at all
    encryptor = cipher.encryptor()
    return encryptor.update(block) + encryptor.finalize()
