"""The 64-bit data block of an STS token, and the 66-bit number of 20 digits that carries it.

Data block, high bits first: subclass 4 | RND 4 | TID 24 | amount 16 | CRC 16. Other kinds lay out
the 44 bits between subclass and CRC in their own way.

The number is the block, encrypted except in class 1, with two bits taken out: bits 28 and 27 move
to 65 and 64, and the class takes their place.

The CRC is the reflected 0xA001 from 0xFFFF over seven bytes (6 zero bits, class 2, subclass 4,
44 bits), its two bytes swapped; currency credit appends the byte 0x01.

Source: IEC 62055-41, TokenData, CRC and TranspositionAndAddClassBits.
"""

from __future__ import annotations

from dataclasses import dataclass

from ohmesh.model.errors import PrepaymentError

DIGITS = 20
_NUMBER_BITS = 66
_BLOCK_MASK = (1 << 64) - 1
_CLASS_SHIFT = 27
_CLASS_MASK = 3 << _CLASS_SHIFT
_BODY_MASK = (1 << 44) - 1
CURRENCY_SUBCLASSES = range(4, 8)
_CRC_CURRENCY = b"\x01"


def _crc_entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value


_CRC_TABLE = tuple(_crc_entry(value) for value in range(256))


def crc16(data: bytes) -> int:
    """The check of an STS token over its bytes, already swapped."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return (crc & 0xFF) << 8 | crc >> 8


@dataclass(frozen=True, slots=True)
class DataBlock:
    """What a token says.

    Attributes:
        token_class: 0 credit, 1 test and display, 2 management.
        subclass: 0..15.
        body: the 44 bits between subclass and CRC.
    """

    token_class: int
    subclass: int
    body: int

    def to_int(self) -> int:
        """The 64-bit block with its CRC."""
        upper = self.subclass << 44 | self.body
        data = (self.token_class << 48 | upper).to_bytes(7)
        if self.token_class == 0 and self.subclass in CURRENCY_SUBCLASSES:
            data += _CRC_CURRENCY
        return upper << 16 | crc16(data)


def parse(token_class: int, block: int) -> DataBlock:
    """A decrypted block. Raises PrepaymentError(code="token_crc")."""
    parsed = DataBlock(token_class, block >> 60, block >> 16 & _BODY_MASK)
    if parsed.to_int() != block:
        raise PrepaymentError("token_crc", "the token's check does not agree")
    return parsed


def to_digits(token_class: int, block: int) -> str:
    """The 20 digits of a block that is encrypted already, or of class 1."""
    moved = (block & _CLASS_MASK) >> _CLASS_SHIFT << 64
    number = moved | block & ~_CLASS_MASK | token_class << _CLASS_SHIFT
    return f"{number:020d}"


def from_digits(digits: str) -> tuple[int, int]:
    """The class and the block as it was encrypted. Raises PrepaymentError(code="token_format")."""
    if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        raise PrepaymentError("token_format", "a token has 20 digits")
    number = int(digits)
    if number >> _NUMBER_BITS:
        raise PrepaymentError("token_format", "the token's number is too large")
    block = number & _BLOCK_MASK & ~_CLASS_MASK | number >> 64 << _CLASS_SHIFT
    return number >> _CLASS_SHIFT & 3, block
