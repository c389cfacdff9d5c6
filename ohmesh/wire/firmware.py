"""A firmware image as its maker signs it and a meter checks it.

| offset | size | field |
|---|---|---|
| 0 | 4 | `OHFW` |
| 4 | 4 | version, big-endian |
| 8 | n | program |
| 8+n | 64 | Ed25519 signature over all before it |

The key of the maker is not that of the head-end: who holds the head-end can offer an image to a
meter, and cannot make one that the meter runs.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ohmesh.model.errors import BadChecksum, Malformed

_MAGIC = b"OHFW"
_SIGNATURE_BYTES = 64
_HEADER_BYTES = 8


def sign_image(maker: bytes, version: int, program: bytes) -> bytes:
    """An image. Args: maker: Ed25519 private key, 32 bytes."""
    signed = _MAGIC + version.to_bytes(4, "big") + program
    return signed + Ed25519PrivateKey.from_private_bytes(maker).sign(signed)


def version_of(image: bytes) -> int:
    """The version that an image says it is; says nothing of its signature. Raises Malformed."""
    if len(image) <= _HEADER_BYTES + _SIGNATURE_BYTES or image[:4] != _MAGIC:
        raise Malformed("no firmware image: it begins with OHFW and ends with a signature")
    return int.from_bytes(image[4:_HEADER_BYTES], "big")


def check_image(maker: bytes, image: bytes) -> bytes:
    """The program of an image. Args: maker: Ed25519 public key. Raises Malformed, BadChecksum."""
    version_of(image)
    signed, signature = image[:-_SIGNATURE_BYTES], image[-_SIGNATURE_BYTES:]
    try:
        Ed25519PublicKey.from_public_bytes(maker).verify(signature, signed)
    except InvalidSignature:
        raise BadChecksum("the maker's signature does not fit the image") from None
    return signed[_HEADER_BYTES:]
