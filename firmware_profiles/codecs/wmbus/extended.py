"""The extended link layer (EN 13757-4, 13.2).

    8C   CC 1 | ACC 1
    8D   CC 1 | ACC 1 | SN 4 | payload check 2
    8E   CC 1 | ACC 1 | M2 2 | A2 6
    8F   CC 1 | ACC 1 | M2 2 | A2 6 | SN 4 | payload check 2

CC is the communication control, ACC an access number, M2 and A2 the address of the receiver, SN
the session number. The three highest bits of SN tell the encryption: 0 none, 1 AES-128-CTR from
the payload check on. The counter block is M 2 | A 6 | CC 1 | SN 4 | frame number 2 | block 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_profiles.codecs.crc import crc16_en13757
from firmware_profiles.codecs.cursor import bad_checksum, unsupported
from firmware_profiles.codecs.mbus.records import truncated
from firmware_profiles.codecs.mbus.security import check_key, key_error, open_ctr

_SHORT, _SESSION, _RECEIVER, _RECEIVER_SESSION = 0x8C, 0x8D, 0x8E, 0x8F
_HEAD_BYTES = {_SHORT: 2, _SESSION: 6, _RECEIVER: 10, _RECEIVER_SESSION: 14}
"""Octets behind the CI field, the payload check not counted."""
CI_FIELDS = frozenset(_HEAD_BYTES)
_CHECK_BYTES = 2
_SESSION_BYTES = 4
_PLAIN, _CTR = 0, 1


@dataclass(frozen=True, slots=True)
class Extended:
    """An extended link layer.

    Attributes:
        data: the telegram, its payload in the clear.
        access: access number.
        start: offset of the next CI field.
    """

    data: bytes
    access: int
    start: int


def _valid(payload: bytes) -> bool:
    """Whether a payload begins with the check of its rest."""
    check = crc16_en13757(payload[_CHECK_BYTES:])
    return check.to_bytes(2, "little") == payload[:_CHECK_BYTES]


def _open(payload: bytes, vector: bytes, key: bytes | None, at: int) -> bytes:
    """An encrypted payload in the clear; a receiver that holds the key may have opened it."""
    if key is None:
        if _valid(payload):
            return payload
        raise key_error("the session is encrypted and no key is given", at)
    plain = open_ctr(check_key(key), vector, payload)
    if not _valid(plain):
        raise key_error("the decrypted payload does not fit its check; the key is wrong", at)
    return plain


def _payload(data: bytes, at: int, session: bytes, *, key: bytes | None, verify: bool) -> bytes:
    encryption = session[3] >> 5
    if encryption == _CTR:
        vector = data[2:10] + data[11:12] + session + bytes(3)
        return _open(data[at:], vector, key, at)
    if encryption != _PLAIN:
        raise unsupported(f"encryption {encryption} of the extended link layer", at)
    if verify and not _valid(data[at:]):
        raise bad_checksum("the payload does not fit its check", at)
    return data[at:]


def read_extended(data: bytes, *, key: bytes | None, verify: bool = True) -> Extended:
    """The extended link layer whose CI field stands behind the link header.

    Args:
        data: a radio frame without block checks.
        key: the meter's key.
        verify: False accepts a wrong payload check of a plain session.

    Raises:
        DecodeError: TRUNCATED, KEY, CHECKSUM or UNSUPPORTED.
    """
    size = _HEAD_BYTES[data[10]]
    at = 11 + size
    with_session = data[10] in {_SESSION, _RECEIVER_SESSION}
    if len(data) < at + _CHECK_BYTES * with_session:
        raise truncated("the extended link layer goes beyond the end", 10)
    if not with_session:
        return Extended(data, data[12], at)
    session = data[at - _SESSION_BYTES : at]
    payload = _payload(data, at, session, key=key, verify=verify)
    return Extended(data[:at] + payload, data[12], at + _CHECK_BYTES)
