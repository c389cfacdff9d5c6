"""Idempotency keys on every write: the same key and request give the same octets back.

Theory of operation. A write with an `Idempotency-Key` runs in one transaction from the moment that
it is admitted: a lock on the key, all that its route does, the line of the audit log, the answer.
So effect and answer are there together or not at all, whenever the process ends, and of requests
at the same time one acts while the others wait for its answer. Only answers that say yes are kept;
what is refused has changed nothing and may be sent again under the same key.

Keys belong to a caller. Answers are kept LIFE, sealed, because some show a new secret once.
Operations whose own rows remember their key (payments, commands, edits) do so for longer, and are
left to it; imports say of each line whether it was there already.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.datastructures import Headers

from headend.api.fields import KEY_PATTERN
from headend.api.problems import from_ours, invalid, respond
from headend.api.store import DEED
from headend.security import audit
from headend.security.secrets import derive
from headend.store.plan import Queries, first, single
from ohmesh.model.errors import Conflict, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from fastapi.routing import APIRoute
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from headend.api.access import Principal
    from headend.api.store import PoolStore
    from headend.store.plan import Plan

HEADER: Final = "idempotency-key"
LIFE: Final = timedelta(hours=24)
REPLAYED: Final = (b"idempotent-replayed", b"true")
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SQL: Final = Queries("headend.api", "once.sql")
_NONCE_BYTES: Final = 12
_ATTEMPT: Final = "idempotent_attempt"


class Answer(msgspec.Struct, frozen=True):
    """What a write was answered."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Replay(Exception):  # noqa: N818 - no error: it ends a request before its route runs
    """This request was answered before."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class _Refused(Exception):  # noqa: N818 - no error: it ends a transaction without effect
    """The route has said no."""


class Seal:
    """Encrypts answers, each bound to its key, under a key derived from the server's secret."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(derive(secret, b"ohmesh-once"))

    def close(self, answer: Answer, digest: bytes) -> bytes:
        """The answer as it is stored: 12 octets nonce, then AES-256-GCM."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, msgspec.msgpack.encode(answer), digest)

    def open(self, sealed: bytes, digest: bytes) -> Answer:
        """The answer that was stored."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return msgspec.msgpack.decode(self._cipher.decrypt(nonce, rest, digest), type=Answer)


@dataclass(frozen=True, slots=True)
class Wish:
    """A request under a key: whose, which key (`digest`), and what it says (`request`)."""

    tenant_id: int
    digest: bytes
    request: bytes

    @classmethod
    def of(cls, who: Principal, key: str, method: str, target: str, body: bytes) -> Wish:
        """The wish of a caller."""
        caller = (str(who.tenant_id), who.name, who.person or "", key)
        said = (method, target, body)
        return cls(who.tenant_id, _digest(*caller), _digest(*said))


def _digest(*parts: str | bytes) -> bytes:
    found = hashlib.sha256()
    for part in parts:
        octets = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        found.update(b"%d:%s" % (len(octets), octets))
    return found.digest()


class Attempt:
    """One request that came with a key; `begin` opens its transaction."""

    def __init__(self, once: Once, stack: AsyncExitStack) -> None:
        self._once, self._stack = once, stack
        self._wish: Wish | None = None

    def keeps(self, operation: str) -> bool:
        """Whether this operation's answers are kept here."""
        return operation in self._once.operations

    async def begin(self, wish: Wish) -> None:
        """Let one through. Raises Replay, Conflict, StoreError."""
        await self._stack.enter_async_context(self._once.store.joint(wish.tenant_id))
        await self._once.store.run(wish.tenant_id, self._once.find(wish))
        self._wish = wish

    async def end(self, answer: Answer) -> None:
        """Keep an answer that says yes. Raises _Refused, StoreError."""
        if self._wish is None:
            return
        if answer.status >= 400:
            raise _Refused
        deed, kept = DEED.get(), self._once.keep(self._wish, answer)
        if deed:
            line = audit.appended(deed, _nothing())
            await self._once.store.run(self._wish.tenant_id, line)
        await self._once.store.run(self._wish.tenant_id, kept)


def _nothing() -> Plan[object]:
    yield from ()
    return None


