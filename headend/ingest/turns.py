"""A bounded queue in which senders take turns, so that one that floods delays itself alone."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headend.mqtt import Delivery


class Turns:
    """Messages by topic; each turn takes one message of every topic that has any.

    Args:
        places: messages that it holds.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._held = 0
        self._lines: dict[str, deque[Delivery]] = {}
        self._changed = threading.Condition()

    def waiting(self, topic: str) -> int:
        """Messages of a topic that wait."""
        with self._changed:
            return len(self._lines.get(topic, ()))

    def put(self, delivery: Delivery, wait_s: float) -> bool:
        """Add a message; False when there was no place for it in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._held < self._places, wait_s):
                return False
            self._lines.setdefault(delivery.topic, deque()).append(delivery)
            self._held += 1
            self._changed.notify_all()
            return True

    def take(self, limit: int, wait_s: float) -> list[Delivery]:
        """Up to `limit` messages; waits for the first one, none when it does not come."""
        with self._changed:
            if not self._held:
                self._changed.wait_for(lambda: bool(self._held), wait_s)
            taken: list[Delivery] = []
            while self._held and len(taken) < limit:
                turn = list(self._lines)[: limit - len(taken)]
                taken += [self._next(topic) for topic in turn]
            self._changed.notify_all()
            return taken

    def _next(self, topic: str) -> Delivery:
        """The oldest message of a topic, which then stands behind all others."""
        line = self._lines.pop(topic)
        delivery = line.popleft()
        self._held -= 1
        if line:
            self._lines[topic] = line
        return delivery
