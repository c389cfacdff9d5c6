"""A mesh of a thousand meters around one gateway, on real MQTT: what the root costs.

Forty meters hear the root; each carries for its own neighbourhood. The radio loses nothing and the
meters are the real engine, so the gateway hears what its neighbours send and nothing else, as a
root in a street does.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import random
import time
from typing import TYPE_CHECKING, Final

from meter_sim.mqtt import AirClient
from ohmesh.mesh import Station, StationConfig, Transmit
from ohmesh.wire import topics
from ohmesh.wire.air import Heard, HeardBatch, encode_air

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ohmesh.mesh import Output
    from ohmesh.wire.brokerurl import BrokerUrl

ROOT: Final = 1
NET: Final = 1
DIVISOR: Final = 20
"""Mesh timers run so many times as fast, so that a measurement of a minute sees all of them."""
_RELAYS: Final = 40
_RSSI_DBM: Final = -60
_PAYLOAD_BYTES: Final = 100
_TURN_S: Final = 0.005


class Street:
    """The meters and the air between them, until cancelled."""

    def __init__(self, broker: BrokerUrl, meters: int, *, report_s: float) -> None:
        """Args: report_s: each meter has a report so often."""
        self._report_ms = int(report_s * 1000)
        self._nodes = range(ROOT + 1, ROOT + 1 + meters)
        self._stations = {node: self._station(node) for node in self._nodes}
        self._wakes: list[tuple[int, int]] = []
        self._reports = [
            (self._now_ms + self._report_ms * at // meters, node)
            for at, node in enumerate(self._nodes)
        ]
        self._in_the_air: list[tuple[int, bytes]] = []
        self.ready = asyncio.Event()
        hears = {topics.air_tx(NET, ROOT): 0}
        self._client = AirClient(broker, hears, hear=self._hear_root, greet=self.ready.set)

    @property
    def joined(self) -> int:
        """Meters that have a way to the root."""
        return sum(station.joined for station in self._stations.values())

    async def run(self) -> None:
        """Play until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._client.run(), name="air")
            tasks.create_task(self._play(), name="street")

    def _station(self, node: int) -> Station:
        config = StationConfig(node=node, net=NET, is_root=False, epoch=0, timer_divisor=DIVISOR)
        return Station(config, random.Random(node))  # noqa: S311 - a repeatable street

    @property
    def _now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    async def _play(self) -> None:
        await self.ready.wait()
        for node, station in self._stations.items():
            self._carry_out(node, station.start(self._now_ms))
        while True:
            self._wake()
            self._report()
            self._transmit()
            await asyncio.sleep(_TURN_S)

    def _wake(self) -> None:
        now_ms = self._now_ms
        while self._wakes and self._wakes[0][0] <= now_ms:
            _, node = heapq.heappop(self._wakes)
            station = self._stations[node]
            if station.next_wake_ms is not None and station.next_wake_ms <= now_ms:
                self._carry_out(node, station.wake(now_ms))

    def _report(self) -> None:
        now_ms = self._now_ms
        while self._reports[0][0] <= now_ms:
            due_ms, node = heapq.heappop(self._reports)
            heapq.heappush(self._reports, (due_ms + self._report_ms, node))
            station = self._stations[node]
            if station.joined:
                self._carry_out(node, station.submit(now_ms, os.urandom(_PAYLOAD_BYTES)))

    def _transmit(self) -> None:
        frames, self._in_the_air = self._in_the_air, []
        to_root = []
        for sender, frame in frames:
            for listener in self._neighbours(sender):
                if listener == ROOT:
                    to_root.append(Heard(ROOT, _RSSI_DBM, 0, frame))
                else:
                    self._deliver(listener, frame)
        if to_root:
            self._client.send(topics.air_rx(NET, "gw1"), encode_air(HeardBatch(to_root)))

    def _neighbours(self, node: int) -> Sequence[int]:
        """Who hears a node: a relay its root and its own, a leaf its relay."""
        relays = self._nodes[:_RELAYS]
        if node == ROOT:
            return relays
        if node in relays:
            return (ROOT, *self._nodes[_RELAYS + node - relays.start :: _RELAYS])
        return (relays[(node - relays.stop) % _RELAYS],)

    def _hear_root(self, _topic: str, frame: bytes) -> None:
        for listener in self._neighbours(ROOT):
            self._deliver(listener, frame)

    def _deliver(self, node: int, frame: bytes) -> None:
        self._carry_out(node, self._stations[node].receive(self._now_ms, frame, _RSSI_DBM))

    def _carry_out(self, node: int, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if isinstance(output, Transmit):
                self._in_the_air.append((node, output.frame))
        wake_ms = self._stations[node].next_wake_ms
        if wake_ms is not None:
            heapq.heappush(self._wakes, (wake_ms, node))
