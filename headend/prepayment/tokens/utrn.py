"""The number of a GB smart prepayment top-up: how its 64 bits and 19 digits are laid out.

    lead 3 | subclass 4 | truncated originator counter 10 | value class 2 | value 13 | MAC 32

The offset that is added makes the number start with 73..96, so that it never looks like an STS
token. We model the number alone: the supplier's MAC comes from outside, and the 20th digit of the
printed number, a check digit, is not made here.

Source: SMETS2 prepayment top-up token, as printed in a meter's manual (PPTD and PTUT layout).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ohmesh.model.errors import PrepaymentError

OFFSET = 7_394_156_990_786_306_048
DIGITS = 19
_COUNTER_BITS, _VALUE_BITS, _MAC_BITS = 10, 13, 32
COUNTERS = 1 << _COUNTER_BITS
"""The number carries the counter modulo this."""


class ValueClass(IntEnum):
    """The unit of the value."""

    PENCE = 0
    POUNDS = 1


@dataclass(frozen=True, slots=True)
class TopUpToken:
    """A top-up: `counter` 0..1023, `value` 0..8191 pence or pounds, the supplier's `mac`."""

    counter: int
    value_class: ValueClass
    value: int
    mac: int

    def __post_init__(self) -> None:
        fits = (
            0 <= self.counter < 1 << _COUNTER_BITS
            and 0 <= self.value < 1 << _VALUE_BITS
            and 0 <= self.mac < 1 << _MAC_BITS
        )
        if not fits:
            raise PrepaymentError("token_field", "a field of the top-up token is out of its range")

    @property
    def body(self) -> int:
        """The upper 32 bits, which the MAC is over."""
        value = self.value_class << _VALUE_BITS | self.value
        return self.counter << _VALUE_BITS + 2 | value

    def to_int(self) -> int:
        """The 64-bit number."""
        return self.body << _MAC_BITS | self.mac

    def to_digits(self) -> str:
        """The 19 digits before the check digit."""
        return str(self.to_int() + OFFSET)

    @classmethod
    def from_digits(cls, digits: str) -> TopUpToken:
        """The inverse of `to_digits`. Raises PrepaymentError(code="token_format")."""
        if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
            raise PrepaymentError("token_format", "a top-up number has 19 digits")
        number = int(digits) - OFFSET
        if not 0 <= number < 1 << 57 or number >> 45 & 3 > max(ValueClass):
            raise PrepaymentError("token_format", "the digits are no top-up number")
        upper, mac = number >> _MAC_BITS, number & (1 << _MAC_BITS) - 1
        return cls(
            upper >> _VALUE_BITS + 2,
            ValueClass(upper >> _VALUE_BITS & 3),
            upper & (1 << _VALUE_BITS) - 1,
            mac,
        )
