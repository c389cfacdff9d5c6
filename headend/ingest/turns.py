"""A bounded queue in which senders take turns, so that one that floods delays itself alone."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from headend.mqtt import Delivery


class Turns:
    """Messages by topic; each turn takes one message of every topic that has any.

    Args:
        places: messages that it is meant to hold: who looks at `room` before reading on holds it to
            them and what one read brings; of QoS 0 nothing is held beyond.
        line_max: messages of one topic that wait, where `is_bounded` says that it has a bound.
    """

    def __init__(
        self, places: int, line_max: int, is_bounded: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._places = places
        self._line_max = line_max
        self._is_bounded = is_bounded
        self._held = 0
        self._lines: dict[str, deque[Delivery]] = {}
        self._changed = threading.Condition()

    @property
    def room(self) -> bool:
        """Whether there is a place."""
        return self._held < self._places

    def put(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Add messages; those that were not taken: of a line that is full, or of QoS 0."""
        refused = []
        lines = self._lines
        with self._changed:
            for delivery in deliveries:
                if not self._takes(delivery, lines.get(delivery.topic, ())):
                    refused.append(delivery)
                    continue
                lines.setdefault(delivery.topic, deque()).append(delivery)
                self._held += 1
            self._changed.notify()
        return refused

    def _takes(self, delivery: Delivery, line: Collection[Delivery]) -> bool:
        if not (delivery.mid or self.room):
            return False
        return len(line) < self._line_max or not self._is_bounded(delivery.topic)

    def take(self, limit: int, wait_s: float) -> list[Delivery]:
        """Up to `limit` messages; waits for the first one, none when it does not come."""
        with self._changed:
            if not self._held:
                self._changed.wait_for(lambda: bool(self._held), wait_s)
            taken: list[Delivery] = []
            while self._held and len(taken) < limit:
                turn = list(islice(self._lines, limit - len(taken)))
                taken += [self._next(topic) for topic in turn]
            return taken

    def _next(self, topic: str) -> Delivery:
        """The oldest message of a topic, which then stands behind all others."""
        line = self._lines.pop(topic)
        delivery = line.popleft()
        self._held -= 1
        if line:
            self._lines[topic] = line
        return delivery
