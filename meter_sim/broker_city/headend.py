"""Who listens at the broker: takes uplinks as a head-end does, and hears how the engines are."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from meter_sim.broker_city.engines import decode_reading
from meter_sim.city.world import NET
from meter_sim.mqtt import AirClient
from ohmesh.model.telegram import TelegramKind
from ohmesh.wire import topics
from ohmesh.wire.aircontrol import AirAction, AirControl, decode_status, encode_control
from ohmesh.wire.uplink import decode_batch, encode_ack

if TYPE_CHECKING:
    from ohmesh.model.ids import GatewayId
    from ohmesh.wire.aircontrol import AirStatus
    from ohmesh.wire.brokerurl import BrokerUrl


class Listener:
    """What has arrived by now, and how many are on the mesh.

    Attributes:
        delay_ms: reading (node, produced) -> how long until a gateway had committed it.
        copies: readings that arrived again.
        up: gateways that have spoken since they were last told to end.
        statuses: the newest word of each process of engines.
    """

    def __init__(self, broker: BrokerUrl) -> None:
        self.delay_ms: dict[tuple[int, int], int] = {}
        self.copies = 0
        self.up: set[str] = set()
        self.statuses: dict[str, AirStatus] = {}
        self.ready = asyncio.Event()
        self._through: dict[tuple[str, int], int] = {}
        hears = {
            topics.ALL_UPLINKS: 1,
            topics.ALL_STATES: 1,
            topics.air_all(NET, "status"): 0,
        }
        self._client = AirClient(broker, hears, hear=self._hear, greet=self.ready.set)

    async def run(self) -> None:
        """Until cancelled."""
        await self._client.run()

    @property
    def joined(self) -> int:
        """Meters that a gateway knows."""
        return sum(status.joined for status in self.statuses.values())

    @property
    def made(self) -> int:
        """Readings produced."""
        return sum(status.reports for status in self.statuses.values())

    def stop_reports(self) -> None:
        """Let no meter report any more."""
        order = encode_control(AirControl(AirAction.STOP))
        self._client.send(topics.air_ctl(NET, 0), order)

    def _hear(self, topic: str, octets: bytes) -> None:
        if topic.startswith(topics.air_status(NET, "")):
            status = decode_status(octets)
            self.statuses[status.listener] = status
            return
        gateway = topics.gateway_of(topic)
        if topic.endswith("/up"):
            self.up.add(gateway)
            self._take(gateway, octets)
        elif json.loads(octets)["state"] == "online":
            self.up.add(gateway)

    def _take(self, gateway: GatewayId, octets: bytes) -> None:
        batch = decode_batch(octets)
        for telegram in batch.telegrams():
            if telegram.kind is TelegramKind.METER:
                self._note(telegram.payload, telegram.received_at_ms)
        store = gateway, batch.epoch
        if batch.first_seq <= self._through.get(store, 0):
            self._through[store] = max(self._through.get(store, 0), batch.end_seq)
        ack = encode_ack(batch.epoch, self._through.get(store, 0))
        self._client.send(topics.gateway_topic(gateway, "ack"), ack)

    def _note(self, payload: bytes, received_ms: int) -> None:
        reading = decode_reading(payload)
        if reading in self.delay_ms:
            self.copies += 1
        delay_ms = max(0, received_ms - reading[1])
        self.delay_ms[reading] = min(delay_ms, self.delay_ms.get(reading, delay_ms))


def now_ms() -> int:
    """UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000
