"""The meter's primary account number: who made it, which one it is, and two check digits.

18 digits: issuer 600727 + an 11-digit DRN, or issuer 0000 + a 13-digit DRN, then a Luhn digit over
all; the DRN's last digit is a Luhn digit of its own.

Source: IEC 62055-41, MeterPAN; ISO/IEC 7812 (Luhn).
"""

from __future__ import annotations

from dataclasses import dataclass

from ohmesh.model.errors import PrepaymentError

DIGITS = 18
_ISSUERS = ("600727", "0000")
_BLOCK_DIGITS = 16


def luhn_digit(digits: str) -> str:
    """The digit that completes a number."""
    doubled = (int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits)))
    return str(-sum(n // 10 + n % 10 for n in doubled) % 10)


def has_luhn_digit(digits: str) -> bool:
    """Whether the last digit is the right one."""
    return len(digits) > 1 and luhn_digit(digits[:-1]) == digits[-1]


@dataclass(frozen=True, slots=True)
class MeterPan:
    """A meter's number in its two parts; `iin` the issuer, `drn` the meter's own number."""

    iin: str
    drn: str

    @classmethod
    def parse(cls, pan: str) -> MeterPan:
        """Raises PrepaymentError(code="meter_pan") when a length or a check digit is wrong."""
        if len(pan) != DIGITS or not (pan.isascii() and pan.isdigit()):
            raise PrepaymentError("meter_pan", "a meter's number has 18 digits")
        issuer = next((i for i in _ISSUERS if pan.startswith(i)), None)
        if issuer is None:
            raise PrepaymentError("meter_pan", "the issuer is neither 600727 nor 0000")
        drn = pan[len(issuer) : -1]
        if not (has_luhn_digit(drn) and has_luhn_digit(pan)):
            raise PrepaymentError("meter_pan", "a check digit is wrong")
        return cls(issuer, drn)

    def __str__(self) -> str:
        number = self.iin + self.drn
        return number + luhn_digit(number)

    def block(self, *, common: bool = False) -> bytes:
        """The 16 digits of DKGA02: the issuer's end and the DRN; `common` keys zero the DRN."""
        drn = "0" * len(self.drn) if common else self.drn
        return bytes.fromhex((self.iin + drn).rjust(_BLOCK_DIGITS, "0")[-_BLOCK_DIGITS:])
