"""CRC-16 in the reflected forms of field lines: what tells a whole answer from a broken one."""

from __future__ import annotations

from functools import cache


@cache
def _table(polynomial: int) -> tuple[int, ...]:
    return tuple(_shifted(byte, polynomial) for byte in range(256))


def _shifted(value: int, polynomial: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (polynomial if value & 1 else 0)
    return value


def _crc16(octets: bytes, polynomial: int, value: int) -> int:
    table = _table(polynomial)
    for octet in octets:
        value = value >> 8 ^ table[(value ^ octet) & 0xFF]
    return value


def crc16_arc(octets: bytes) -> int:
    """Of P1."""
    return _crc16(octets, 0xA001, 0)


def crc16_x25(octets: bytes) -> int:
    """Of HDLC and SML."""
    return _crc16(octets, 0x8408, 0xFFFF) ^ 0xFFFF
