"""Writes that share a transaction: what came while the last one was on its way goes as one.

Theory of operation. A transaction costs a message to and fro for each step and a wait for the disk,
and the audit log lets one writer of a tenant through at a time: alone, each waits for those costs.
So whoever comes first goes at once, and those who come meanwhile wait; then one of them takes
all that wait, runs their plans in step (`db.run_together`) and commits once. Nobody waits longer
than for the transaction before his own.

In a group are writes of one kind and about different things, so that none looks at what another
writes; they go in the order of their names, so that groups of several processes lock in the same
order. A group in which anything fails is rolled back whole, and each of it then runs alone: the
fault of one is never the answer of another. A lock that somebody holds for long dissolves a group.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from headend.store import db

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headend.store.plan import Plan

_T = TypeVar("_T")
GROUP_MAX: Final = 32
PATIENCE_MS: Final = 100
"""For a lock that somebody else holds, such as the worker at an account."""


@dataclass(slots=True, eq=False)
class _Wish:
    """One write that waits; `settled` when it has its result, an error or is to go alone."""

    about: str
    make: Callable[[], Plan[Any]]
    settled: bool = False
    result: Any = None
    error: db.Unavailable | None = None
    alone: bool = False


@dataclass(slots=True)
class _Queue:
    """Wishes of one kind of one tenant, and whose turn it is to run a group."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[_Wish] = field(default_factory=list)

    def group(self) -> list[_Wish]:
        """The next ones, each about another thing, in the order of locking."""
        found: dict[str, _Wish] = {}
        for wish in self.waiting[: 2 * GROUP_MAX]:
            found.setdefault(wish.about, wish)
        return sorted(list(found.values())[:GROUP_MAX], key=lambda wish: wish.about)


class Together:
    """Runs plans in groups.

    Args:
        pool: of the API's role.
    """

    def __init__(self, pool: db.AsyncPool) -> None:
        self._pool = pool
        self._queues: dict[tuple[int, str], _Queue] = {}

    async def run(
        self,
        tenant_id: int,
        kind_and_about: tuple[str, str],
        make: Callable[[], Plan[_T]],
        alone: Callable[[], Awaitable[_T]],
    ) -> _T:
        """A plan's result, committed.

        Args:
            tenant_id: whose.
            kind_and_about: those of one kind share; of them no two about one thing.
            make: the plan, anew for each time that it runs.
            alone: runs it in a transaction of its own.

        Raises: Unavailable, and what `alone` raises.
        """
        kind, about = kind_and_about
        queue = self._queues.setdefault((tenant_id, kind), _Queue())
        wish = _Wish(about, make)
        queue.waiting.append(wish)
        try:
            while not wish.settled:
                async with queue.turn:
                    if not wish.settled:
                        await self._run_group(tenant_id, queue)
        finally:
            if not wish.settled:  # its caller has given up
                queue.waiting.remove(wish)
        if wish.error is not None:
            raise wish.error
        if wish.alone:
            return await alone()
        result: _T = wish.result
        return result

    async def _run_group(self, tenant_id: int, queue: _Queue) -> None:
        group = queue.group()
        try:
            plans = [wish.make() for wish in group]
            results = await db.run_together(self._pool, tenant_id, plans, patience_ms=PATIENCE_MS)
        except db.Unavailable as error:
            for wish in group:
                wish.alone = db.in_the_way(error)
                wish.error = None if wish.alone else error
        except Exception:  # noqa: BLE001 - whose fault it is, and which, shows when each runs alone
            for wish in group:
                wish.alone = True
        else:
            for wish, result in zip(group, results, strict=True):
                wish.result = result
        for wish in group:
            wish.settled = True
        queue.waiting = [wish for wish in queue.waiting if not wish.settled]
