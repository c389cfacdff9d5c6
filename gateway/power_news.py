"""Last gasps and restorations as the mesh heard them, each told once. Pure.

Several neighbours carry one last gasp, and each may come more than once: what was heard within
`REPEATED_MS` is no news, unless the opposite was heard since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ohmesh.wire.report import MAX_POWER_NODES, PowerReport

if TYPE_CHECKING:
    from collections.abc import Iterable

REPEATED_MS: Final = 60_000
_NODES_MAX: Final = 100_000


class PowerNews:
    """What was heard and is not told yet."""

    def __init__(self) -> None:
        self._heard: dict[int, tuple[bool, int]] = {}
        self._news: list[tuple[bool, int]] = []

    def hear(self, nodes: Iterable[int], now_ms: int, *, restored: bool) -> None:
        """Take a report; `now_ms`: any clock that does not go back."""
        for node in nodes:
            before = self._heard.get(node)
            repeated = before and before[0] is restored and now_ms - before[1] < REPEATED_MS
            if repeated or len(self._news) >= _NODES_MAX:
                continue
            if len(self._heard) >= _NODES_MAX:
                self._heard.clear()
            self._heard[node] = (restored, now_ms)
            self._news.append((restored, node))

    def reports(self) -> list[PowerReport]:
        """The news in the order in which it came, as reports; after this it is told."""
        reports: list[PowerReport] = []
        for restored, node in self._news:
            last = reports[-1] if reports else None
            if last is None or last.restored is not restored or len(last.nodes) >= MAX_POWER_NODES:
                reports.append(last := PowerReport(restored, []))
            last.nodes.append(node)
        self._news.clear()
        return reports
