"""Where ingest gets its messages: a small port, and MQTT behind it.

`fetch` hands out messages, `done` is called after their effects are committed, `again` gives them
back when they could not be stored. Another queue engine can stand behind the same port.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Final, Protocol

from headend.mqtt import Delivery, MqttClient
from ohmesh.wire import topics

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)
SUBSCRIPTIONS: Final = (topics.ALL_UPLINKS, topics.ALL_DIRECT)
_SPARE: Final = 1000
"""Places beyond the receive maximum, for QoS 0 and for a broker that ignores the maximum."""
_LOOK_S: Final = 0.5


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

    The queue is bounded. The broker holds back what exceeds the receive maximum; a broker that
    does not is held back by its connection: the client's thread waits for a place. A QoS 0 message
    that finds the queue full is dropped: its sender asked for no more.

    Args:
        url: the broker.
        client_id: of the session.
        shared: subscribe as one of several workers (`$share`); states then go to one of them.
        receive_maximum: messages under way.
    """

    def __init__(self, url: str, *, client_id: str, shared: bool, receive_maximum: int) -> None:
        filters = [topics.shared(f) if shared else f for f in SUBSCRIPTIONS]
        self._queue: queue.Queue[Delivery] = queue.Queue(receive_maximum + _SPARE)
        self._returned: list[Delivery] = []
        self._dropped = 0
        self._closed = threading.Event()
        self.client = MqttClient(
            url,
            client_id=client_id,
            subscriptions=[*filters, topics.ALL_STATES],
            receive=self._enqueue,
            receive_maximum=receive_maximum,
        )

    def start(self) -> None:
        """Connect in the background."""
        self.client.start()

    def stop(self) -> None:
        """Disconnect; what was fetched and not done comes again in the next session."""
        self._closed.set()
        self.client.stop()

    def _enqueue(self, delivery: Delivery) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(delivery, timeout=_LOOK_S if delivery.mid else 0.0)
            except queue.Full:
                if not delivery.mid:
                    return self._drop()
            else:
                return None
        return None

    def _drop(self) -> None:
        self._dropped += 1
        if self._dropped.bit_count() == 1:  # at 1, 2, 4, 8 ...
            _log.warning("the queue is full: %d QoS 0 messages dropped", self._dropped)

    def fetch(self, limit: int, wait_s: float) -> list[Delivery]:
        """As the port says."""
        if self._returned:
            taken, self._returned = self._returned[:limit], self._returned[limit:]
            return taken
        try:
            taken = [self._queue.get(timeout=wait_s)]
        except queue.Empty:
            return []
        while len(taken) < limit:
            try:
                taken.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return taken

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """As the port says: PUBACK in the order of arrival (MQTT 5, 4.6)."""
        for delivery in deliveries:
            self.client.acknowledge(delivery)

    def again(self, deliveries: Sequence[Delivery]) -> None:
        """As the port says."""
        self._returned = [*deliveries, *self._returned]
