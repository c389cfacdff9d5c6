"""The mesh: this gateway as a root, on the air that MQTT carries or a radio modem.

The engine decides, this file pumps: frames in, frames out, and time. A delivered payload goes to
the outbox, and only after its commit does the root take custody of it; when the outbox refuses,
the sender is told that we are busy and keeps it. One connection carries the air, apart from the
connection to the head-end; when that one is lost the root says that it is not grounded, so that
nodes with another way take it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from gateway.drivers.modem import RadioModem
from gateway.mesh_reports import MeshReports
from gateway.mqtt import Link, LinkError, LinkSettings, Message
from gateway.root_state import RootState
from ohmesh.mesh import (
    CommandReason,
    CommandResult,
    Delivered,
    ForgetRoute,
    FrameRejected,
    JoinAsked,
    KeyedSealer,
    Persist,
    PersistRoute,
    PowerReport,
    StateError,
    Station,
    StationConfig,
    Trace,
    Transmit,
)
from ohmesh.model.errors import StoreError, WireError
from ohmesh.model.ids import mesh_address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.program.backoff import Backoff
from ohmesh.wire import topics
from ohmesh.wire.air import Hello, decode_heard, encode_air
from ohmesh.wire.joining import Doorkeeper
from ohmesh.wire.report import DeliveryStatus

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gateway.downlink import MeshCommand
    from gateway.drivers.line import LineSettings
    from gateway.outbox import Outbox
    from ohmesh.mesh import Output
    from ohmesh.model.ids import GatewayId
    from ohmesh.wire.brokerurl import BrokerUrl
    from ohmesh.wire.meshkeys import MeshKeys

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

COMMAND_PAYLOAD_MAX = 140
"""Room for a payload behind a source route of average length (`ohmesh.wire.downlink`)."""
_OUTGOING_MAX = 1000
"""Frames that may wait for the connection; more are lost, as on any radio."""
_DELIVERED_MAX = 2000
_RECENT_MAX = 5000
"""Payloads remembered after their commit: a repetition is acknowledged and not stored again."""
_HELLO_PERIOD_S = 5.0
_AIR_RECONNECT_CAP_S = 5.0
_MEMORY_PERIOD_S = 60.0
_IDLE_S = 60.0

_STATUS = {
    CommandReason.ACCEPTED: DeliveryStatus.DELIVERED,
    CommandReason.NO_ROUTE: DeliveryStatus.NO_ROUTE,
    CommandReason.EXPIRED: DeliveryStatus.EXPIRED,
    CommandReason.BUSY: DeliveryStatus.REFUSED,
    CommandReason.TOO_LONG: DeliveryStatus.REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSettings:
    """Which root this gateway is.

    Attributes:
        gateway: listener name on the air.
        node: its number in the mesh.
        net: network id.
        air: broker of the air.
        context: how to speak TLS to it.
        timer_divisor: divides the protocol's timers, 1..20.
        state_path: file for the root's state.
        modem: line of a radio modem that takes the place of the air's broker, None without.
        keys: who may join, and the network's keys; None: an open network.
    """

    gateway: GatewayId
    node: int
    net: int
    air: BrokerUrl
    context: Callable[[], ssl.SSLContext]
    timer_divisor: int
    state_path: Path
    modem: LineSettings | None = None
    keys: MeshKeys | None = None


class MeshDriver:
    """The pump around one root."""

    def __init__(
        self,
        settings: MeshSettings,
        outbox: Outbox,
        *,
        clock_ms: Callable[[], int],
        command_ended: Callable[[int, DeliveryStatus, str], None],
    ) -> None:
        """Make the root; nothing is on the air yet.

        Args:
            settings: which root.
            outbox: gets what is delivered.
            clock_ms: UTC milliseconds since 1970.
            command_ended: gets a command's token and what became of it.
        """
        self._settings = settings
        self._outbox = outbox
        self._clock_ms = clock_ms
        self._command_ended = command_ended
        self._memory = RootState(settings.state_path)
        self._door = _door(settings)
        self._station = _root_station(settings, self._memory, clock_ms() // 1000)
        self._link = self._new_link()
        self._modem = self._new_modem(settings.modem) if settings.modem else None
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue(_OUTGOING_MAX)
        self._delivered: asyncio.Queue[Delivered] = asyncio.Queue(_DELIVERED_MAX)
        self._recent: OrderedDict[tuple[int, int, bytes], None] = OrderedDict()
        self._reports = MeshReports(
            settings.node,
            outbox,
            self._station.routes,
            clock_ms=clock_ms,
            timer_divisor=settings.timer_divisor,
        )
        self._hello = asyncio.Event()
        self._rearmed = asyncio.Event()
        self.counts: Counter[str] = Counter()
        """What happened on the air, by metric name."""

    async def run(self) -> None:
        """Be a root until cancelled."""
        self._carry_out(self._station.start(_now_ms()))
        async with asyncio.TaskGroup() as tasks:
            air = self._modem or self._link
            tasks.create_task(air.run(), name="mesh-air")
            tasks.create_task(self._transmit_for_ever(), name="mesh-transmit")
            tasks.create_task(self._wake_for_ever(), name="mesh-wake")
            tasks.create_task(self._store_for_ever(), name="mesh-store")
            tasks.create_task(self._say_hello_for_ever(), name="mesh-hello")
            tasks.create_task(self._reports.tell_topology_for_ever(), name="mesh-topology")
            tasks.create_task(self._reports.tell_power_for_ever(), name="mesh-power")
            tasks.create_task(self._remember_for_ever(), name="mesh-memory")

    def _new_link(self) -> Link:
        settings = self._settings
        return Link(
            LinkSettings(
                brokers=[settings.air],
                context=settings.context,
                client_id=f"ohmesh-air-{settings.gateway}",
                topics=[topics.air_rx(settings.net, settings.gateway)],
                on_message=self._heard,
                on_change=lambda up: self._hello.set() if up else None,
            ),
            Backoff(random.random, cap_s=_AIR_RECONNECT_CAP_S),
        )

    def _new_modem(self, line: LineSettings) -> RadioModem:
        def heard(frame: bytes, rssi_dbm: int) -> None:
            self._carry_out(self._station.receive(_now_ms(), frame, rssi_dbm))

        backoff = Backoff(random.random, cap_s=_AIR_RECONNECT_CAP_S)
        return RadioModem(line, backoff, on_frame=heard)

    async def _send(self, frame: bytes) -> None:
        """Put a frame on the air. Raises LinkError."""
        if self._modem:
            await self._modem.send(frame)
        else:
            topic = topics.air_tx(self._settings.net, self._settings.node)
            await self._link.publish(Message(topic, frame))

    def command(self, command: MeshCommand) -> None:
        """Send a command down; its end comes to `command_ended`."""
        outputs = self._station.command(_now_ms(), command.node, command.payload, command.token)
        self._carry_out(outputs)

    def set_grounded(self, grounded: bool) -> None:  # noqa: FBT001 - up or down
        """The connection to the head-end is there, or gone."""
        self._carry_out(self._station.set_grounded(_now_ms(), grounded))

    def _heard(self, _: str, octets: bytes) -> None:
        try:
            batch = decode_heard(octets)
        except WireError as error:
            _log.warning("not from the air: %s", error)
            return
        for heard in batch.heard:
            if heard.node == self._settings.node:
                self._carry_out(self._station.receive(_now_ms(), heard.frame, heard.rssi_dbm))

    def _carry_out(self, outputs: Iterable[Output]) -> None:  # noqa: C901 - a table
        """Do what the root says, in its order: state is on disk before frames that rest on it."""
        for output in outputs:
            match output:
                case Transmit(frame):
                    self._put(self._outgoing, frame, "transmit.dropped")
                case Delivered():
                    self._put(self._delivered, output, "delivered.dropped")
                case Persist(state):
                    self._memory.keep(state)
                case PersistRoute(node, record):
                    self._memory.keep_route(node, record)
                case ForgetRoute(node):
                    self._memory.forget_route(node)
                case JoinAsked(_, node, request):
                    self._admit(output, node, request)
                case PowerReport(restored, nodes):
                    self._reports.hear_power(nodes, _now_ms(), restored=restored)
                case CommandResult(token, _, reason):
                    self._command_ended(token, _STATUS[reason], reason.value)
                case FrameRejected(reason):
                    self.counts[f"rejected.{reason.value}"] += 1
                case Trace(name, value):
                    self.counts[name] += value
                case _:
                    self.counts["output.unused"] += 1
        self._rearmed.set()

    def _admit(self, asked: JoinAsked, node: int, request: bytes) -> None:
        """Let a meter in that proves its key; others get no answer."""
        answer = self._door.answer(node, request) if self._door else None
        self.counts["join.refused" if answer is None else "join.admitted"] += 1
        if answer is not None:
            self._carry_out(self._station.admit(_now_ms(), asked, answer))

    def _put(self, queue: asyncio.Queue[_T], item: _T, dropped: str) -> None:
        try:
            queue.put_nowait(item)
        except asyncio.QueueFull:
            self.counts[dropped] += 1

    async def _wake_for_ever(self) -> None:
        while True:
            self._rearmed.clear()
            due_ms = self._station.next_wake_ms
            wait_s = _IDLE_S if due_ms is None else (due_ms - _now_ms()) / 1000
            if wait_s > 0:
                await _first_of(self._rearmed, wait_s)
            else:
                self._carry_out(self._station.wake(_now_ms()))
                await asyncio.sleep(0)

    async def _transmit_for_ever(self) -> None:
        while True:
            frame = await self._outgoing.get()
            try:
                await self._send(frame)
            except LinkError:
                self.counts["transmit.lost"] += 1

    async def _say_hello_for_ever(self) -> None:
        hello = Hello(self._settings.gateway, [self._settings.node])
        message = Message(topics.air_hello(self._settings.net), encode_air(hello))
        while True:
            self._hello.clear()
            if self._link.up:
                try:
                    await self._link.publish(message)
                except LinkError:
                    self.counts["hello.lost"] += 1
            await _first_of(self._hello, _HELLO_PERIOD_S)

    async def _store_for_ever(self) -> None:
        """Everything that was delivered meanwhile goes into one commit."""
        while True:
            delivered = [await self._delivered.get()]
            while not self._delivered.empty():
                delivered.append(self._delivered.get_nowait())
            ok = await self._store(delivered)
            for delivery in delivered:
                self._carry_out(self._station.custody(_now_ms(), delivery.token, ok))

    async def _store(self, delivered: list[Delivered]) -> bool:
        fresh = {(d.origin, d.oseq, d.payload): None for d in delivered}
        new = [key for key in fresh if key not in self._recent]
        received_at_ms = self._clock_ms()
        try:
            if new:
                await self._outbox.append(
                    [_meter_telegram(origin, payload, received_at_ms) for origin, _, payload in new]
                )
        except StoreError as error:
            _log.warning("%d payloads not taken: %s", len(new), error)
            return False
        self._recent.update(dict.fromkeys(new))
        while len(self._recent) > _RECENT_MAX:
            self._recent.popitem(last=False)
        return True

    async def _remember_for_ever(self) -> None:
        try:
            while True:
                await asyncio.sleep(_MEMORY_PERIOD_S)
                self._memory.flush()
        finally:
            self._memory.flush()


def _meter_telegram(origin: int, payload: bytes, received_at_ms: int) -> Telegram:
    return Telegram(TelegramKind.METER, "mesh", mesh_address(origin), "", received_at_ms, payload)


async def _first_of(event: asyncio.Event, wait_s: float) -> None:
    """Until the event, or until the time is over."""
    try:
        async with asyncio.timeout(wait_s):
            await event.wait()
    except TimeoutError:
        return


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _root_station(settings: MeshSettings, memory: RootState, epoch_s: int) -> Station:
    config = StationConfig(
        node=settings.node,
        net=settings.net,
        is_root=True,
        epoch=epoch_s,
        timer_divisor=settings.timer_divisor,
    )
    routes = [PersistRoute(node, record) for node, record in memory.routes.items()]
    keys = settings.keys
    sealer = KeyedSealer(keys.network_keys, keys.seal) if keys else None
    try:
        return Station(config, random.SystemRandom(), memory.blob, routes=routes, sealer=sealer)
    except StateError as error:
        aside = memory.set_aside()
        _log.error("the mesh state is damaged (%s), kept as %s", error, aside.name)
        return Station(config, random.SystemRandom(), sealer=sealer)


def _door(settings: MeshSettings) -> Doorkeeper | None:
    keys = settings.keys
    return Doorkeeper(settings.net, keys.members, keys.network_keys) if keys else None
