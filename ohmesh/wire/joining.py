"""What join messages hold: a meter proves that it has its key, and gets the network's keys.

::

    request  nonce8 tag8                      tag over (net, node), key: the meter's join key
    accept   AES-CCM(index1 key16 ...) tag8   nonce and associated data as in the request

AES-CCM with 8 octets of tag; its nonce is the request's nonce, the stage and four zeros. An answer
counts for one request only, so that none can be played again. The join key is derived from the
meter's key, so a gateway that holds join keys can neither read nor make what meters seal.

Source: RFC 3610 (CCM), RFC 5869 (HKDF), after RFC 9031 (constrained join).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY_BYTES: Final = 16
NONCE_BYTES: Final = 8
_TAG_BYTES: Final = 8
_REQUEST, _ACCEPT = b"\x00", b"\x01"
_ENTRY: Final = 1 + KEY_BYTES
_WHO: Final = struct.Struct(">HQ")


def join_key(meter_key: bytes) -> bytes:
    """The join key of a meter with this key, 16 octets."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"ohmesh join 1").derive(meter_key)


class JoinCipher:
    """Makes and judges the join messages of one meter.

    Args:
        key: its join key, 16 octets.
        net: network id.
        node: its id in the network.
    """

    def __init__(self, key: bytes, *, net: int, node: int) -> None:
        self._cipher = AESCCM(key, tag_length=_TAG_BYTES)
        self._who = _WHO.pack(net, node)

    def request(self, nonce: bytes) -> bytes:
        """A request; `nonce`: 8 octets that were never used before."""
        return nonce + self._cipher.encrypt(_whole(nonce, _REQUEST), b"", self._who)

    def nonce_of(self, request: bytes) -> bytes | None:
        """The nonce of a request if it is this meter's, else None."""
        nonce, tag = request[:NONCE_BYTES], request[NONCE_BYTES:]
        if len(nonce) != NONCE_BYTES or len(tag) != _TAG_BYTES:
            return None
        try:
            self._cipher.decrypt(_whole(nonce, _REQUEST), tag, self._who)
        except InvalidTag:
            return None
        return nonce

    def accept(self, nonce: bytes, keys: Mapping[int, bytes]) -> bytes:
        """The answer to a request: the network's live keys by index."""
        entries = b"".join(bytes((index,)) + key for index, key in sorted(keys.items()))
        return self._cipher.encrypt(_whole(nonce, _ACCEPT), entries, self._who)

    def open(self, nonce: bytes, accept: bytes) -> dict[int, bytes] | None:
        """The keys in the answer to the request with this nonce, None if it is none."""
        if len(accept) < _TAG_BYTES or (len(accept) - _TAG_BYTES) % _ENTRY:
            return None
        try:
            entries = self._cipher.decrypt(_whole(nonce, _ACCEPT), accept, self._who)
        except InvalidTag:
            return None
        starts = range(0, len(entries), _ENTRY)
        return {entries[at]: entries[at + 1 : at + _ENTRY] for at in starts}


def _whole(nonce: bytes, stage: bytes) -> bytes:
    return nonce + stage + bytes(4)


class MeterApplicant:
    """A meter's side (`ohmesh.mesh.Applicant`).

    Args:
        cipher: with the meter's join key.
        random_octets: as many octets as asked for, not to be guessed.
    """

    def __init__(self, cipher: JoinCipher, random_octets: Callable[[int], bytes]) -> None:
        self._cipher = cipher
        self._random_octets = random_octets
        self._nonce = b""

    def ask(self) -> bytes:
        """A new request; it replaces the one before."""
        self._nonce = self._random_octets(NONCE_BYTES)
        return self._cipher.request(self._nonce)

    def open(self, blob: bytes) -> dict[int, bytes] | None:
        """The keys in the answer to the last request; None if it is none."""
        return self._cipher.open(self._nonce, blob) if self._nonce else None


class Doorkeeper:
    """A root's side: which meters may join, and what they are given.

    Args:
        net: network id.
        join_keys: node id -> join key of the meters that may join here.
        keys: the network's live keys by index.
    """

    def __init__(self, net: int, join_keys: Mapping[int, bytes], keys: Mapping[int, bytes]) -> None:
        self._net = net
        self._join_keys = join_keys
        self._keys = keys
        self._last: dict[int, bytes] = {}

    def answer(self, node: int, request: bytes) -> bytes | None:
        """The answer to a request, None for a stranger or a request answered already."""
        key = self._join_keys.get(node)
        if key is None or self._last.get(node) == request:
            return None
        cipher = JoinCipher(key, net=self._net, node=node)
        nonce = cipher.nonce_of(request)
        if nonce is None:
            return None
        self._last[node] = request
        return cipher.accept(nonce, self._keys)