class Once:
    """The ASGI middleware; it stands behind the gate, which has read the body.

    Args:
        app: what it wraps.
        store: where answers are kept.
        secret: of the server; seals them.
        now: the clock, UTC.
        operations: names of the operations whose answers are kept (`kept_by_us`).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        store: PoolStore,
        secret: bytes,
        now: Callable[[], datetime],
        operations: frozenset[str],
    ) -> None:
        self._app, self.store, self._seal = app, store, Seal(secret)
        self._now, self.operations = now, operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run a request once, or give the answer that it had."""
        if scope["type"] != "http" or scope["method"] in SAFE or HEADER not in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        sent: list[Message] = []
        try:
            await self._attempt(scope, receive, sent)
        except _Refused:
            pass
        except Replay as replay:
            sent = _messages(replay.answer)
        except StoreError as error:
            await respond(from_ours(error), scope["path"])(scope, receive, send)
            return
        for message in sent:
            await send(message)

    async def _attempt(self, scope: Scope, receive: Receive, sent: list[Message]) -> None:
        async def collect(message: Message) -> None:
            sent.append(message)

        async with AsyncExitStack() as stack:
            attempt = scope["state"][_ATTEMPT] = Attempt(self, stack)
            await self._app(scope, receive, collect)
            await attempt.end(_answer(sent))

    def find(self, wish: Wish) -> Plan[None]:
        """Wait for those with the same key. Raises Replay, Conflict."""
        yield SQL("lock", lock=int.from_bytes(wish.digest[:8], "big", signed=True))
        known = {"tenant_id": wish.tenant_id, "digest": wish.digest}
        row = first((yield SQL("find", **known, since=self._now() - LIFE)))
        if row is None:
            return
        if bytes(row["request"]) != wish.request:
            raise Conflict("this idempotency key belongs to another request")
        try:
            answer = self._seal.open(bytes(row["sealed"]), wish.digest)
        except InvalidTag:  # the key-encryption key was changed since
            raise Conflict(
                "what was asked with this idempotency key is done; its answer is lost"
            ) from None
        raise Replay(answer)

    def keep(self, wish: Wish, answer: Answer) -> Plan[object]:
        """Store an answer, and let go of some that are too old."""
        now, sealed = self._now(), self._seal.close(answer, wish.digest)
        known = {"tenant_id": wish.tenant_id, "digest": wish.digest, "request": wish.request}
        return single(SQL("keep", **known, sealed=sealed, now=now, since=now - LIFE))


def _answer(sent: list[Message]) -> Answer:
    start, *parts = sent
    headers = [(bytes(name), bytes(value)) for name, value in start.get("headers", ())]
    return Answer(start["status"], headers, b"".join(p.get("body", b"") for p in parts))


def _messages(answer: Answer) -> list[Message]:
    headers = [*answer.headers, REPLAYED]
    start = {"type": "http.response.start", "status": answer.status, "headers": headers}
    return [start, {"type": "http.response.body", "body": answer.body}]


async def begin(request: Request, who: Principal, operation: str) -> None:
    """Before a route that is admitted. Raises Replay, Conflict, Problem(invalid), StoreError."""
    attempt: Attempt | None = request.scope["state"].get(_ATTEMPT)
    if attempt is None:
        return
    key = request.headers[HEADER]
    if re.fullmatch(KEY_PATTERN, key) is None:
        raise invalid("/header/idempotency-key", "1 to 200 visible ASCII characters")
    if attempt.keeps(operation):
        target = f"{request.url.path}?{request.url.query}"
        wish = Wish.of(who, key, request.method, target, await request.body())
        await attempt.begin(wish)


def kept_by_us(routes: Iterable[APIRoute], prefix_without: str) -> frozenset[str]:
    """Operations whose answers are kept here: writes of the API that have no key of their own.

    Args:
        routes: all there are.
        prefix_without: below it bodies are files, which are not read twice.
    """
    return frozenset(
        route.name
        for route in routes
        if route.path.startswith("/v1/")
        and not route.path.startswith(prefix_without)
        and not SAFE.issuperset(route.methods or ())
        and not any(_is_key(field) for field in route.dependant.header_params)
    )


def _is_key(field: Any) -> bool:
    return str(field.alias).lower() == HEADER
