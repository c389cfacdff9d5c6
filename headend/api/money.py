"""Money between mu (1e-5 of a currency unit) and a currency's minor unit. Integers only."""

from __future__ import annotations

from typing import Final

MU_DIGITS: Final = 5
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"
MINOR_DIGITS: Final = {
    code: digits
    for digits, codes in ((0, _NONE), (3, _THREE), (4, _FOUR))
    for code in codes.split()
}
"""ISO 4217 minor-unit digits of the currencies that do not have 2."""


def minor_digits(currency: str) -> int:
    """Digits behind the point of a currency: 2 for EUR, 0 for KRW."""
    return MINOR_DIGITS.get(currency, 2)


def mu_per_minor(currency: str) -> int:
    """How many mu one minor unit (a cent) is."""
    return int(10 ** (MU_DIGITS - minor_digits(currency)))


def format_mu(amount_mu: int, currency: str) -> str:
    """An amount for people: `-12.34 EUR`; a rest below the minor unit goes towards minus infinity.

    Source: prepayment rules, displayed balance truncates downwards.
    """
    digits = minor_digits(currency)
    minor = amount_mu // mu_per_minor(currency)
    sign, size = ("\u2212" if minor < 0 else ""), abs(minor)
    whole, rest = divmod(size, 10**digits)
    grouped = f"{whole:,}".replace(",", "\u202f")
    fraction = f".{rest:0{digits}d}" if digits else ""
    return f"{sign}{grouped}{fraction} {currency}"


def format_price(price_mu: int, currency: str) -> str:
    """A price for people, exact: `0.285 EUR`; at least the minor unit's digits."""
    whole, rest = divmod(price_mu, 10**MU_DIGITS)
    fraction = f"{rest:0{MU_DIGITS}d}".rstrip("0").ljust(minor_digits(currency), "0")
    return f"{whole}{'.' if fraction else ''}{fraction} {currency}"
