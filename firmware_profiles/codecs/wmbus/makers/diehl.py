"""Diehl (Hydrometer, Sappel): the water radio IZAR, protocol PRIOS (CI A0 to A2).

The payload behind four octets is whitened by a shift register of 32 bits. It starts from the
maker's published constant folded with twelve octets of the frame; a frame that comes out right
begins with 4B. Then follow the volume and that of the last month, 4 bytes each in litres, and the
date of the latter as type G.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles.codecs.mbus.makers import maker_code
from firmware_profiles.codecs.mbus.value import stamp
from firmware_profiles.codecs.wmbus.makers.made import made, unsigned

if TYPE_CHECKING:
    from firmware_profiles.codecs.mbus.records import Record
    from firmware_profiles.codecs.mbus.transport import Address

_MAKERS = frozenset(map(maker_code, ("SAP", "DME", "HYD")))
_STARTS = (0x39BC8A10 ^ 0xE66D83F8, 0x51728910 ^ 0xE66D83F8)
"""The two published start values."""
_CLEAR_BYTES, _VALUE_BYTES = 4, 11
_MARK = 0x4B
_WATER = 0x07
_HEAD_BYTES = 11


def _clear(payload: bytes, state: int) -> bytes:
    """Take the whitening off: eight steps of the register give the mask of an octet."""
    plain = bytearray()
    for octet in payload:
        for _ in range(8):
            bit = (state >> 1 ^ state >> 2 ^ state >> 11 ^ state >> 31) & 1
            state = (state << 1 | bit) & 0xFFFFFFFF
        plain.append(octet ^ state & 0xFF)
    return bytes(plain)


def _plain(head: bytes, payload: bytes) -> bytes | None:
    frame = head + payload
    fold = 0
    for at in (2, 6, 10):
        fold ^= int.from_bytes(frame[at : at + 4], "big")
    body = payload[_CLEAR_BYTES : _CLEAR_BYTES + _VALUE_BYTES]
    for start in _STARTS:
        plain = _clear(body, start ^ fold)
        if plain[0] == _MARK:
            return plain
    return None


def read(address: Address, head: bytes, payload: bytes) -> tuple[int, list[Record]] | None:
    """Device type and records of a PRIOS payload, None for another."""
    enough = len(head) == _HEAD_BYTES and len(payload) >= _CLEAR_BYTES + _VALUE_BYTES
    plain = _plain(head, payload) if address.manufacturer in _MAKERS and enough else None
    if plain is None:
        return None
    return _WATER, [
        made("0413", unsigned(plain, 1, 4)),
        made("4413", unsigned(plain, 5, 4)),
        made("426c", stamp(plain[9:11])),
    ]
