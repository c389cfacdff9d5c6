"""STS tokens: what they say, how they become 20 digits, and what 20 digits say.

| class | subclass | kind | 16-bit field |
|---|---|---|---|
| 0 | 0..3 | electricity, water, gas, time credit | amount in tenths |
| 0 | 4..7 | the same four as currency | amount in 1e-5 currency units |
| 1 | 0, 1 | test and display, not encrypted | control and manufacturer, see `display_token` |
| 2 | 0, 6 | power limit, phase unbalance limit | amount in W |
| 2 | 1, 2, 5, 7 | clear credit, tariff rate, clear tamper, water factor | a number |
| 2 | 3, 4, 8, 9 | sections of a key change | see `key_change` |

Source: IEC 62055-41, tokens of classes 0 to 2; STS 202-5 for currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ohmesh.model.errors import PrepaymentError
from ohmesh.tokens import amounts, block
from ohmesh.tokens.block import DataBlock


class TokenKind(Enum):
    """Kinds with a TID, by (class, subclass)."""

    ELECTRICITY = (0, 0)
    WATER = (0, 1)
    GAS = (0, 2)
    TIME = (0, 3)
    ELECTRICITY_CURRENCY = (0, 4)
    WATER_CURRENCY = (0, 5)
    GAS_CURRENCY = (0, 6)
    TIME_CURRENCY = (0, 7)
    POWER_LIMIT = (2, 0)
    CLEAR_CREDIT = (2, 1)
    TARIFF_RATE = (2, 2)
    CLEAR_TAMPER = (2, 5)
    UNBALANCE_LIMIT = (2, 6)
    WATER_FACTOR = (2, 7)

    @property
    def token_class(self) -> int:
        """0 for credit, 2 for management."""
        return self.value[0]

    @property
    def subclass(self) -> int:
        """0..15."""
        return self.value[1]

    @property
    def is_currency(self) -> bool:
        """Whether the amount is money."""
        return self.token_class == 0 and self.subclass in block.CURRENCY_SUBCLASSES

    @property
    def is_amount(self) -> bool:
        """Whether the field has an exponent, so that values are rounded up."""
        return self.token_class == 0 or self in {TokenKind.POWER_LIMIT, TokenKind.UNBALANCE_LIMIT}


class BlockCipher(Protocol):
    """Encryption under one decoder key; blocks are integers of 64 bits."""

    def encrypt(self, block: int, /) -> int:
        """One block."""

    def decrypt(self, block: int, /) -> int:
        """The inverse of `encrypt`."""


@dataclass(frozen=True, slots=True)
class StsToken:
    """A token with a TID.

    Attributes:
        kind: what it does.
        tid: 24-bit identifier.
        amount: quantized; for kinds without an exponent the number itself, at exponent 0.
        rnd: 4 random bits, 0 in a currency token.
    """

    kind: TokenKind
    tid: int
    amount: amounts.Amount
    rnd: int

    def __post_init__(self) -> None:
        if not (0 <= self.tid < 1 << 24 and 0 <= self.rnd < 16):
            raise PrepaymentError("token_field", "a TID has 24 bits and a random number 4")

    @property
    def units(self) -> int:
        """The value that the meter will take: tenths, W, 1e-5 currency units, or a number."""
        return self.amount.units if self.kind.is_amount else self.field16

    @property
    def field16(self) -> int:
        """The 16 bits of the amount."""
        return self.amount.field16

    def data_block(self) -> DataBlock:
        """The block before its check."""
        four = self.amount.s_and_e if self.kind.is_currency else self.rnd
        body = four << 40 | self.tid << 16 | self.field16
        return DataBlock(self.kind.token_class, self.kind.subclass, body)


def make(kind: TokenKind, units: int, *, tid: int, rnd: int) -> StsToken:
    """A token of a value, rounded up. Raises PrepaymentError when it does not fit."""
    return StsToken(kind, tid, quantize(kind, units), 0 if kind.is_currency else rnd)


def quantize(kind: TokenKind, units: int) -> amounts.Amount:
    """The amount that a token of this kind can carry, not below `units`."""
    if kind.is_currency:
        return amounts.encode_currency(units)
    if kind.is_amount:
        return amounts.encode(units)
    if not 0 <= units < 1 << 16:
        raise PrepaymentError("token_field", f"{units} does not fit 16 bits")
    return amounts.decode(units)


def encode(token: StsToken, cipher: BlockCipher) -> str:
    """The 20 digits."""
    return seal(token.data_block(), cipher)


def seal(data: DataBlock, cipher: BlockCipher) -> str:
    """Any encrypted block as 20 digits."""
    return block.to_digits(data.token_class, cipher.encrypt(data.to_int()))


def unseal(digits: str, cipher: BlockCipher) -> DataBlock:
    """Take 20 digits apart. Raises PrepaymentError (token_format, token_crc)."""
    token_class, data = block.from_digits(digits)
    return block.parse(token_class, data if token_class == 1 else cipher.decrypt(data))


def read(data: DataBlock) -> StsToken:
    """The token in a block. Raises PrepaymentError(code="token_function") for other kinds."""
    try:
        kind = TokenKind((data.token_class, data.subclass))
    except ValueError:
        raise PrepaymentError("token_function", "a token of another kind") from None
    four, field16 = data.body >> 40, data.body & 0xFFFF
    amount = amounts.decode(field16, four if kind.is_currency else 0)
    return StsToken(kind, data.body >> 16 & 0xFFFFFF, amount, 0 if kind.is_currency else four)


_MANUFACTURER_BITS = {0: 8, 1: 16}


def display_block(subclass: int, control: int, manufacturer: int = 0) -> DataBlock:
    """A class 1 block: control bits, one a test, and a manufacturer's code of 2 or 4 digits.

    Args:
        subclass: 0 (36 control bits, 8-bit code) or 1 (28 control bits, 16-bit code).
        control: the bits of the tests to run.
        manufacturer: 0 for all.
    """
    bits = _MANUFACTURER_BITS.get(subclass)
    if bits is None or control >> 44 - bits or manufacturer >> bits:
        raise PrepaymentError("token_field", "no test token of the standard")
    return DataBlock(1, subclass, control << bits | manufacturer)


def display_token(subclass: int, control: int, manufacturer: int = 0) -> str:
    """The 20 digits of a test token; it is the same for every meter."""
    return block.to_digits(1, display_block(subclass, control, manufacturer).to_int())
