"""DLMS security suites 0 and 1: AES-GCM with tags of 12 bytes, and the AES key wrap.

Source: IEC 62056-5-3, clause 5.7 (cryptographic algorithms); NIST SP 800-38D; RFC 3394. The one
module of the profiles that imports `cryptography`.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR, GCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from ohmesh.model.errors import DecodeError, DecodeErrorKind

KEY_SIZE = 16
TAG_SIZE = 12
NONCE_SIZE = 12


def _check_sizes(key: bytes, nonce: bytes) -> None:
    if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE:
        raise DecodeError(
            DecodeErrorKind.KEY,
            f"a key of {len(key)} and a nonce of {len(nonce)} bytes; {KEY_SIZE} and "
            f"{NONCE_SIZE} are right",
        )


def gcm_encrypt(key: bytes, nonce: bytes, plain: bytes, aad: bytes) -> tuple[bytes, bytes]:
    """Encrypt and authenticate.

    Args:
        key: 16 bytes.
        nonce: 12 bytes: system title and invocation counter; never twice with one key.
        plain: to be encrypted; empty for authentication alone.
        aad: to be authenticated only.

    Returns:
        The ciphertext, as long as the plaintext, and the tag of 12 bytes.
    """
    _check_sizes(key, nonce)
    encryptor = Cipher(AES128(key), GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    cipher = encryptor.update(plain) + encryptor.finalize()
    return cipher, encryptor.tag[:TAG_SIZE]


def gcm_decrypt(key: bytes, nonce: bytes, cipher: bytes, *, tag: bytes, aad: bytes) -> bytes:
    """Check the tag and decrypt. Raises DecodeError(KEY) when the tag does not fit."""
    _check_sizes(key, nonce)
    decryptor = Cipher(AES128(key), GCM(nonce, tag, min_tag_length=TAG_SIZE)).decryptor()
    decryptor.authenticate_additional_data(aad)
    try:
        return decryptor.update(cipher) + decryptor.finalize()
    except InvalidTag as error:
        raise DecodeError(
            DecodeErrorKind.KEY, "the tag does not fit: a wrong key, or altered bytes"
        ) from error


def gcm_keystream(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt without a tag: GCM's counter mode, whose first block has the counter 2."""
    _check_sizes(key, nonce)
    encryptor = Cipher(AES128(key), CTR(nonce + b"\0\0\0\2")).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def wrap_key(kek: bytes, key: bytes) -> bytes:
    """A key wrapped under a key-encrypting key (RFC 3394)."""
    return aes_key_wrap(kek, key)


def unwrap_key(kek: bytes, wrapped: bytes) -> bytes:
    """The key in a wrapped key. Raises DecodeError(KEY) when the key-encrypting key is wrong."""
    try:
        return aes_key_unwrap(kek, wrapped)
    except (InvalidUnwrap, ValueError) as error:
        raise DecodeError(DecodeErrorKind.KEY, "the wrapped key does not fit") from error
