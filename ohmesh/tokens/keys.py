"""Decoder keys from vending keys: generation algorithms 02 (DES) and 04 (HMAC-SHA-256).

A decoder key belongs to one meter, supply group, tariff, key revision and base date. Keys are in
natural, big-endian order.

Source: IEC 62055-41, 6.5.3 (DKGA02, DKGA04).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens import des
from ohmesh.tokens.tid import BASE_YEARS

if TYPE_CHECKING:
    from ohmesh.tokens.pan import MeterPan

_DES_KEY_BYTES = 8
_HMAC_KEY_BYTES = 20


class Dkga(StrEnum):
    """Decoder key generation algorithms."""

    DES = "02"
    HMAC = "04"


class EncryptionAlgorithm(StrEnum):
    """How a token is encrypted: the STA, or MISTY1."""

    STA = "07"
    MISTY1 = "11"

    @property
    def key_bytes(self) -> int:
        """Length of a decoder key."""
        return 8 if self is EncryptionAlgorithm.STA else 16


class KeyType(IntEnum):
    """What a decoder key is for."""

    INITIALISATION = 0
    DEFAULT = 1
    UNIQUE = 2
    COMMON = 3


@dataclass(frozen=True, slots=True)
class KeyParams:
    """What a decoder key is derived from, beside the vending key.

    Attributes:
        pan: the meter.
        supply_group: 6 digits.
        tariff_index: 0..99.
        key_revision: 1..9.
        key_type: UNIQUE in everyday use.
        base_year: base date of the token identifiers.
    """

    pan: MeterPan
    supply_group: str
    tariff_index: int
    key_revision: int
    key_type: KeyType = KeyType.UNIQUE
    base_year: int = 2014

    def __post_init__(self) -> None:
        group = self.supply_group
        checks = {
            "supply group": len(group) == 6 and group.isascii() and group.isdigit(),
            "tariff index": 0 <= self.tariff_index <= 99,
            "key revision": 1 <= self.key_revision <= 9,
            "base date": self.base_year in BASE_YEARS,
        }
        wrong = [name for name, fits in checks.items() if not fits]
        if wrong:
            raise PrepaymentError("key_params", f"not of the standard: {', '.join(wrong)}")


def control_block(params: KeyParams) -> bytes:
    """DKGA02: KT 1 | SGC 6 | TI 2 | KRN 1 | FFFFFF, digits as nibbles."""
    p = params
    return bytes.fromhex(
        f"{p.key_type.value}{p.supply_group}{p.tariff_index:02d}{p.key_revision}ffffff"
    )


def kdf_input(ea: EncryptionAlgorithm, params: KeyParams) -> bytes:
    """DKGA04: the label, 00, the context, the length; each part a count of fields with lengths."""
    p = params
    label = (Dkga.HMAC.value, f"{p.base_year % 100:02d}", ea.value, f"{p.tariff_index:02d}")
    context = (p.supply_group, str(p.key_type.value), str(p.key_revision), str(p.pan))
    return _fields(label) + b"\x00" + _fields(context) + (8 * ea.key_bytes).to_bytes(4)


def derive(dkga: Dkga, ea: EncryptionAlgorithm, vending_key: bytes, params: KeyParams) -> bytes:
    """The decoder key: 8 bytes for the STA, 16 for MISTY1.

    Raises:
        PrepaymentError: a combination that the standard or our evidence does not cover.
    """
    if dkga is Dkga.DES:
        return _derive_des(ea, vending_key, params)
    if len(vending_key) != _HMAC_KEY_BYTES:
        raise PrepaymentError("vending_key", "DKGA04 takes a vending key of 20 bytes")
    if params.key_type is KeyType.COMMON:
        raise PrepaymentError("key_type", "DKGA04 with a common key has no published value")
    return hmac.digest(vending_key, kdf_input(ea, params), "sha256")[: ea.key_bytes]


def _derive_des(ea: EncryptionAlgorithm, vending_key: bytes, params: KeyParams) -> bytes:
    if ea is not EncryptionAlgorithm.STA or len(vending_key) != _DES_KEY_BYTES:
        raise PrepaymentError("vending_key", "DKGA02 makes keys of the STA from 8 bytes")
    pan = params.pan.block(common=params.key_type is KeyType.COMMON)
    mixed = _xor(pan, control_block(params))
    return _xor(_xor(des.encrypt(vending_key, mixed), mixed), vending_key)


def _fields(values: tuple[str, ...]) -> bytes:
    encoded = (len(value).to_bytes() + value.encode("ascii") for value in values)
    return len(values).to_bytes() + b"".join(encoded)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
