"""IEEE 754 numbers <-> decimal ones, in integers alone.

A register holds 43663334H. As a binary number that is 230.20001220703125, but the meter, which
measures five digits, meant the shortest decimal that names the same bits: 230.20001. That is what
`decode` gives, and `encode` finds the bits nearest to a decimal number.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A binary format: bits of the fraction and of the exponent, and digits that tell all apart."""

    fraction: int
    exponent: int
    sure_digits: int
    digits_max: int

    @property
    def size(self) -> int:
        """Bytes."""
        return (1 + self.fraction + self.exponent) // 8

    @property
    def bias(self) -> int:
        """Of the exponent."""
        return (1 << self.exponent - 1) - 1


FLOAT32 = Format(fraction=23, exponent=8, sure_digits=6, digits_max=9)
FLOAT64 = Format(fraction=52, exponent=11, sure_digits=15, digits_max=17)


def decode(octets: bytes, form: Format) -> tuple[int, int] | None:
    """The shortest decimal (mantissa, exponent) of big-endian bytes; None for no number."""
    bits = int.from_bytes(octets, "big")
    exponent = bits >> form.fraction & (1 << form.exponent) - 1
    fraction = bits & (1 << form.fraction) - 1
    if exponent == (1 << form.exponent) - 1:
        return None
    mantissa = fraction | (1 << form.fraction if exponent else 0)
    if not mantissa:
        return 0, 0
    value, power = _shortest(mantissa, max(exponent, 1) - form.bias - form.fraction, form)
    return (-value if bits >> form.fraction + form.exponent else value), power


def encode(mantissa: int, exponent: int, form: Format) -> bytes | None:
    """The nearest bits to mantissa x 10**exponent; None when it is too large."""
    top, bottom = abs(mantissa) * 10 ** max(exponent, 0), 10 ** max(-exponent, 0)
    if not top:
        return bytes(form.size)
    power = max(top.bit_length() - bottom.bit_length() - form.fraction - 1, _lowest(form))
    fraction = _nearest(top << max(-power, 0), bottom << max(power, 0))
    while fraction >> form.fraction + 1:
        power += 1
        fraction = _nearest(top << max(-power, 0), bottom << max(power, 0))
    biased = power - _lowest(form) + 1 if fraction >> form.fraction else 0
    if biased >= (1 << form.exponent) - 1:
        return None
    bits = biased << form.fraction | fraction & (1 << form.fraction) - 1
    bits |= (mantissa < 0) << form.fraction + form.exponent
    return bits.to_bytes(form.size, "big")


def _lowest(form: Format) -> int:
    """The power of two of the last fraction bit in the smallest numbers."""
    return 1 - form.bias - form.fraction


def _nearest(top: int, bottom: int) -> int:
    """Top / bottom, rounded half to even."""
    quotient, left = divmod(top, bottom)
    return quotient + (2 * left > bottom or (2 * left == bottom and quotient & 1))


def _shortest(mantissa: int, power: int, form: Format) -> tuple[int, int]:
    """The shortest decimal within half a unit of mantissa x 2**power.

    All numbers of `sure_digits` digits differ as binary numbers, so shorter ones need no search:
    they are that one without its zeros.
    """
    top, bottom = mantissa << max(power, 0), 1 << max(-power, 0)
    magnitude = len(str(top // bottom)) if top >= bottom else -len(str(bottom // top)) + 1
    for digits in range(form.sure_digits, form.digits_max + 2):
        exponent = magnitude - digits
        scaled_top = top * 10 ** max(-exponent, 0)
        scaled_bottom = bottom * 10 ** max(exponent, 0)
        decimal = _nearest(scaled_top, scaled_bottom)
        # |decimal - value| against half a unit of the last bit, all times 2 x mantissa. Below a
        # power of two the units are half as large; a tie goes to the even mantissa.
        gap = 4 if mantissa == 1 << form.fraction else 2
        off = abs(decimal * scaled_bottom - scaled_top) * gap * mantissa
        if off < scaled_top + (1 - mantissa % 2) or digits > form.digits_max:
            break
    while decimal % 10 == 0:
        decimal, exponent = decimal // 10, exponent + 1
    return decimal, exponent
