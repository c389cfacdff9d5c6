"""A broker as target: at QoS 1 every record is accounted for, whatever becomes of the connection.

At QoS 0 nothing is acknowledged: delivered is what the socket has taken, and what was in it when
the connection broke is not known to anybody.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from meter_sim.capture.record import MQTT
from meter_sim.replay.link import LinkError, MqttLink
from meter_sim.replay.target import Account, TargetGoneError
from ohmesh.wire import mqtt5
from ohmesh.wire.mqtt5 import Answer, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meter_sim.capture.record import Record
    from ohmesh.wire.brokerurl import BrokerUrl

SEND_BYTES = 64 * 1024
"""So much is gathered before the socket is asked, when there is no pace to keep."""
BACKLOG_BYTES = 4 * SEND_BYTES
_RETRY_S = 0.5
_TURN_S = 1.0
_log = logging.getLogger(__name__)


class BrokerTarget:
    """Publishes `mqtt` records; connects again, and sends again what was not acknowledged.

    Args:
        url: the broker.
        qos: for all records; None keeps the captured one, 2 becoming 1.
        patience_s: how long a broker may be away before the replay ends.
    """

    def __init__(self, url: BrokerUrl, *, qos: int | None, patience_s: float) -> None:
        self.account = Account()
        self._url = url
        self._qos = qos
        self._patience_s = patience_s
        self._link: MqttLink | None = None
        self._under_way: dict[int, Record] = {}
        self._in_buffer: deque[tuple[int, Record]] = deque()
        self._packet_id = 0
        self._topics: dict[str, bytes] = {}
        self._connect()

    def parts(self, record: Record) -> Sequence[Record]:
        """MQTT records only."""
        return (record,) if record.kind == MQTT else ()

    def send(self, record: Record) -> None:
        """Publish one record, when there is room for it."""
        flags = self._flags(record)
        while flags & 1 and len(self._under_way) >= self._window:
            self.pump(_TURN_S)
        if self._open.waiting_bytes >= SEND_BYTES:
            self.pump(0)
        while self._open.waiting_bytes >= BACKLOG_BYTES:
            self.pump(_TURN_S)
        self.account.sent += 1
        self._put(record, flags)

    def pump(self, wait_s: float) -> None:
        """Send, and take acknowledgements."""
        try:
            for packet in self._open.pump(wait_s):
                if isinstance(packet, Answer) and packet.kind == Kind.PUBACK:
                    self._acknowledged(packet)
            self._written()
        except LinkError as error:
            _log.warning("%s", error)
            self._connect_again()

    def finish(self) -> None:
        """Wait for the last acknowledgement."""
        while self._under_way or self._in_buffer:
            self.pump(_TURN_S)

    def close(self) -> None:
        """Say good-bye."""
        self.account.undelivered.extend(self._take_waiting())
        if self._link is not None:
            self._link.close()
            self._link = None

    @property
    def _open(self) -> MqttLink:
        if self._link is None:
            raise TargetGoneError("there is no connection to the broker")
        return self._link

    @property
    def _window(self) -> int:
        return min(self._open.receive_maximum, mqtt5.RECEIVE_MAXIMUM_DEFAULT - 1)

    def _flags(self, record: Record) -> int:
        qos = min(record.qos, 1) if self._qos is None else self._qos
        return record.flags & ~3 | qos

    def _put(self, record: Record, flags: int) -> None:
        topic = self._topics.get(record.channel)
        if topic is None:
            topic = self._topics[record.channel] = record.place.encode()
        packet_id = self._next_id() if flags & 1 else 0
        self._open.queue(mqtt5.publish(topic, record.payload, flags, packet_id))
        if packet_id:
            self._under_way[packet_id] = record
        else:
            self._in_buffer.append((self._open.queued_bytes, record))

    def _written(self) -> None:
        """What stood before this byte has left (QoS 0)."""
        written_bytes = self._open.queued_bytes - self._open.waiting_bytes
        while self._in_buffer and self._in_buffer[0][0] <= written_bytes:
            self.account.took(self._in_buffer.popleft()[1])

    def _take_waiting(self) -> list[Record]:
        """All of which nobody knows that it arrived."""
        waiting = [*self._under_way.values(), *(record for _, record in self._in_buffer)]
        self._under_way.clear()
        self._in_buffer.clear()
        return waiting

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        while self._packet_id in self._under_way:
            self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id

    def _acknowledged(self, answer: Answer) -> None:
        record = self._under_way.pop(answer.packet_id, None)
        if record is None:
            return
        if answer.reason >= 0x80:
            self.account.refuse(record, f"reason code {answer.reason:#x}")
        else:
            self.account.took(record)

    def _connect(self) -> None:
        self._link = MqttLink(self._url)

    def _connect_again(self) -> None:
        """A clean start: the broker may have forgotten everything, so all that waits goes again."""
        if self._link is not None:
            self._link.abandon()
            self._link = None
        deadline = time.monotonic() + self._patience_s
        while self._link is None:
            try:
                self._connect()
            except LinkError as error:
                if time.monotonic() > deadline:
                    raise TargetGoneError(f"{error}; waited {self._patience_s:g} s") from None
                time.sleep(_RETRY_S)
        waiting = self._take_waiting()
        self.account.resent += len(waiting)
        for record in waiting:
            self._put(record, self._flags(record))
