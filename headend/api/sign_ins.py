"""Signing in: a password or a key becomes a session."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headend.api.problems import TOO_MANY, Problem
from headend.api.store import DEED
from headend.security import audit, people
from headend.security.guessing import Guesses
from headend.security.secrets import (
    PASSWORD_CHARACTERS_MAX,
    derive,
    digest,
    hash_password,
    verify_password,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from headend.api.services import Store
    from headend.security.limits import Table
    from headend.store.plan import Plan

_HASHES_MAX: Final = 2
"""Argon2 takes 64 MiB each: so many at a time."""


@dataclass(frozen=True, slots=True)
class Session:
    """A new session: its cookie, and the cookie that says that this browser is known."""

    cookie: str
    device: str = ""


class SignIns:
    """Makes sessions.

    Args:
        store: users and keys.
        secret: of the server.
        now: the clock, UTC.
        table: where tries are counted.
        clock_s: monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        secret: bytes,
        now: Callable[[], datetime],
        table: Table | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._now, self._clock_s = store, now, clock_s
        self._guesses = Guesses(derive(secret, b"ohmesh-device"), table)
        self._hashes = asyncio.Semaphore(_HASHES_MAX)

    async def by_password(
        self, user: str, password: str, *, address: str, device: str
    ) -> Session | None:
        """A session for a user. Raises Problem(too-many-requests)."""
        if len(user) > PASSWORD_CHARACTERS_MAX or len(password) > PASSWORD_CHARACTERS_MAX:
            return None
        wait_s = self._guesses.wait_s(user, address, device, self._clock_s())
        if wait_s:
            raise Problem(
                TOO_MANY,
                "Too many tries. Wait a little and try again.",
                headers={"Retry-After": str(wait_s)},
            )
        login = await self._store.run(0, people.find_login(user.replace("\0", "")))
        if not await self._is_right(password, login.password_hash if login else None):
            if login:
                deed = audit.Deed(login.name, "refused sign_in", "/login", address)
                await self._store.run(login.tenant_id, audit.append(deed))
            return None
        assert login is not None
        return await self.open(login.tenant_id, login.user_id, login.name)

    async def open(self, tenant_id: int, user_id: int, name: str) -> Session:
        """A session for a user who has proved to be one."""
        DEED.set(audit.Deed(name, "sign_in", "/login"))
        plan = people.open_session(tenant_id, self._now(), user_id=user_id)
        return Session(await self._store.run(tenant_id, plan), self._guesses.device(name))

    async def by_key(self, token: str) -> Session | None:
        """A session for an API key; it ends with the key."""
        found = await self._store.run(0, people.find_key(digest(token)))
        if found is None:
            return None
        tenant_id, key_id, name = found
        DEED.set(audit.Deed(name, "sign_in", "/login"))
        plan = people.open_session(tenant_id, self._now(), key_id=key_id)
        return Session(await self._store.run(tenant_id, plan))

    async def close(self, tenant_id: int, cookie: str) -> None:
        """End a session."""
        await self._store.run(tenant_id, people.close_session(tenant_id, cookie))

    async def set_up(self, link: str, password: str) -> str | None:
        """Choose a password by a link. Returns: the user's name; None for a link that is none."""
        tenant_id = await self._store.run(0, people.link_tenant(link))
        if tenant_id is None:
            return None
        async with self._hashes:
            hashed = await asyncio.to_thread(hash_password, password)
        return await self._store.run(tenant_id, _set_up(link, hashed))

    async def _is_right(self, password: str, kept: str | None) -> bool:
        async with self._hashes:
            return await asyncio.to_thread(verify_password, password, kept)


def _set_up(link: str, hashed: str) -> Plan[str | None]:
    name = yield from people.use_link(link, hashed)
    if name:
        yield from audit.append(audit.Deed(name, "set_up", "/setup"))
    return name
