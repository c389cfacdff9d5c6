"""The API's transactions: every request is one, and begins with its tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from headend.store import db

if TYPE_CHECKING:
    from headend.store.plan import Plan

_T = TypeVar("_T")


class PoolStore:
    """Runs plans on connections of a pool (`headend.api.services.Store`)."""

    def __init__(self, pool: db.AsyncPool) -> None:
        self._pool = pool

    async def run(self, tenant_id: int, plan: Plan[_T]) -> _T:
        """The plan's result, committed. Raises StoreError and what the plan raises."""
        async with db.tenant_transaction(self._pool, tenant_id) as connection:
            return await db.run_async(connection, plan)
