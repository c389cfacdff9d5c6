"""The API's transactions: every request is one, and begins with its tenant.

A transaction that changes something for a request that may write ends with an entry in the audit
log: either both are there or neither.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeVar, cast

from headend.api.together import Together
from headend.security.audit import Deed, appended
from headend.store import db
from headend.store.plan import single

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headend.store.plan import Plan, Row, Statement

_T = TypeVar("_T")
DEED: Final[ContextVar[Deed | None]] = ContextVar("ohmesh_deed", default=None)
"""What the request under way does, when it may write; set before its route runs."""
_JOINT: Final[ContextVar[tuple[int, db.AsyncConnection] | None]] = ContextVar(
    "ohmesh_joint", default=None
)
"""The tenant and transaction that all plans of the request under way share, if they do."""


class PoolStore:
    """Runs plans on connections of a pool (`headend.api.services.Store`)."""

    def __init__(self, pool: db.AsyncPool) -> None:
        self._pool = pool
        self._together = Together(pool)

    async def run(self, tenant_id: int, plan: Plan[_T]) -> _T:
        """The plan's result, committed. Raises StoreError and what the plan raises."""
        joint = _JOINT.get()
        if joint and joint[0] == tenant_id:
            async with db.part(joint[1]):
                return await db.run_async(joint[1], plan)
        deed = DEED.get()
        whole = cast("Plan[_T]", appended(deed, plan)) if deed and tenant_id else plan
        async with db.tenant_transaction(self._pool, tenant_id) as connection:
            return await db.run_async(connection, whole)

    async def together(self, tenant_id: int, about: str, make: Callable[[], Plan[_T]]) -> _T:
        """A plan's result, committed with those of others; see `headend.api.together`."""
        deed = DEED.get()

        def whole() -> Plan[_T]:
            return cast("Plan[_T]", appended(deed, make())) if deed else make()

        async def alone() -> _T:
            return await self.run(tenant_id, make())

        if _JOINT.get():
            return await alone()
        kind = deed.action if deed else ""
        return await self._together.run(tenant_id, (kind, about), whole, alone)

    @asynccontextmanager
    async def joint(self, tenant_id: int) -> AsyncIterator[None]:
        """One transaction for all plans of a tenant until it ends; its audit line is the caller's.

        Raises StoreError.
        """
        async with db.tenant_transaction(self._pool, tenant_id) as connection:
            _JOINT.set((tenant_id, connection))
            try:
                yield
            finally:
                _JOINT.set(None)

    async def rows(self, tenant_id: int, statement: Statement) -> list[Row]:
        """The rows of one statement; cheaper than a plan of it. Raises StoreError."""
        if DEED.get() or _JOINT.get():
            return await self.run(tenant_id, single(statement))
        return await db.read(self._pool, tenant_id, statement)
