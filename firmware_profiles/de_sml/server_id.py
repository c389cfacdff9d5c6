"""The server id of a meter: its device number of DIN 43863-5 in ten bytes, or whatever it sends.

    offset  size
    0       1     0A, in older meters 09: the length or the medium's table
    1       1     medium, 01 electricity
    2       3     maker, FLAG letters
    5       1     block of manufacture
    6       4     number, big-endian, eight decimal digits

`0A 01 454D48 00 00BC614E` is the number 1EMH0012345678 that is printed on the meter.
"""

from __future__ import annotations

import re

_LEADS = (0x0A, 0x09)
_NUMBER_MAX = 99_999_999
_TEXT = re.compile(r"1([A-Z]{3})([0-9A-F]{2})(\d{8})")
_DVS74_NUMBERS = (range(42_000_000, 49_000_000), range(55_000_000, 59_000_000))


def octets_text(octets: bytes) -> str:
    """Printable ASCII as it is, other bytes in hex."""
    if octets and octets.isascii():
        text = octets.decode("ascii")
        if text.isprintable():
            return text
    return octets.hex()


def device_number(server: bytes) -> str:
    """The number printed on the meter; the bytes as text when they are no such number."""
    if len(server) != 10 or server[0] not in _LEADS or server[1] != 1:
        return octets_text(server)
    maker, number = server[2:5], int.from_bytes(server[6:], "big")
    if not (maker.isalpha() and maker.isupper()) or number > _NUMBER_MAX:
        return octets_text(server)
    return f"1{maker.decode('ascii')}{server[5]:02X}{number:08d}"


def server_id(number: str) -> bytes:
    """The bytes for a meter's number, the inverse of `device_number`."""
    match = _TEXT.fullmatch(number)
    if not match:
        return number.encode("utf-8")
    maker, block, digits = match.groups()
    head = b"\x0a\x01" + maker.encode("ascii") + bytes.fromhex(block)
    return head + int(digits).to_bytes(4, "big")


def drops_sign_byte(server: bytes) -> bool:
    """Whether this meter writes positive powers as signed numbers one byte too short.

    DZG DVS74 below firmware 1.2; the maker names these ranges of its numbers (libsml, pull
    request 136).
    """
    if server[:6] != b"\x0a\x01DZG\x00" or len(server) != 10:
        return False
    number = int.from_bytes(server[6:], "big")
    return any(number in numbers for numbers in _DVS74_NUMBERS)
