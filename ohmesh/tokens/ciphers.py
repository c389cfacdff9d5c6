"""Decoder keys to block ciphers: EA07 by the Standard Transfer Algorithm, EA11 by MISTY1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens.keys import EncryptionAlgorithm
from ohmesh.tokens.misty1 import Misty1
from ohmesh.tokens.sta import SAMPLE_TABLES, Sta, StaTables

if TYPE_CHECKING:
    from ohmesh.tokens.sts import BlockCipher


class DecoderCiphers:
    """Decoder keys to ciphers, with one set of STA tables."""

    def __init__(self, tables: StaTables = SAMPLE_TABLES) -> None:
        self._sta = Sta(tables)

    def cipher(self, ea: EncryptionAlgorithm, key: bytes) -> BlockCipher:
        """The cipher of a decoder key. Raises PrepaymentError for a key of the wrong length."""
        if len(key) != ea.key_bytes:
            raise PrepaymentError("key_params", f"a key of EA{ea} has {ea.key_bytes} bytes")
        return Misty1(key) if ea is EncryptionAlgorithm.MISTY1 else _StaCipher(self._sta, key)


class _StaCipher:
    __slots__ = ("_key", "_sta")

    def __init__(self, sta: Sta, key: bytes) -> None:
        self._sta = sta
        self._key = int.from_bytes(key)

    def encrypt(self, block: int) -> int:
        return self._sta.encrypt(self._key, block)

    def decrypt(self, block: int) -> int:
        return self._sta.decrypt(self._key, block)
