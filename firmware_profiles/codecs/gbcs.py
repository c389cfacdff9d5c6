"""GBCS messages: the headers around the payload of a smart meter in Great Britain.

    MAC header       DD, six zeros, length, security control 11, counter 00000000
    grouping header  DF, transaction id (9: CRA flag 1, originator counter 8),
                     originator 8, recipient 8, date-time (empty), other information:
                     message code 2 [, supplementary remote party 8 [, counter 8]] ...,
                     payload, signature (empty, or 64 bytes)
    MAC              12 bytes, when there is a MAC header

Each field of the grouping header has its length before it. The payload begins with its kind: a DLMS
access request (D9) or response (DA), or data for another application. Values in an access response
have no names: the use case of the message code gives them.

Source: GBCS 4.x, section 7.2.7; DLMS Green Book 8, general-ciphering and general-signing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from firmware_profiles.codecs.axdr import Reader, Value, length_bytes
from firmware_profiles.codecs.cursor import Cursor, malformed
from ohmesh.model.errors import DecodeError, DecodeErrorKind

ACCESS_RESPONSE = 0xDA
VALUES_MAX = 4096
_GENERAL_CIPHERING, _GENERAL_SIGNING = 0xDD, 0xDF
_AUTHENTICATED = bytes.fromhex("1100000000")
_MAC_BYTES = 12
_IDENTITY_BYTES = 8


class CraFlag(IntEnum):
    """What a message is."""

    COMMAND = 1
    RESPONSE = 2
    ALERT = 3


_FLAGS = frozenset(flag.value for flag in CraFlag)


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        kind: command, response or alert.
        counter: of the originator; it never goes back.
        originator: EUI-64 of the sender.
        recipient: EUI-64 of the receiver.
        code: message code, the use case.
        supplement: what follows the code in the other information.
        payload: the content.
        signature: 64 bytes, or none.
        mac: 12 bytes, or none; checking it needs the keys of the two parties.
    """

    kind: CraFlag
    counter: int
    originator: bytes
    recipient: bytes
    code: int
    payload: bytes
    supplement: bytes = b""
    signature: bytes = b""
    mac: bytes = b""


def decode(octets: bytes) -> Message:
    """Decode a message. Raises DecodeError, whatever the bytes."""
    cursor = Cursor(octets)
    if cursor.peek() != _GENERAL_CIPHERING:
        message = _grouping(cursor)
    else:
        cursor.skip(1)
        cursor.expect(bytes(6), "empty fields of the MAC header")
        size = cursor.short_length()
        if size != cursor.remaining:
            raise _wrong_size(cursor, size)
        cursor.expect(_AUTHENTICATED, "security header")
        inner = Cursor(octets, cursor.offset, cursor.end - _MAC_BYTES)
        message = _grouping(inner, octets[max(inner.end, 0) :])
        cursor = inner
    if cursor.remaining:
        raise malformed(f"{cursor.remaining} bytes after the signature", cursor.offset)
    return message


def encode(message: Message) -> bytes:
    """The bytes of a message, the inverse of `decode`."""
    transaction = bytes((message.kind,)) + message.counter.to_bytes(8, "big")
    fields = [
        transaction,
        message.originator,
        message.recipient,
        b"",
        message.code.to_bytes(2, "big") + message.supplement,
        message.payload,
        message.signature,
    ]
    body = bytes((_GENERAL_SIGNING,))
    body += b"".join(length_bytes(len(field)) + field for field in fields)
    if not message.mac:
        return body
    ciphered = _AUTHENTICATED + body + message.mac
    return bytes((_GENERAL_CIPHERING,)) + bytes(6) + length_bytes(len(ciphered)) + ciphered


def access_values(payload: bytes) -> tuple[tuple[Value, ...], tuple[int, ...]]:
    """The values of an access response in their order, and the result code of each.

    Raises:
        DecodeError: whatever the bytes.
    """
    reader = Reader(payload, 0, VALUES_MAX)
    cursor = Cursor(payload)
    cursor.skip(5)
    cursor.skip(cursor.short_length())
    if cursor.u8() != 0:
        raise malformed("an access response with its request", cursor.offset - 1)
    count = _count(cursor)
    reader.offset = cursor.offset
    values = tuple([reader.value(0) for _ in range(count)])
    cursor.offset = reader.offset
    results = tuple([_result(cursor) for _ in range(_count(cursor))])
    if len(results) != count or cursor.remaining:
        raise malformed("values and results do not match", cursor.offset)
    return values, results


def _grouping(cursor: Cursor, mac: bytes = b"") -> Message:
    cursor.expect(bytes((_GENERAL_SIGNING,)), "grouping header")
    start = cursor.offset
    transaction = _field(cursor)
    if len(transaction) != 9 or transaction[0] not in _FLAGS:
        raise malformed("a transaction id without flag and counter", start)
    originator, recipient, stamp = _field(cursor), _field(cursor), _field(cursor)
    other = _field(cursor)
    if len(originator) != _IDENTITY_BYTES or len(recipient) != _IDENTITY_BYTES or stamp:
        raise malformed("no identities of eight bytes", start)
    if len(other) < 2:
        raise malformed("no message code", cursor.offset)
    return Message(
        kind=CraFlag(transaction[0]),
        counter=int.from_bytes(transaction[1:], "big"),
        originator=originator,
        recipient=recipient,
        code=int.from_bytes(other[:2], "big"),
        payload=_field(cursor),
        supplement=other[2:],
        signature=_field(cursor),
        mac=mac,
    )


def _field(cursor: Cursor) -> bytes:
    return cursor.take(cursor.short_length())


def _count(cursor: Cursor) -> int:
    count = cursor.short_length()
    if count > cursor.remaining:
        raise cursor.truncated(count)
    return count


def _result(cursor: Cursor) -> int:
    """A result: which service, and 0 for success."""
    cursor.skip(1)
    return cursor.u8()


def _wrong_size(cursor: Cursor, size: int) -> DecodeError:
    if size > cursor.remaining:
        return DecodeError(
            DecodeErrorKind.TRUNCATED,
            f"{size} bytes declared, {cursor.remaining} there",
            offset=cursor.offset,
        )
    return malformed(f"{cursor.remaining - size} bytes after the message", cursor.offset + size)
