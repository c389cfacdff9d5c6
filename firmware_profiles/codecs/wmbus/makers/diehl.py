"""Diehl (Hydrometer, Sappel): payloads whitened by a shift register of 32 bits.

The register starts from the maker's published constant folded with twelve octets of the frame,
and whitens what stands behind offset 15.

    IZAR water radio, protocol PRIOS (CI A0 to A2)   the clear octets begin with 4B; then follow
        the volume and that of the last month, 4 bytes each in litres, and the date of the latter
        as type G
    heat meters (CI 7A)   the clear octets are ordinary records; the second octet of the
        configuration field is their sum (bit 4 apart)

In the link address version and type stand before the identification, except in Sappel's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus.makers import maker_code
from firmware_profiles.codecs.mbus.transport import Address
from firmware_profiles.codecs.mbus.value import stamp
from firmware_profiles.codecs.wmbus.makers.made import made, unsigned

if TYPE_CHECKING:
    from firmware_profiles.codecs.mbus.records import Record

_SAPPEL = maker_code("SAP")
_MAKERS = frozenset((_SAPPEL, maker_code("DME"), maker_code("HYD")))
_STARTS = (0x39BC8A10 ^ 0xE66D83F8, 0x51728910 ^ 0xE66D83F8)
"""The two published start values."""
_CLEAR_BYTES, _VALUE_BYTES = 4, 11
_MARK = 0x4B
_WATER = 0x07
_HEAD_BYTES = 11
_BODY_START, _SHORT_HEADER = 15, 0x7A
_SUM_AT, _SUM_MASK = 14, 0xEF


def _eight_steps(state: int) -> int:
    """The register eight steps on."""
    for _ in range(8):
        bit = (state >> 1 ^ state >> 2 ^ state >> 11 ^ state >> 31) & 1
        state = (state << 1 | bit) & 0xFFFFFFFF
    return state


@cache
def _tables() -> tuple[tuple[int, ...], ...]:
    """Eight steps of each octet of the register; they are linear, so the octets' steps add up."""
    return tuple(
        tuple(_eight_steps(octet << shift) for octet in range(256)) for shift in (0, 8, 16, 24)
    )


def _clear(payload: bytes, state: int) -> bytes:
    """Take the whitening off: eight steps of the register give the mask of an octet."""
    low, second, third, high = _tables()
    plain = bytearray()
    for octet in payload:
        state = (
            low[state & 0xFF]
            ^ second[state >> 8 & 0xFF]
            ^ third[state >> 16 & 0xFF]
            ^ high[state >> 24]
        )
        plain.append(octet ^ state & 0xFF)
    return bytes(plain)


def _starts(frame: bytes) -> list[int]:
    """What the register may start from: each constant folded with the octets 2 to 13."""
    fold = 0
    for at in (2, 6, 10):
        fold ^= int.from_bytes(frame[at : at + 4], "big")
    return [start ^ fold for start in _STARTS]


def _plain(head: bytes, payload: bytes) -> bytes | None:
    body = payload[_CLEAR_BYTES : _CLEAR_BYTES + _VALUE_BYTES]
    for start in _starts(head + payload):
        plain = _clear(body, start)
        if plain[0] == _MARK:
            return plain
    return None


def open_records(address: Address, data: bytes) -> tuple[Address, bytes] | None:
    """The meter's address and its records in the clear; None for a frame of another kind.

    Args:
        address: as the link layer has it.
        data: a radio frame whose CI field stands at offset 10.
    """
    whitened = data[_HEAD_BYTES - 1] == _SHORT_HEADER and len(data) > _BODY_START
    if address.manufacturer not in _MAKERS or not whitened:
        return None
    for start in _starts(data):
        plain = _clear(data[_BODY_START:], start)
        if (sum(plain) ^ data[_SUM_AT]) & _SUM_MASK == 0:
            return _turned(address), plain
    return None


def _turned(address: Address) -> Address:
    """The address of a link layer that has version and type before the identification."""
    octets = address.link_octets[2:]
    return Address(octets[2:], address.manufacturer, version=octets[0], device_type=octets[1])


def read(address: Address, head: bytes, payload: bytes) -> tuple[Address, list[Record]] | None:
    """The address by the standard and the records; None for a foreign payload."""
    enough = len(head) == _HEAD_BYTES and len(payload) >= _CLEAR_BYTES + _VALUE_BYTES
    plain = _plain(head, payload) if address.manufacturer in _MAKERS and enough else None
    if plain is None:
        return None
    ordered = address if address.manufacturer == _SAPPEL else _turned(address)
    return replace(ordered, device_type=_WATER), [
        made("0413", unsigned(plain, 1, 4)),
        made("4413", unsigned(plain, 5, 4)),
        made("426c", stamp(plain[9:11])),
    ]
