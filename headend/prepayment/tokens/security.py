"""The security module: the only place that holds vending keys and encrypts tokens.

A production system drives a certified module behind `SecurityModule`. `StsSoftTest` is a software
module for tests and demonstrations: it holds the published test keys alone and refuses any supply
group that is not a test group, so that no real token can come out of it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens import keys
from ohmesh.tokens.ciphers import DecoderCiphers

if TYPE_CHECKING:
    from ohmesh.tokens.keys import Dkga, EncryptionAlgorithm, KeyParams
    from ohmesh.tokens.sts import BlockCipher

TEST_SUPPLY_GROUPS = frozenset({"123456", "123457"})
"""The supply groups of the published compliance tests."""
TEST_KEYS = {
    "test-des": bytes.fromhex("abababababababab"),
    "test-hmac": bytes.fromhex("abababababababab949494949494949401234567"),
}
"""Key reference -> the vending keys of the published compliance tests."""


@dataclass(frozen=True, slots=True)
class KeyHandle:
    """A decoder key inside a module, by a name that says nothing about it."""

    id: str
    ea: EncryptionAlgorithm


class SecurityModule(Protocol):
    """What a module does. Errors: PrepaymentError; `module_down` when it cannot be reached."""

    def derive(
        self, dkga: Dkga, ea: EncryptionAlgorithm, key_ref: str, params: KeyParams
    ) -> KeyHandle:
        """A decoder key for one meter; the key itself stays inside."""

    def encrypt(self, key: KeyHandle, block: int) -> int:
        """One 64-bit block."""

    def decrypt(self, key: KeyHandle, block: int) -> int:
        """The inverse of `encrypt`."""


class StsSoftTest:
    """A module in software: test keys, test supply groups, sample tables."""

    def __init__(self, ciphers: DecoderCiphers | None = None) -> None:
        self._ciphers = ciphers or DecoderCiphers()
        self._keys: dict[str, BlockCipher] = {}

    def derive(
        self, dkga: Dkga, ea: EncryptionAlgorithm, key_ref: str, params: KeyParams
    ) -> KeyHandle:
        """Raises PrepaymentError(code="real_supply_group") for all but the test groups."""
        if params.supply_group not in TEST_SUPPLY_GROUPS:
            raise PrepaymentError(
                "real_supply_group", "the software module serves test supply groups alone"
            )
        vending_key = TEST_KEYS.get(key_ref)
        if vending_key is None:
            raise PrepaymentError("vending_key", f"no test key is named {key_ref!r}")
        name = f"{dkga}/{ea}/{key_ref}/{_name(params)}"
        if name not in self._keys:
            self._keys[name] = self._ciphers.cipher(ea, keys.derive(dkga, ea, vending_key, params))
        return KeyHandle(name, ea)

    def encrypt(self, key: KeyHandle, block: int) -> int:
        """Raises PrepaymentError for a handle that this module did not give."""
        return self._cipher(key).encrypt(block)

    def decrypt(self, key: KeyHandle, block: int) -> int:
        """The inverse of `encrypt`."""
        return self._cipher(key).decrypt(block)

    def _cipher(self, key: KeyHandle) -> BlockCipher:
        cipher = self._keys.get(key.id)
        if cipher is None:
            raise PrepaymentError("key_handle", "the module does not know this key")
        return cipher


TEST_DEVICES = "ffffff"
"""EUI-64s with these first digits belong to no maker."""


class UtrnSoftTest:
    """MACs of GB top-up numbers in software: HMAC-SHA-256 instead of GBCS, for test devices alone.

    No meter takes such a number; a supplier puts its own module behind `MacModule`.
    """

    def check(self, device: str) -> None:
        """Raises PrepaymentError(code="real_device") for all but the test devices."""
        if not device.startswith(TEST_DEVICES):
            raise PrepaymentError("real_device", "the software module serves test devices alone")

    def mac(self, device: str, counter: int, body: int) -> int:
        """32 bits."""
        self.check(device)
        text = bytes.fromhex(device) + counter.to_bytes(8, "big") + body.to_bytes(4, "big")
        return int.from_bytes(hmac.digest(TEST_KEYS["test-hmac"], text, "sha256")[:4], "big")


def _name(params: KeyParams) -> str:
    p = params
    return (
        f"{p.pan.iin}{p.pan.drn}/{p.supply_group}/{p.tariff_index}/{p.key_revision}"
        f"/{p.key_type.value}/{p.base_year}"
    )
