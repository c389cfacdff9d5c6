"""Who asks: the principal behind a key, an access token or a session cookie.

Theory of operation. A caller shows a bearer token, which is an API key or a short-lived access
token, or the cookie that the sign-in page gave. Keys and sessions are looked up in the store by
their digest and remembered for REMEMBER_S, so one that is revoked is dead after that time; access
tokens are checked by their signature. Without any of them a caller is nobody, who may read only
where the server says so (it listens on loopback and `api.open_reads` is set) and never writes.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from headend.security import people
from headend.security.access_token import AccessTokens
from headend.security.limits import Limiter
from headend.security.roles import Principal
from headend.security.secrets import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from headend.security.limits import Table
    from headend.store.plan import Plan

SESSION_COOKIE: Final = "ohmesh_session"
DEVICE_COOKIE: Final = "ohmesh_device"
REMEMBER_S: Final = 3.0
REMEMBERED_MAX: Final = 10_000
REQUESTS_PER_S: Final = 500.0
BURST_S: Final = 2
TENANT_SHARE: Final = 4
"""How many keys at their limit a tenant may have."""
_T = TypeVar("_T")
_NO_TENANT: Final = 0


class _Store(Protocol):
    async def run(self, tenant_id: int, plan: Plan[_T]) -> _T:
        """As headend.api.services.Store."""


class Access:
    """Finds principals, and counts what they ask.

    Args:
        store: runs the look-ups.
        secret: of the server; signs access tokens.
        nobody: who a caller without credentials is; None when reads need credentials too.
        requests_per_s: what one key, session or address may ask on average.
        table: where shares are counted.
        clock_s: monotonic seconds.
        now_s: seconds since 1970.
    """

    def __init__(
        self,
        store: _Store,
        secret: bytes,
        nobody: Principal | None,
        *,
        requests_per_s: float = REQUESTS_PER_S,
        table: Table | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._clock_s, self._now_s = store, clock_s, now_s
        self.access_tokens = AccessTokens(secret)
        self.nobody = nobody
        self._remembered: OrderedDict[tuple[str, bytes], tuple[float, Principal]] = OrderedDict()
        burst = int(requests_per_s * BURST_S) or 1
        self._by_caller = Limiter(requests_per_s, burst, table, "caller")
        self._by_tenant = Limiter(
            TENANT_SHARE * requests_per_s, TENANT_SHARE * burst, table, "tenant"
        )
        self._by_failure = Limiter(2, 200, table, "failure")

    async def by_token(self, token: str) -> Principal | None:
        """Who a bearer token stands for."""
        if token.count(".") == 2:
            return self.access_tokens.check(token, int(self._now_s()))
        shown = digest(token)
        return await self._look("key", shown, people.key_principal(shown))

    async def by_session(self, cookie: str) -> Principal | None:
        """Who a session cookie stands for."""
        if not cookie:
            return None
        shown = digest(cookie)
        return await self._look("session", shown, people.session_principal(shown))

    def forget(self) -> None:
        """Look everything up again: somebody's rights have changed."""
        self._remembered.clear()

    def wait_s(self, who: Principal | None, address: str) -> int:
        """Take a request from a caller's and a tenant's share; 0, or seconds to wait."""
        now_s = self._clock_s()
        if who is None or who is self.nobody:
            return self._by_caller.take(f"address {address}", now_s)
        return self._by_caller.take(f"{who.tenant_id} {who.name}", now_s) or self._by_tenant.take(
            str(who.tenant_id), now_s
        )

    def wrong_wait_s(self, address: str) -> int:
        """Count a wrong token from an address; 0, or seconds to wait."""
        return self._by_failure.take(address, self._clock_s())

    async def _look(
        self, kind: str, shown: bytes, plan: Plan[Principal | None]
    ) -> Principal | None:
        now_s = self._clock_s()
        until_s, known = self._remembered.get((kind, shown), (0.0, None))
        if known is not None and now_s < until_s:
            return known
        found = await self._store.run(_NO_TENANT, plan)
        self._remembered.pop((kind, shown), None)
        if found is not None:
            self._remembered[kind, shown] = now_s + REMEMBER_S, found
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return found


__all__ = ["DEVICE_COOKIE", "SESSION_COOKIE", "Access", "Principal"]
