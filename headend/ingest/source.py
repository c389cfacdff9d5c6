"""Where ingest gets its messages: a small port, and MQTT behind it.

`fetch` hands out messages, `done` is called after their effects are committed, `again` gives them
back when they could not be stored. Another queue engine can stand behind the same port.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, Protocol

from headend.ingest.turns import Turns
from headend.mqtt import Delivery, MqttClient
from ohmesh.wire import topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headend.mqtt import TlsFiles

_log = logging.getLogger(__name__)
SUBSCRIPTIONS: Final = (topics.ALL_UPLINKS, topics.ALL_DIRECT)
_SPARE: Final = 1000
"""Places beyond the receive maximum, for QoS 0 and for a broker that ignores the maximum."""
_LOOK_S: Final = 0.5
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
    while another is committed and no gateway's batches overtake each other. The lanes are bounded.
    The broker holds back what exceeds the receive maximum; a broker that does not is held back by
    its connection: the client's thread waits for a place. A QoS 0 message that finds its lane full
    is dropped: its sender asked for no more.

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
        self._queues = [Turns(receive_maximum + _SPARE) for _ in range(lanes)]
        self._sender_max = sender_max
        self._lost: Counter[str] = Counter()
        self._closed = threading.Event()
        self._receipts = Receipts()
        self.lanes = [Lane(queue, self.done) for queue in self._queues]
        self.client = MqttClient(
            url,
            client_id=client_id,
            subscriptions=[*filters, topics.ALL_STATES],
            receive=self._enqueue,
            receive_maximum=receive_maximum,
            tls=tls,
        )

    def start(self) -> None:
        """Connect in the background."""
        self.client.start()

    def stop(self) -> None:
        """Disconnect; what was fetched and not done comes again in the next session."""
        self._closed.set()
        self.client.stop()

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """PUBACK, in the order of arrival."""
        for connection, mid in self._receipts.finish(deliveries):
            self.client.acknowledge(connection, mid)

    def _enqueue(self, delivery: Delivery) -> None:
        queue = self._queues[zlib.crc32(delivery.topic.encode()) % len(self._queues)]
        self._receipts.expect(delivery)
        if _is_uplink(delivery) and queue.waiting(delivery.topic) >= self._sender_max:
            self._count_lost("batches of gateways that flood, which keep them", delivery)
            return
        while not self._closed.is_set():
            if queue.put(delivery, _LOOK_S if delivery.mid else 0.0):
                return
            if not delivery.mid:
                self._count_lost("QoS 0 messages dropped, the queue is full", delivery)
                return

    def _count_lost(self, what: str, delivery: Delivery) -> None:
        self._lost[what] += 1
        if self._lost[what].bit_count() == 1:  # at 1, 2, 4, 8 ...
            _log.warning("%d %s; the last on %s", self._lost[what], what, delivery.topic)
        self.done([delivery])


def _is_uplink(delivery: Delivery) -> bool:
    return delivery.topic.startswith("ohmesh/v1/gw/") and delivery.topic.endswith("/up")


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

    def expect(self, delivery: Delivery) -> None:
        """A message arrived."""
        if delivery.mid:
            with self._lock:
                self._expected.append((delivery.connection, delivery.mid))

    def finish(self, deliveries: Sequence[Delivery]) -> list[tuple[int, int]]:
        """Messages are done; (connection, mid) of those to acknowledge now, in order."""
        with self._lock:
            self._finished.update((d.connection, d.mid) for d in deliveries if d.mid)
            ready: list[tuple[int, int]] = []
            while self._expected and self._finished[self._expected[0]]:
                place = self._expected.popleft()
                self._finished[place] -= 1
                if not self._finished[place]:
                    del self._finished[place]
                ready.append(place)
            return ready
