"""Where ingest gets its messages: a small port, and MQTT behind it.

`fetch` hands out messages, `done` is called after their effects are committed, `again` gives them
back when they could not be stored. Another queue engine can stand behind the same port.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from functools import lru_cache
from itertools import cycle
from typing import TYPE_CHECKING, Final, Protocol

from headend.ingest.turns import Turns
from headend.mqtt import MqttClient
from ohmesh.wire import topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headend.mqtt import Delivery, TlsFiles

_log = logging.getLogger(__name__)
SUBSCRIPTIONS: Final = (topics.ALL_UPLINKS, topics.ALL_DIRECT)
_SPARE: Final = 1000
"""Places beyond the receive maximum, for QoS 0 and for a broker that ignores the maximum."""
SENDERS_MAX: Final = 100_000
"""Senders that keep their lane; one not heard for longest may get another, which harms nothing."""
SENDER_MAX: Final = 32
"""Batches of one gateway that may wait: twice what a gateway has under way at most."""


class Source(Protocol):
    """The port."""

    def fetch(self, limit: int, wait_s: float) -> list[Delivery]:
        """Up to `limit` messages; waits `wait_s` for the first one."""
        ...

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """Their effects are committed."""
        ...

    def again(self, deliveries: Sequence[Delivery]) -> None:
        """They could not be stored: hand them out again, before all others."""
        ...


class MqttSource:
    """Uplinks of gateways and of meters with their own modem, and states of gateways.

    Messages go to lanes by their sender, each a port for one writer, so that one batch is decoded
    while another is committed and no gateway's batches overtake each other. The lanes are bounded:
    the broker holds back what exceeds the receive maximum, and while a lane is full nothing is read
    from the connection. A QoS 0 message that finds its lane full is dropped: its sender asked for
    no more.

    A gateway that has more than `sender_max` batches waiting floods: what is beyond is acknowledged
    to the broker, so that it does not stand in the others' way, and to nobody else: the gateway
    keeps its rows. No gateway of ours has so many under way.

    Args:
        url: the broker.
        client_id: of the session.
        shared: subscribe as one of several workers (`$share`); states then go to one of them.
        receive_maximum: messages under way.
        tls: for `mqtts://`.
        lanes: writers.
        sender_max: batches of one gateway that may wait.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        shared: bool,
        receive_maximum: int,
        tls: TlsFiles | None = None,
        lanes: int = 1,
        sender_max: int = SENDER_MAX,
    ) -> None:
        filters = [topics.shared(f) if shared else f for f in SUBSCRIPTIONS]
        self._queues = [
            Turns(receive_maximum + _SPARE, sender_max, _is_uplink) for _ in range(lanes)
        ]
        turn = cycle(range(lanes))
        self._lane_of = lru_cache(SENDERS_MAX)(lambda _topic: next(turn))
        self._lost: Counter[str] = Counter()
        self._receipts = Receipts()
        self.lanes = [Lane(queue, self.done) for queue in self._queues]
        self.client = MqttClient(
            url,
            client_id=client_id,
            subscriptions=[*filters, topics.ALL_STATES],
            receive=self._enqueue,
            room=lambda: all(queue.room for queue in self._queues),
            receive_maximum=receive_maximum,
            tls=tls,
        )

    def start(self) -> None:
        """Connect in the background."""
        self.client.start()

    def stop(self) -> None:
        """Disconnect; what was fetched and not done comes again in the next session."""
        self.client.stop()

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """PUBACK, in the order of arrival."""
        if ready := self._receipts.finish(deliveries):
            self.client.acknowledge(ready)

    def _enqueue(self, deliveries: list[Delivery]) -> None:
        self._receipts.expect(deliveries)
        parts: list[list[Delivery]] = [[] for _ in self._queues]
        for delivery in deliveries:
            parts[self._lane_of(delivery.topic)].append(delivery)
        refused = [d for q, part in zip(self._queues, parts, strict=True) for d in q.put(part)]
        for delivery in refused:
            self._count_lost(delivery)
        self.done(refused)

    def _count_lost(self, delivery: Delivery) -> None:
        what = (
            "batches of gateways that flood, which keep them"
            if _is_uplink(delivery.topic)
            else "QoS 0 messages dropped, the queue is full"
        )
        self._lost[what] += 1
        if self._lost[what].bit_count() == 1:  # at 1, 2, 4, 8 ...
            _log.warning("%d %s; the last on %s", self._lost[what], what, delivery.topic)


def _is_uplink(topic: str) -> bool:
    return topic.startswith("ohmesh/v1/gw/") and topic.endswith("/up")


class Lane:
    """One writer's port."""

    def __init__(self, queue: Turns, done: Callable[[Sequence[Delivery]], None]) -> None:
        self._queue = queue
        self._done = done
        self._returned: list[Delivery] = []

    def fetch(self, limit: int, wait_s: float) -> list[Delivery]:
        """As the port says."""
        if self._returned:
            taken, self._returned = self._returned[:limit], self._returned[limit:]
            return taken
        return self._queue.take(limit, wait_s)

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """As the port says."""
        self._done(deliveries)

    def again(self, deliveries: Sequence[Delivery]) -> None:
        """As the port says."""
        self._returned = [*deliveries, *self._returned]


class Receipts:
    """Brings what writers finish into the order of arrival (MQTT 5, 4.6: PUBACK in order).

    A broker may deliver a message twice on one connection; each delivery is finished by itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: deque[tuple[int, int]] = deque()
        self._finished: Counter[tuple[int, int]] = Counter()

    def expect(self, deliveries: Sequence[Delivery]) -> None:
        """Messages arrived."""
        with self._lock:
            self._expected.extend((d.connection, d.mid) for d in deliveries if d.mid)

    def finish(self, deliveries: Sequence[Delivery]) -> list[tuple[int, int]]:
        """Messages are done; (connection, mid) of those to acknowledge now, in order."""
        finished, expected = self._finished, self._expected
        with self._lock:
            finished.update([(d.connection, d.mid) for d in deliveries if d.mid])
            ready: list[tuple[int, int]] = []
            while expected and expected[0] in finished:
                place = expected.popleft()
                ready.append(place)
                if finished[place] == 1:
                    del finished[place]
                else:
                    finished[place] -= 1
            return ready
