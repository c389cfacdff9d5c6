"""When which node of a process wants to be called; an entry that has moved is skipped."""

from __future__ import annotations

import heapq


class Wakes:
    """The next call of each node, in ms."""

    def __init__(self) -> None:
        """Start empty."""
        self._queue: list[tuple[int, int]] = []
        self._due: dict[int, int] = {}

    @property
    def next_ms(self) -> int | None:
        """The earliest call, or one that has moved since; None without any."""
        return self._queue[0][0] if self._queue else None

    def put(self, node: int, due_ms: int | None) -> None:
        """Set when a node wants to be called; None leaves what stands."""
        if due_ms is None or due_ms == self._due.get(node):
            return
        self._due[node] = due_ms
        heapq.heappush(self._queue, (due_ms, node))

    def take(self, now_ms: int) -> int | None:
        """A node that is due by now; None when nobody is."""
        while self._queue and self._queue[0][0] <= now_ms:
            due_ms, node = heapq.heappop(self._queue)
            if self._due.get(node) == due_ms:
                del self._due[node]
                return node
        return None
