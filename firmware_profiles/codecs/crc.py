"""The 16-bit checks of meter telegrams, without a loop over bytes.

A CRC is the remainder of the message, read as a polynomial over GF(2), by a generator. Reflected
CRCs (lowest bit first) are computed on bit-reversed bytes and reversed back at the end.
"""

from __future__ import annotations

from binascii import crc_hqx

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_SHIFTS = tuple(1 << k for k in range(20, -1, -1))
_X25_REMAINDER = 0x1D0F
_X15 = 0x8003
"""x^15 + x + 1."""


def _reverse16(value: int) -> int:
    return _REVERSED[value & 0xFF] << 8 | _REVERSED[value >> 8]


def crc16_x25(data: bytes) -> int:
    """CRC-16/X.25, the FCS and HCS of HDLC and the check of SML and DL/T 698 (ISO/IEC 13239).

    On the wire its low byte comes first. It is CRC-CCITT, which the standard library has, of the
    bit-reversed bytes.
    """
    return _reverse16(crc_hqx(data.translate(_REVERSED), 0xFFFF)) ^ 0xFFFF


def x25_fits(octets: bytes) -> bool:
    """Whether octets end in the CRC-16/X.25, low byte first, of all that stands before it.

    Computed over both, it leaves the same remainder whatever they are.
    """
    return crc_hqx(octets.translate(_REVERSED), 0xFFFF) == _X25_REMAINDER


def crc16_kermit(data: bytes) -> int:
    """CRC-16/KERMIT: as CRC-16/X.25, but from 0 and not inverted; some Holley meters' SML."""
    return _reverse16(crc_hqx(data.translate(_REVERSED), 0))


def _mod_x15(value: int) -> int:
    """Remainder of a polynomial by x^15 + x + 1.

    Squaring in GF(2) spreads exponents: (x^15 + x + 1)^m = x^(15m) + x^m + 1 for m a power of two.
    So everything above x^(15m) folds onto x^m + 1 in one step on the whole integer, and halving m
    from the largest needs one or two such steps a level.
    """
    length = value.bit_length()
    for shift in _SHIFTS:
        low_bits = 15 * shift
        while length > low_bits:
            high = value >> low_bits
            value = value & ((1 << low_bits) - 1) ^ high << shift ^ high
            length = value.bit_length()
    return value


def _entry_8005(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ (0xA001 if octet & 1 else 0)
    return octet


_8005 = tuple(map(_entry_8005, range(256)))
_SHORT_BYTES = 64
"""Up to here a table, octet by octet, is the faster way."""


def _crc16_8005(data: bytes, initial: int) -> int:
    """Reflected CRC by x^16 + x^15 + x^2 + 1 = (x + 1)(x^15 + x + 1).

    The remainder by x + 1 is the parity of the bits; both remainders give the one by the product.
    """
    if len(data) <= _SHORT_BYTES:
        value = initial
        for octet in data:
            value = value >> 8 ^ _8005[(value ^ octet) & 0xFF]
        return value
    message = int.from_bytes(data.translate(_REVERSED), "big") << 16
    message ^= initial << (8 * len(data))
    remainder = _mod_x15(message)
    if (remainder.bit_count() ^ message.bit_count()) & 1:
        remainder ^= _X15
    return _reverse16(remainder)


def crc16_arc(data: bytes) -> int:
    """CRC-16/ARC, the check of DSMR P1 telegrams (polynomial 8005 reflected, initial value 0)."""
    return _crc16_8005(data, 0)


def crc16_modbus(data: bytes) -> int:
    """CRC-16/MODBUS; on the wire its low byte comes first."""
    return _crc16_8005(data, 0xFFFF)


def _en13757_entry(octet: int) -> int:
    value = octet << 8
    for _ in range(8):
        value = value << 1 ^ (0x3D65 if value & 0x8000 else 0)
    return value & 0xFFFF


_EN13757 = tuple(map(_en13757_entry, range(256)))


def crc16_en13757(data: bytes) -> int:
    """The check of wireless M-Bus blocks, payloads and compact frames (EN 13757-4, 12.5.1).

    Polynomial 3D65, initial value 0, complemented; for messages of at most a few hundred bytes.
    """
    value = 0
    for octet in data:
        value = value << 8 & 0xFFFF ^ _EN13757[value >> 8 ^ octet]
    return value ^ 0xFFFF
