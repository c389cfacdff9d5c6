"""Exact numbers: an integer mantissa and a decimal exponent, and how they meet a register."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from firmware_profiles.codecs.cursor import malformed
from ohmesh.model.reading import Quality, Reading

if TYPE_CHECKING:
    from datetime import datetime

    from ohmesh.model.reading import Register

_DIGITS_MAX = 40
_EXPONENT_MAX = 127
_INT64_MAX = (1 << 63) - 1
_TENS = tuple(10**n for n in range(_EXPONENT_MAX * 2 + 2))


def parse_number(text: str, offset: int = 0) -> tuple[int, int]:
    """The mantissa and exponent of a decimal text: `-0012.30` is (-1230, -2).

    Trailing zeros are kept, because they tell the resolution. Only ASCII digits, one sign in
    front and one point or comma are a number.

    Raises:
        DecodeError: MALFORMED for any other text.
    """
    body = text[1:] if text[:1] in {"-", "+"} else text
    whole, _, fraction = body.replace(",", ".", 1).partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > _DIGITS_MAX:
        raise malformed(f"{text[:_DIGITS_MAX]!r} is not a number", offset)
    mantissa = int(digits)
    return (-mantissa if text[0] == "-" else mantissa), -len(fraction)


@lru_cache(maxsize=4096)
def with_scaler(register: Register, scaler: int) -> Register:
    """The same register at another resolution."""
    return replace(register, scaler=scaler)


def to_register(
    register: Register, mantissa: int, exponent: int, offset: int = 0
) -> tuple[Register, int]:
    """Bring mantissa x 10**exponent, in the register's unit, to a register's integer value.

    Args:
        register: where the value belongs; its scaler is the wanted resolution.
        mantissa: any integer.
        exponent: decimal exponent of the source, -127..127.
        offset: position in the telegram, for the error.

    Returns:
        The register and the value at its scaler when that is exact; otherwise a register with
        the finer scaler of the source, so that nothing is rounded.

    Raises:
        DecodeError: MALFORMED when the value does not fit 64 bits.
    """
    shift = exponent - register.scaler
    if shift > 0:
        if shift >= len(_TENS):
            raise malformed(f"a decimal exponent of {exponent}", offset)
        mantissa *= _TENS[shift]
    elif shift < 0:
        if shift <= -len(_TENS):
            raise malformed(f"a decimal exponent of {exponent}", offset)
        quotient, left = divmod(mantissa, _TENS[-shift])
        if left:
            register = with_scaler(register, exponent)
        else:
            mantissa = quotient
    if not -_INT64_MAX <= mantissa <= _INT64_MAX:
        raise malformed("a value beyond 64 bits", offset)
    return register, mantissa


def reading(
    register: Register,
    number: tuple[int, int],
    time: datetime | None = None,
    quality: Quality = Quality.ACTUAL,
) -> Reading:
    """A reading of (mantissa, exponent) in the register's unit. Raises DecodeError."""
    fitted, value = to_register(register, *number)
    return Reading(fitted, value, time, quality)


def number_text(mantissa: int, exponent: int, *, whole_digits: int = 1) -> str:
    """Write mantissa x 10**exponent without an exponent: (1230, -2) is `12.30`.

    Args:
        mantissa: any integer.
        exponent: decimal exponent.
        whole_digits: least digits before the point, filled with zeros.
    """
    sign = "-" if mantissa < 0 else ""
    if exponent >= 0:
        return sign + str(abs(mantissa) * _TENS[exponent]).rjust(whole_digits, "0")
    digits = str(abs(mantissa)).rjust(whole_digits - exponent, "0")
    return f"{sign}{digits[:exponent]}.{digits[exponent:]}"
