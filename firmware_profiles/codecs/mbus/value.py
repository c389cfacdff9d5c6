"""Data fields: binary, BCD, real and variable-length values, dates and times (annexes A and C).

Every reader takes the bytes of one data field, least significant first, and gives None for what
the standard calls invalid.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from firmware_profiles.codecs.cursor import unsupported

REAL_PLACES = 6
"""Decimal places that a real keeps below its exponent; a single has seven digits at most."""
_REAL_SCALE = 1_000_000
_REAL_SPECIAL = 255


@dataclass(frozen=True, slots=True)
class Stamp:
    """A meter's own date and time.

    Attributes:
        local: without a zone; the start of the day when only the date is given.
        date_only: types G.
        summer: the meter says that summer time is in force (type F and I).
        invalid: the meter says that its clock is not to be trusted.
    """

    local: datetime
    date_only: bool = False
    summer: bool = False
    invalid: bool = False

    def __str__(self) -> str:
        return self.local.date().isoformat() if self.date_only else self.local.isoformat()


Value = int | str | Stamp | None


def signed(data: bytes) -> int | None:
    """Type B: two's complement; the most negative value means that there is none."""
    value = int.from_bytes(data, "little", signed=True)
    lowest = -(1 << (8 * len(data) - 1))
    return None if value == lowest else value


def unsigned(data: bytes) -> int:
    """Types C and D: unsigned integer and bit field."""
    return int.from_bytes(data, "little")


def bcd(data: bytes) -> int | None:
    """Type A: digits, a hex F in front for minus. Any other hex digit makes it invalid."""
    digits = data[::-1].hex()
    if digits.isdecimal():
        return int(digits)
    if digits[:1] == "f" and digits[1:].isdecimal():
        return -int(digits[1:])
    return None


def real(data: bytes) -> int | None:
    """Type H, IEEE 754 single: the value in 10**-REAL_PLACES, rounded to the nearest."""
    bits = int.from_bytes(data, "little")
    exponent, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == _REAL_SPECIAL:
        return None
    mantissa = (fraction | 0x800000 if exponent else fraction) * _REAL_SCALE
    shift = 150 - max(exponent, 1)
    value = mantissa << -shift if shift <= 0 else (mantissa + (1 << shift - 1)) >> shift
    return -value if bits >> 31 else value


def label(data: bytes) -> str:
    """Digits of a name, most significant first."""
    return data[::-1].hex().upper()


def _moment(
    date: bytes, century: int, hour: int = 0, minute: int = 0, second: int = 0
) -> datetime | None:
    """The local time of a two-byte date and a time of day; None when there is none such."""
    try:
        return datetime(  # noqa: DTZ001 - a meter's local time
            century + _year(date), date[1] & 0x0F, date[0] & 0x1F, hour, minute, second
        )
    except ValueError:
        return None


def _year(date: bytes) -> int:
    return date[0] >> 5 | (date[1] & 0xF0) >> 1


def _century(date: bytes) -> int:
    """Two-digit years 0 to 80 are of this century."""
    return 2000 if _year(date) <= 80 else 1900


def _date(data: bytes) -> Stamp | None:
    """Type G: day 5 bits, year 7 bits in two parts, month 4 bits."""
    local = _moment(data, _century(data))
    return Stamp(local, date_only=True) if local else None


def _date_time(data: bytes) -> Stamp | None:
    """Type F: minute, hour, then a date; flags for invalid, summer time and the century."""
    date, hundreds = data[2:], data[1] >> 5 & 3
    century = 1900 + 100 * hundreds if hundreds else _century(date)
    local = _moment(date, century, data[1] & 0x1F, data[0] & 0x3F)
    if local is None:
        return None
    return Stamp(local, summer=bool(data[1] & 0x80), invalid=bool(data[0] & 0x80))


def _date_time_seconds(data: bytes) -> Stamp | None:
    """Type I: second, minute, hour with weekday, date, week."""
    local = _moment(data[3:], 2000, data[2] & 0x1F, data[1] & 0x3F, data[0] & 0x3F)
    if local is None:
        return None
    return Stamp(local, summer=bool(data[0] & 0x80), invalid=bool(data[1] & 0x80))


def _time_of_day(data: bytes) -> str | None:
    """Type J: second, minute, hour."""
    second, minute, hour = data[0] & 0x3F, data[1] & 0x3F, data[2] & 0x1F
    valid = second < 60 and minute < 60 and hour < 24
    return f"{hour:02}:{minute:02}:{second:02}" if valid else None


_STAMPS = {2: _date, 3: _time_of_day, 4: _date_time, 6: _date_time_seconds}


def stamp(data: bytes) -> Value:
    """A date or time by the size of its field; other sizes stay hex text."""
    read = _STAMPS.get(len(data))
    return read(data) if read else label(data)


def text(data: bytes) -> str:
    """Characters of ISO 8859-1, last character first; hex when one is not printable."""
    plain = data[::-1].decode("latin-1").strip("\0 ")
    return plain if plain.isprintable() else label(data)


def variable_size(lvar: int, offset: int) -> int:
    """Bytes behind an LVAR octet. Raises DecodeError(UNSUPPORTED) for a reserved one."""
    if lvar < 0xC0:
        return lvar
    if lvar & 0xF0 in {0xC0, 0xD0, 0xE0} and lvar & 0x0F <= 9 + 6 * (lvar >> 5 & 1):
        return lvar & 0x0F
    if 0xF0 <= lvar <= 0xF4:
        return 4 * (lvar - 0xEC)
    if lvar in {0xF5, 0xF6}:
        return 48 + 16 * (lvar - 0xF5)
    raise unsupported(f"a variable length of {lvar:02X}", offset)


def variable(field: bytes) -> Value:
    """A field behind its LVAR octet: text, BCD of either sign or binary."""
    lvar, data = field[0], field[1:]
    if lvar < 0xC0:
        return text(data)
    if lvar < 0xE0:
        digits = data[::-1].hex()
        if not digits.isdecimal():
            return None
        return int(digits) if lvar < 0xD0 else -int(digits)
    return signed(data) if lvar < 0xF0 and 0 < len(data) <= 8 else label(data)
