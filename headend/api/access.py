"""Who asks: tokens, sessions of the pages, and what they may do.

Theory of operation. A caller shows a bearer token, or the cookie that the login page gave for one.
Tokens are compared as digests in constant time, all of them every time. A cookie is
`principal.expiry.seal`, sealed with a secret of the server: nothing is kept per session, and the
cookie does not hold the token. Without either a caller is nobody, who may read only where the
server says so (it listens on loopback alone) and never writes.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION_COOKIE = "ohmesh_session"
SESSION_S = 12 * 3600


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody the server knows.

    Attributes:
        name: stands in `requested_by` of what they do.
        tenant_id: whose data they see, a key of ohmesh.tenant.
        writes: whether they may change anything.
    """

    name: str
    tenant_id: int
    writes: bool = True


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Access:
    """Finds the principal behind a token or a session cookie.

    Args:
        tokens: bearer token -> principal; names of principals are unique.
        secret: seals the session cookies.
        nobody: who a caller without credentials is; None when reads need a token too.
    """

    def __init__(
        self, tokens: Mapping[str, Principal], secret: bytes, nobody: Principal | None
    ) -> None:
        self._by_digest = [(_digest(token), who) for token, who in tokens.items()]
        self._by_name = {who.name: who for who in tokens.values()}
        self._secret = hashlib.blake2b(secret, person=b"ohmesh-session", digest_size=32).digest()
        self.nobody = nobody

    def by_token(self, token: str) -> Principal | None:
        """The principal of a token; every token is compared, so time tells nothing."""
        shown = _digest(token)
        found = None
        for digest, who in self._by_digest:
            if hmac.compare_digest(digest, shown):
                found = who
        return found

    def session(self, who: Principal, now_s: int) -> str:
        """A cookie value for a principal who has shown a token."""
        text = f"{who.name}.{now_s + SESSION_S}"
        return f"{text}.{self._seal(text)}"

    def by_session(self, cookie: str, now_s: int) -> Principal | None:
        """The principal of a cookie that this server sealed and that has not expired."""
        text, _, seal = cookie.rpartition(".")
        if not hmac.compare_digest(seal.encode(errors="replace"), self._seal(text).encode()):
            return None
        name, _, expiry = text.rpartition(".")
        return self._by_name.get(name) if int(expiry) > now_s else None

    def _seal(self, text: str) -> str:
        octets = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(octets, key=self._secret, digest_size=24).hexdigest()
