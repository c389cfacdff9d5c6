"""Open protected application data (EN 13757-7, 7.7; OMS volume 2, chapter 9).

    mode 0     plain
    mode 5     AES-128-CBC; the initial vector is the meter's address in link order and eight
               times the access number
    mode 7     AES-128-CBC, initial vector zero, with a key derived from the message counter

Configuration field of both: bits 12-8 the mode, bits 7-4 the number of encrypted blocks of 16
bytes. Mode 7 has one more octet that selects key and derivation. Decrypted data begins with two
fillers 2F 2F; when it does not, the key is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR
from cryptography.hazmat.primitives.cmac import CMAC

from firmware_profiles.codecs.cursor import unsupported
from firmware_profiles.codecs.mbus.records import truncated
from ohmesh.model.errors import DecodeError, DecodeErrorKind

BLOCK_BYTES = 16
FILLERS = b"\x2f\x2f"
_KDF_PAD = b"\x07"
_KDF_CMAC = 1


class Mode(IntEnum):
    """Security modes that we open."""

    PLAIN = 0
    CBC = 5
    CBC_DERIVED = 7


_MODES = frozenset(Mode)


class KeyUse(IntEnum):
    """Derivation constant: what a derived key is for, on the way from the meter."""

    ENCRYPTION = 0
    AUTHENTICATION = 1


def key_error(message: str, offset: int = 0) -> DecodeError:
    """The error for a key that is missing or wrong."""
    return DecodeError(DecodeErrorKind.KEY, message, offset=offset)


def check_key(key: bytes) -> bytes:
    """The key when it has 16 bytes. Raises DecodeError(KEY)."""
    if len(key) != BLOCK_BYTES:
        raise key_error(f"an AES-128 key has 16 bytes, not {len(key)}")
    return key


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-128-CMAC (RFC 4493), 16 bytes."""
    mac = CMAC(AES(key))
    mac.update(message)
    return mac.finalize()


def derive_key(key: bytes, use: KeyUse, counter: bytes, identification: bytes) -> bytes:
    """A message key: CMAC over use, counter (4 bytes), identification (4 bytes) and filling."""
    seed = bytes((use,)) + counter + identification
    return cmac(key, seed.ljust(BLOCK_BYTES, _KDF_PAD))


def open_cbc(key: bytes, vector: bytes, data: bytes) -> bytes:
    """Decrypt whole blocks with AES-128-CBC."""
    context = Cipher(AES(key), CBC(vector)).decryptor()
    return context.update(data) + context.finalize()


def seal_cbc(key: bytes, vector: bytes, data: bytes) -> bytes:
    """Encrypt whole blocks with AES-128-CBC."""
    context = Cipher(AES(key), CBC(vector)).encryptor()
    return context.update(data) + context.finalize()


def open_ctr(key: bytes, vector: bytes, data: bytes) -> bytes:
    """Decrypt, or encrypt, with AES-128-CTR."""
    context = Cipher(AES(key), CTR(vector)).decryptor()
    return context.update(data) + context.finalize()


@dataclass(frozen=True, slots=True)
class Context:
    """What the layers below say about a message.

    Attributes:
        key: the meter's key, None when the caller has none.
        address: the meter's address in link order, 8 bytes.
        access: access number.
        counter: message counter of the authentication layer, 4 bytes; None without one.
    """

    key: bytes | None
    address: bytes
    access: int
    counter: bytes | None = None


def mode_of(configuration: int) -> int:
    """The security mode of a configuration field."""
    return configuration >> 8 & 0x1F


def is_known(configuration: int) -> bool:
    """Whether a configuration field names a mode that we open."""
    return mode_of(configuration) in _MODES


def _derived(context: Context, key: bytes, extension: int, offset: int) -> bytes:
    if extension >> 4 & 3 != _KDF_CMAC or context.counter is None:
        raise unsupported("mode 7 without a message counter or with another derivation", offset)
    return derive_key(key, KeyUse.ENCRYPTION, context.counter, context.address[2:6])


def _open(context: Context, mode: int, extension: int, sealed: bytes, offset: int) -> bytes:
    if context.key is None:
        raise key_error("the telegram is encrypted and no key is given", offset)
    key = check_key(context.key)
    if mode == Mode.CBC:
        plain = open_cbc(key, context.address + bytes((context.access,)) * 8, sealed)
    else:
        plain = open_cbc(_derived(context, key, extension, offset), bytes(BLOCK_BYTES), sealed)
    if not plain.startswith(FILLERS):
        raise key_error("the decrypted data does not begin with 2F 2F; the key is wrong", offset)
    return plain


def open_body(
    data: bytes, start: int, end: int, *, configuration: int, context: Context
) -> tuple[bytes, int]:
    """The application data behind a transport header, in the clear.

    Args:
        data: the telegram.
        start: first byte behind the configuration field.
        end: one past the last byte.
        configuration: the configuration field.
        context: key and address.

    Returns:
        The telegram up to `end` with its body decrypted, and where the body begins. A body that
        is already in the clear, as receivers that hold the key pass it on, stays as it is when
        the caller gives no key.

    Raises:
        DecodeError: KEY without the right key, UNSUPPORTED for other modes, TRUNCATED.
    """
    mode = mode_of(configuration)
    if mode == Mode.PLAIN:
        return data[:end], start
    if mode not in _MODES:
        raise unsupported(f"security mode {mode}", start)
    body = start + (mode == Mode.CBC_DERIVED)
    stop = body + (configuration >> 4 & 0x0F) * BLOCK_BYTES
    if body > end:
        raise truncated("no extension of the configuration field", start)
    in_clear = context.key is None and data.startswith(FILLERS, body)
    if stop == body or in_clear:
        return data[:end], body
    if stop > end:
        raise truncated(f"{stop - body} encrypted bytes wanted, {end - body} left", body)
    plain = _open(context, mode, data[start], data[body:stop], body)
    return data[:body] + plain + data[stop:end], body
