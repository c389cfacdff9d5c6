"""The protection of a session's APDUs, the same on both sides.

Theory of operation. Each side has a system title and an invocation counter that only rises. What
it sends is sealed with its own title and the next counter; what it receives is opened with the
peer's title, and a counter that is not higher than the last one is refused. The global key seals
Initiate and, unless a dedicated key was agreed, everything else.
"""

from __future__ import annotations

from dataclasses import replace
from hmac import compare_digest
from typing import TYPE_CHECKING

from firmware_profiles.codecs import ciphering
from firmware_profiles.codecs.axdr import length_bytes
from firmware_profiles.codecs.cursor import Cursor, malformed
from firmware_profiles.codecs.dlms.apdu import CIPHERED, DEDICATED, Tag, ciphered_tag
from firmware_profiles.codecs.dlms.security import (
    AUTHENTICATED,
    GENERAL_DED,
    GENERAL_GLO,
    SUITE_MASK,
    open_body,
    open_general,
    read_length,
    seal_body,
)
from ohmesh.model.errors import DecodeError, DecodeErrorKind

if TYPE_CHECKING:
    from firmware_profiles.api import Keys
    from firmware_profiles.codecs.dlms.security import Opened

_INITIATE = {
    Tag.INITIATE_REQUEST: Tag.GLO_INITIATE_REQUEST,
    Tag.INITIATE_RESPONSE: Tag.GLO_INITIATE_RESPONSE,
}
_GLO_INITIATE = frozenset(_INITIATE.values())
_CLEAR = frozenset({Tag.EXCEPTION_RESPONSE, Tag.CONFIRMED_SERVICE_ERROR})
"""What a server may send in clear although the session is protected."""


class SecureChannel:
    """Seals and opens; with `control` 0 it lets everything through as it is.

    Args:
        keys: global unicast and authentication key, None for a session without security.
        title: our system title, 8 bytes.
        control: security control byte of what we send, and the least that we accept.
        counter: the first invocation counter that we use.
        floor: the highest counter of the peer so far, None when there is none.
    """

    def __init__(
        self,
        keys: Keys | None,
        title: bytes,
        *,
        control: int = 0,
        counter: int = 1,
        floor: int | None = None,
    ) -> None:
        self.keys = keys
        self.title = title
        self.control = control
        self.counter = counter
        self.peer_title = b""
        self.dedicated = b""
        self.floor = floor

    def protect(self, apdu: bytes) -> bytes:
        """The APDU as it goes out. Raises DecodeError(KEY) when a key is missing."""
        if not self.control:
            return apdu
        tag = apdu[0]
        if tag in _INITIATE:
            return self._sealed(_INITIATE[Tag(tag)], apdu, self._keys(dedicated=False))
        if tag in _CLEAR:
            return apdu
        dedicated = bool(self.dedicated)
        return self._sealed(
            ciphered_tag(tag, dedicated=dedicated), apdu, self._keys(dedicated=dedicated)
        )

    def unprotect(self, apdu: bytes) -> bytes:
        """The plain APDU of one that came in.

        Raises:
            DecodeError: KEY when it is not sealed as this session demands or its tag does not fit,
                REPLAY for a counter that was used before.
        """
        tag = apdu[0] if apdu else 0
        sealed = tag in CIPHERED or tag in _GLO_INITIATE or tag in {GENERAL_GLO, GENERAL_DED}
        if not sealed:
            if self.control and tag not in _CLEAR:
                raise DecodeError(DecodeErrorKind.KEY, f"the APDU {tag:02X} is not ciphered")
            return apdu
        opened = self._open(tag, apdu)
        self.floor = opened.counter
        return opened.apdu

    def challenge_answer(self, challenge: bytes) -> bytes:
        """Our answer to the peer's challenge: 10, counter, GMAC tag (HLS mechanism 5)."""
        counter = self.counter
        self.counter += 1
        tag = self._gmac(self.title, counter, challenge)
        return bytes((AUTHENTICATED,)) + counter.to_bytes(4, "big") + tag

    def answer_fits(self, challenge: bytes, answer: bytes) -> bool:
        """Whether the peer's answer proves that it has the key."""
        if len(answer) != 1 + 4 + ciphering.TAG_SIZE or answer[0] != AUTHENTICATED:
            return False
        counter = int.from_bytes(answer[1:5], "big")
        return compare_digest(answer[5:], self._gmac(self.peer_title, counter, challenge))

    def _gmac(self, title: bytes, counter: int, challenge: bytes) -> bytes:
        keys = self._keys(dedicated=False)
        if keys.authentication is None:
            raise DecodeError(DecodeErrorKind.KEY, "no authentication key for HLS")
        nonce = title + counter.to_bytes(4, "big")
        aad = bytes((AUTHENTICATED,)) + keys.authentication + challenge
        return ciphering.gcm_encrypt(keys.unicast, nonce, b"", aad)[1]

    def _keys(self, *, dedicated: bool) -> Keys:
        if self.keys is None:
            raise DecodeError(DecodeErrorKind.KEY, "the session has no keys")
        return replace(self.keys, unicast=self.dedicated) if dedicated else self.keys

    def _sealed(self, tag: int, apdu: bytes, keys: Keys) -> bytes:
        counter = self.counter
        self.counter += 1
        body = seal_body(self.title, apdu, keys, control=self.control, counter=counter)
        return bytes((tag,)) + length_bytes(len(body)) + body

    def _open(self, tag: int, apdu: bytes) -> Opened:
        dedicated = bool(self.dedicated) and (tag == GENERAL_DED or tag in DEDICATED)
        keys = replace(self._keys(dedicated=dedicated), counter_floor=self.floor)
        if tag in {GENERAL_GLO, GENERAL_DED}:
            return open_general(apdu, keys)
        cursor = Cursor(apdu, 1)
        body = cursor.take(read_length(cursor))
        if cursor.remaining:
            raise malformed("bytes behind the ciphered APDU", cursor.offset)
        return open_body(self.peer_title, body, keys, least=self.control & ~SUITE_MASK)
