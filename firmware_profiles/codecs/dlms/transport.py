"""From a telegram's bytes to plain APDUs, whatever carried them.

Known carriers, told by their first bytes: HDLC frames (7E), a naked LLC header (E6E700), the
IEC 62056-47 wrapper (0001), wired M-Bus long frames (68), general-block-transfer (E0),
general-glo/ded-ciphering (DB, DC). They nest; what is left is an APDU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from firmware_profiles.codecs.axdr import length_bytes
from firmware_profiles.codecs.cursor import Cursor, bad_checksum, malformed
from firmware_profiles.codecs.dlms.security import (
    GENERAL_DED,
    GENERAL_GLO,
    open_general,
    read_length,
)
from firmware_profiles.codecs.hdlc import FLAG, messages_of, parse_frames, without_llc
from ohmesh.model.errors import DecodeError, DecodeErrorKind

if TYPE_CHECKING:
    from firmware_profiles.api import Keys

GENERAL_BLOCK = 0xE0
WRAPPER_VERSION = b"\x00\x01"
_LAST_BLOCK = 0x80
_MBUS_START = 0x68
_MBUS_STOP = 0x16
_MBUS_LAST_SEGMENT = 0x10
_MBUS_SEGMENT_MASK = 0x0F
_MBUS_HEAD = b"\x53\xff"
"""SND-UD to the broadcast address."""
_MBUS_PORTS = b"\x01\x67"
"""STSAP and DTSAP of the customer interface."""
_MBUS_DATA_MAX = 255 - 5
_MESSAGES_MAX = 256


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """What was in a telegram.

    Attributes:
        apdus: plain APDUs, in order.
        counter: highest invocation counter, None when nothing was encrypted.
        title: system title of the sender as hex, empty when nothing was encrypted.
    """

    apdus: tuple[bytes, ...]
    counter: int | None = None
    title: str = ""


def unwrap(payload: bytes, keys: Keys | None = None, *, verify: bool = True) -> Unwrapped:
    """The plain APDUs of a telegram.

    Args:
        payload: the telegram as a driver received it.
        keys: for ciphered APDUs.
        verify: False accepts failing checks and tags.

    Raises:
        DecodeError: see the carriers.
    """
    found = Unwrapped(())
    for message in _join_blocks(_messages(payload, verify=verify)):
        apdu = message
        if apdu[:1] and apdu[0] in {GENERAL_GLO, GENERAL_DED}:
            opened = open_general(apdu, keys, verify=verify)
            apdu = opened.apdu
            counter = max(opened.counter, found.counter or 0)
            found = replace(found, counter=counter, title=opened.title.hex().upper())
        found = replace(found, apdus=(*found.apdus, apdu))
    return found


def _messages(payload: bytes, *, verify: bool) -> list[bytes]:
    if payload[:1] == bytes((FLAG,)):
        return messages_of(parse_frames(payload, verify=verify))
    if payload[:1] == bytes((_MBUS_START,)):
        return [_join_mbus(payload, verify=verify)]
    if payload[:2] == WRAPPER_VERSION:
        return split_wrapper(payload)
    return [without_llc(payload)]


def split_wrapper(payload: bytes) -> list[bytes]:
    """APDUs behind wrapper headers: version 0001, source, destination, length, each 2 bytes.

    Raises: DecodeError.
    """
    cursor = Cursor(payload)
    messages: list[bytes] = []
    while cursor.remaining:
        if len(messages) == _MESSAGES_MAX:
            raise DecodeError(DecodeErrorKind.BUDGET, "too many messages", offset=cursor.offset)
        cursor.expect(WRAPPER_VERSION, "wrapper version")
        cursor.skip(4)
        messages.append(cursor.take(cursor.unsigned(2)))
    return messages


def wrapper(apdu: bytes, *, source: int, destination: int) -> bytes:
    """An APDU with the IEC 62056-47 wrapper header."""
    ports = source.to_bytes(2, "big") + destination.to_bytes(2, "big")
    return WRAPPER_VERSION + ports + len(apdu).to_bytes(2, "big") + apdu


def _join_mbus(payload: bytes, *, verify: bool) -> bytes:
    """The APDU in wired M-Bus long frames (EN 13757-1, TINETZ customer interface).

    68 L L 68 | C A CI STSAP DTSAP data | checksum 16. The low nibble of CI counts segments from
    0, bit 4 marks the last one.
    """
    cursor = Cursor(payload)
    parts: list[bytes] = []
    last = False
    while cursor.remaining:
        if last:
            raise malformed("bytes behind the last M-Bus segment", cursor.offset)
        control, data = _mbus_frame(cursor, verify=verify)
        if control & _MBUS_SEGMENT_MASK != len(parts) & _MBUS_SEGMENT_MASK:
            raise malformed(f"M-Bus segment {control & _MBUS_SEGMENT_MASK} out of order")
        parts.append(data)
        last = bool(control & _MBUS_LAST_SEGMENT)
    if not last:
        raise DecodeError(DecodeErrorKind.TRUNCATED, "the last M-Bus segment is missing")
    return b"".join(parts)


def _mbus_frame(cursor: Cursor, *, verify: bool) -> tuple[int, bytes]:
    """CI and data of one long frame."""
    start = cursor.offset
    first, length, again, second = cursor.take(4)
    if first != _MBUS_START or second != _MBUS_START or length != again or length < 5:
        raise malformed("no M-Bus long frame", start)
    user = cursor.take(length)
    checksum, stop = cursor.take(2)
    if stop != _MBUS_STOP:
        raise malformed("no stop byte of the M-Bus frame", cursor.offset - 1)
    if verify and checksum != sum(user) & 0xFF:
        raise bad_checksum("the checksum of the M-Bus frame", cursor.offset - 2)
    return user[2], user[5:]


def mbus_frames(apdu: bytes) -> bytes:
    """An APDU in wired M-Bus long frames, as many segments as it needs."""
    pieces = [apdu[i : i + _MBUS_DATA_MAX] for i in range(0, len(apdu), _MBUS_DATA_MAX)]
    frames = []
    for index, piece in enumerate(pieces):
        last = _MBUS_LAST_SEGMENT if index == len(pieces) - 1 else 0
        user = _MBUS_HEAD + bytes((index & _MBUS_SEGMENT_MASK | last,)) + _MBUS_PORTS + piece
        start = bytes((_MBUS_START, len(user), len(user), _MBUS_START))
        frames.append(start + user + bytes((sum(user) & 0xFF, _MBUS_STOP)))
    return b"".join(frames)


def _join_blocks(messages: list[bytes]) -> list[bytes]:
    """Messages with general-block-transfers joined.

    Block 1 begins anew, whatever stood before: a meter that was interrupted starts again. A block
    out of order spoils its transfer.

    Raises:
        DecodeError: TRUNCATED when no transfer is complete and nothing else is there.
    """
    whole: list[bytes] = []
    parts: list[bytes] = []
    dropped = 0
    for message in messages:
        if message[:1] != bytes((GENERAL_BLOCK,)):
            whole.append(message)
            continue
        last, number, data = _block(message)
        if number == 1:
            dropped += bool(parts)
            parts = []
        elif number != len(parts) + 1:
            dropped += 1
            parts = []
            continue
        parts.append(data)
        if last:
            whole.append(b"".join(parts))
            parts = []
    if messages and not whole:
        raise DecodeError(
            DecodeErrorKind.TRUNCATED, f"no block transfer is complete, {dropped + 1} broken"
        )
    return whole


def _block(message: bytes) -> tuple[bool, int, bytes]:
    """Last flag, number and data of E0 | control | number 2 | acknowledged 2 | length | data."""
    cursor = Cursor(message, 1)
    control, number = cursor.u8(), cursor.unsigned(2)
    cursor.skip(2)
    return bool(control & _LAST_BLOCK), number, cursor.take(read_length(cursor))


def blocks_of(apdu: bytes, size: int) -> list[bytes]:
    """An APDU as general-block-transfers of at most `size` data bytes each."""
    pieces = [apdu[i : i + size] for i in range(0, len(apdu), size)]
    last = len(pieces)
    return [
        bytes((GENERAL_BLOCK, _LAST_BLOCK if number == last else 0))
        + number.to_bytes(2, "big")
        + b"\0\0"
        + length_bytes(len(piece))
        + piece
        for number, piece in enumerate(pieces, 1)
    ]
