"""What a root tells the head-end of its mesh: the routes, who lost power and who has it again."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from gateway.power_news import PowerNews
from ohmesh.model.errors import ModelError, StoreError
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.report import MAX_ROUTES, PowerReport, Route, TopologyReport, encode_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.outbox import Outbox
    from ohmesh.mesh import RouteEntry

_log = logging.getLogger(__name__)
_SOONEST_S: Final = 60.0
"""Between two reports while routes change; divided by the timer divisor."""
_LATEST_S: Final = 900.0
_POWER_GATHER_S: Final = 0.5
"""Last gasps come together: those of this time travel in one telegram."""
_POWER_AGAIN_S: Final = 5.0


class MeshReports:
    """Telegrams of one root about its mesh."""

    def __init__(
        self,
        root: int,
        outbox: Outbox,
        routes: Callable[[], list[RouteEntry]],
        *,
        clock_ms: Callable[[], int],
        timer_divisor: int,
    ) -> None:
        """Args: root: its number; routes: those of now; clock_ms: UTC milliseconds since 1970."""
        self._root = root
        self._outbox = outbox
        self._entries = routes
        self._clock_ms = clock_ms
        self._soonest_s = max(1.0, _SOONEST_S / timer_divisor)
        self._power = PowerNews()
        self._power_heard = asyncio.Event()

    def hear_power(self, nodes: Iterable[int], now_ms: int, *, restored: bool) -> None:
        """Nodes lost their power, or have it again; `now_ms`: a clock that does not go back."""
        self._power.hear(nodes, now_ms, restored=restored)
        self._power_heard.set()

    async def tell_topology_for_ever(self) -> None:
        """The routes when they have changed, and now and then when they have not."""
        told: set[tuple[int, int, int]] | None = None
        told_s = 0.0
        while True:
            await asyncio.sleep(self._soonest_s)
            routes = self._routes()
            shape = {(route.node, route.parent, route.hops) for route in routes}
            overdue = time.monotonic() - told_s >= _LATEST_S
            report = TopologyReport(self._root, routes)
            if (shape != told or overdue) and await self._tell(TelegramKind.TOPOLOGY, report):
                told, told_s = shape, time.monotonic()

    def _routes(self) -> list[Route]:
        entries = self._entries()[:MAX_ROUTES]
        return [
            Route(entry.node, *entry.parents[0], entry.hops) for entry in entries if entry.parents
        ]

    async def tell_power_for_ever(self) -> None:
        """What is heard while the outbox refuses is told when it takes again."""
        while True:
            await self._power_heard.wait()
            self._power_heard.clear()
            await asyncio.sleep(_POWER_GATHER_S)
            for report in self._power.reports():
                while not await self._tell(TelegramKind.POWER, report):  # noqa: ASYNC110 - nothing tells when it takes again
                    await asyncio.sleep(_POWER_AGAIN_S)

    async def _tell(self, kind: TelegramKind, report: TopologyReport | PowerReport) -> bool:
        payload = encode_report(report)
        telegram = Telegram(kind, "mesh", Address(""), "", self._clock_ms(), payload)
        try:
            await self._outbox.append([telegram])
        except (StoreError, ModelError) as error:
            _log.warning("a report of the %s is not taken: %s", kind.name.lower(), error)
            return False
        return True
