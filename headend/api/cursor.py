"""Keyset cursors: where a list goes on, sealed so that nobody can make or move one.

A cursor is base64url of a 12-byte keyed BLAKE2b and the JSON of the last row's sort key. The hash
covers the list's name and filters too, so that a cursor works only for the list it came from.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, TypeVar

import msgspec

from headend.api.problems import INVALID_CURSOR, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_SEAL_BYTES = 12
_LENGTH_MAX = 512
_Key = TypeVar("_Key")


class Cursors:
    """Seals and opens cursors with one secret of the server."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.blake2b(secret, person=b"ohmesh-cursor", digest_size=32).digest()

    def seal(self, scope: Mapping[str, object], key: tuple[object, ...]) -> str:
        """The cursor behind the row with this sort key; `scope` is the list and its filters."""
        body = msgspec.json.encode(key)
        return base64.urlsafe_b64encode(self._seal(scope, body) + body).decode().rstrip("=")

    def open(self, scope: Mapping[str, object], text: str, kind: type[_Key]) -> _Key:
        """The sort key in a cursor, of the given tuple type. Raises Problem(invalid-cursor)."""
        try:
            if len(text) > _LENGTH_MAX:
                raise Problem(INVALID_CURSOR, "the cursor is too long")
            octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            seal, body = octets[:_SEAL_BYTES], octets[_SEAL_BYTES:]
            if not hmac.compare_digest(seal, self._seal(scope, body)):
                raise Problem(INVALID_CURSOR, "the cursor belongs to another list or filter")
            return msgspec.json.decode(body, type=kind)
        except (binascii.Error, ValueError) as error:
            raise Problem(INVALID_CURSOR, "this is not a cursor of this server") from error

    def _seal(self, scope: Mapping[str, object], body: bytes) -> bytes:
        text = msgspec.json.encode(scope, order="sorted")
        digest = hashlib.blake2b(key=self._secret, digest_size=_SEAL_BYTES)
        digest.update(len(text).to_bytes(4, "big") + text + body)
        return digest.digest()
