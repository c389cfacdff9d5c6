"""What has changed since a moment ago, looked up at most once a second for all listeners."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_T = TypeVar("_T")
PULSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """The state of a tenant's data as short texts by topic, and the newest event's number."""

    event_id: int
    topics: Mapping[str, str]

    def changed_since(self, older: Pulse) -> list[str]:
        """Names of the topics that differ."""
        return [name for name, text in self.topics.items() if older.topics.get(name) != text]


class Pulses:
    """One pulse a tenant, shared: a thousand open pages cost one query a second."""

    def __init__(self, beat_s: float = PULSE_S) -> None:
        self.beat_s = beat_s
        self._locks: dict[int, asyncio.Lock] = {}
        self._newest: dict[int, tuple[float, Pulse]] = {}
        self._under_way: set[asyncio.Task[Any]] = set()

    async def undisturbed(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await work that a listener who goes away does not cut off in the middle of a query."""
        task = asyncio.create_task(work, name="pulse")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait for what is under way; call it before the pool closes."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def take(self, tenant_id: int, look: Callable[[], Coroutine[Any, Any, Pulse]]) -> Pulse:
        """The tenant's pulse, at most a beat old; `look` reads it from the database."""
        async with self._locks.setdefault(tenant_id, asyncio.Lock()):
            taken_s, pulse = self._newest.get(tenant_id, (-self.beat_s, Pulse(0, {})))
            if time.monotonic() - taken_s >= self.beat_s:
                pulse = await self.undisturbed(look())
                self._newest[tenant_id] = (time.monotonic(), pulse)
            return pulse
