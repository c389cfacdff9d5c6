"""Ciphered APDUs: general-glo/ded-ciphering and the service-specific ones (IEC 62056-5-3, 7.2).

Body, common to all:

    offset  size  field
    0       1     security control: bits 0-3 suite, 4 authenticated, 5 encrypted, 6 broadcast key,
                  7 compressed
    1       4     invocation counter
    5       n     ciphertext, or the plain APDU when it is only authenticated
    5+n     12    tag, when authenticated

The nonce is the sender's system title (8) and the counter (4). What is authenticated besides the
ciphertext: security control and authentication key, and the plain APDU when it is not encrypted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_profiles.codecs import ciphering
from firmware_profiles.codecs.axdr import length_bytes
from firmware_profiles.codecs.ciphering import TAG_SIZE
from firmware_profiles.codecs.cursor import Cursor, malformed, unsupported
from ohmesh.model.errors import DecodeError, DecodeErrorKind

if TYPE_CHECKING:
    from firmware_profiles.api import Keys

GENERAL_GLO = 0xDB
GENERAL_DED = 0xDC
AUTHENTICATED = 0x10
ENCRYPTED = 0x20
COMPRESSED = 0x80
SUITE_MASK = 0x0F
SUITES = frozenset({0, 1})
TITLE_SIZE = 8


@dataclass(frozen=True, slots=True)
class Opened:
    """A ciphered APDU, deciphered.

    Attributes:
        apdu: the plain APDU.
        control: the security control byte.
        counter: the invocation counter.
        title: the sender's system title.
    """

    apdu: bytes
    control: int
    counter: int
    title: bytes


def read_length(cursor: Cursor) -> int:
    """A length as A-XDR writes it. Raises DecodeError when the bytes are not there."""
    first = cursor.u8()
    length = first
    if first >= 0x80:
        size = first & 0x7F
        if not 1 <= size <= 4:
            raise malformed(f"a length of {size} bytes", cursor.offset - 1)
        length = cursor.unsigned(size)
    if length > cursor.remaining:
        raise cursor.truncated(length)
    return length


def open_general(apdu: bytes, keys: Keys | None, *, verify: bool = True) -> Opened:
    """Decipher a general-glo-ciphering or general-ded-ciphering APDU.

    Args:
        apdu: from the tag DB or DC on; bytes behind it are refused.
        keys: the sender's; `unicast` is the encryption key. Without an authentication key the
            tag cannot be checked, and is not: some networks give customers one key only. With
            one, an APDU that is not authenticated is refused.
        verify: False deciphers without looking at the tag.

    Raises:
        DecodeError: KEY, REPLAY, TRUNCATED, MALFORMED, UNSUPPORTED.
    """
    cursor = Cursor(apdu, 1)
    title = cursor.take(read_length(cursor))
    body = cursor.take(read_length(cursor))
    if cursor.remaining:
        raise malformed(f"{cursor.remaining} bytes behind the ciphered APDU", cursor.offset)
    least = AUTHENTICATED if verify and keys is not None and keys.authentication else 0
    return open_body(title, body, keys, least=least, verify=verify)


def open_body(
    title: bytes, body: bytes, keys: Keys | None, *, least: int = 0, verify: bool = True
) -> Opened:
    """Decipher the body of a ciphered APDU; see the module.

    Args:
        title: the sender's system title.
        body: security control and what follows.
        keys: the sender's.
        least: bits of the security control that must be set: less would be a downgrade.
        verify: False deciphers without looking at the tag.

    Raises:
        DecodeError: KEY, REPLAY, TRUNCATED, MALFORMED, UNSUPPORTED.
    """
    cursor = Cursor(body)
    control, counter = cursor.u8(), cursor.unsigned(4)
    if control & SUITE_MASK not in SUITES or control & COMPRESSED:
        raise unsupported(f"security control {control:02X}")
    if len(title) != TITLE_SIZE:
        raise malformed(f"a system title of {len(title)} bytes")
    if keys is None:
        raise DecodeError(DecodeErrorKind.KEY, "the telegram is encrypted and there is no key")
    if least & ~control:
        raise DecodeError(DecodeErrorKind.KEY, f"security control {control:02X} is too little")
    if keys.counter_floor is not None and counter <= keys.counter_floor:
        raise DecodeError(
            DecodeErrorKind.REPLAY,
            f"invocation counter {counter}, {keys.counter_floor} was there before",
        )
    plain = _open(cursor, (title, control, counter), keys, verify=verify)
    return Opened(plain, control, counter, title)


def _open(cursor: Cursor, header: tuple[bytes, int, int], keys: Keys, *, verify: bool) -> bytes:
    title, control, counter = header
    nonce = title + counter.to_bytes(4, "big")
    if not control & AUTHENTICATED:
        data = cursor.rest()
        return ciphering.gcm_keystream(keys.unicast, nonce, data) if control & ENCRYPTED else data
    data = cursor.take(cursor.remaining - TAG_SIZE)
    tag = cursor.rest()
    if not verify or keys.authentication is None:
        return ciphering.gcm_keystream(keys.unicast, nonce, data) if control & ENCRYPTED else data
    aad = bytes((control,)) + keys.authentication
    if control & ENCRYPTED:
        return ciphering.gcm_decrypt(keys.unicast, nonce, data, tag=tag, aad=aad)
    ciphering.gcm_decrypt(keys.unicast, nonce, b"", tag=tag, aad=aad + data)
    return data


def seal_body(title: bytes, plain: bytes, keys: Keys, *, control: int, counter: int) -> bytes:
    """The body of a ciphered APDU; see the module.

    Args:
        title: our system title, 8 bytes.
        plain: the APDU.
        keys: `authentication` is needed when `control` says authenticated.
        control: security control byte.
        counter: never twice with one key.

    Raises:
        DecodeError: KEY for a missing or ill-sized key.
    """
    nonce = title + counter.to_bytes(4, "big")
    head = bytes((control,)) + counter.to_bytes(4, "big")
    if not control & AUTHENTICATED:
        data = plain
        if control & ENCRYPTED:
            data = ciphering.gcm_keystream(keys.unicast, nonce, plain)
        return head + data
    if keys.authentication is None:
        raise DecodeError(DecodeErrorKind.KEY, "no authentication key to authenticate with")
    aad = bytes((control,)) + keys.authentication
    if control & ENCRYPTED:
        data, tag = ciphering.gcm_encrypt(keys.unicast, nonce, plain, aad)
        return head + data + tag
    _, tag = ciphering.gcm_encrypt(keys.unicast, nonce, b"", aad + plain)
    return head + plain + tag


def seal_general(
    title: bytes,
    plain: bytes,
    keys: Keys,
    *,
    control: int,
    counter: int,
    tag: int = GENERAL_GLO,
) -> bytes:
    """A general-glo-ciphering (or, by `tag`, general-ded-ciphering) APDU."""
    body = seal_body(title, plain, keys, control=control, counter=counter)
    return bytes((tag,)) + length_bytes(len(title)) + title + length_bytes(len(body)) + body
