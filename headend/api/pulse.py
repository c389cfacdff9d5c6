"""What has changed since a moment ago, looked up at most once a second for all listeners."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

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

    async def take(self, tenant_id: int, look: Callable[[], Awaitable[Pulse]]) -> Pulse:
        """The tenant's pulse, at most a beat old; `look` reads it from the database."""
        async with self._locks.setdefault(tenant_id, asyncio.Lock()):
            taken_s, pulse = self._newest.get(tenant_id, (-self.beat_s, Pulse(0, {})))
            if time.monotonic() - taken_s >= self.beat_s:
                pulse = await look()
                self._newest[tenant_id] = (time.monotonic(), pulse)
            return pulse
