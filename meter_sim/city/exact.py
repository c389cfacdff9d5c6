"""The exact radio: octets, explicit hop ARQ, every frame of every attempt on the air.

A frame is two events: it is given its place on the air when a station asks, and judged at its end,
at its destination only if it has one. Only the seal is a stub of the right length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from meter_sim.city.air import Air, Sent
from meter_sim.city.dice import Dice
from meter_sim.city.outlet import HACK, Outlet
from meter_sim.city.weather import STILL, Weather
from meter_sim.city.world import Disk, Node, What, World
from ohmesh.mesh import (
    BROADCAST,
    ForgetPayload,
    Persist,
    PersistPayload,
    Station,
    StubSealer,
    Transmit,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from meter_sim.city.layout import Layout
    from meter_sim.city.links import LinkTable
    from ohmesh.mesh import Sealer

_FORGET_US = 20_000
_DESTINATION, _COUNTER, _WIDTH = 8, 13, 4
"""Where two fields of the link header begin, and the octets of each."""
_EXCHANGED = {3, 4, 5, 6, 8, 10}
"""Types that are only ever sent as an exchange."""


class RadioNode(Node):
    """A node with an outlet to the air."""

    __slots__ = ("flying", "outlet")

    def __init__(self, number: int, *, is_root: bool, outlet: Outlet) -> None:
        """Start off."""
        super().__init__(number, is_root=is_root)
        self.outlet = outlet
        self.flying = (b"", 0)
        """Counter of the exchange under way, and how often it was sent."""


class ExactWorld(World):
    """A city on the exact radio. Args: as World; rate_kbps: speed of the PHY."""

    def __init__(
        self,
        layout: Layout,
        links: LinkTable,
        *,
        seed: int,
        rate_kbps: int,
        weather: Weather = STILL,
        settings: dict[str, int] | None = None,
    ) -> None:
        air = Air(links, seed=seed, rate_kbps=rate_kbps, weather=weather)
        super().__init__(layout, links, air, seed=seed, weather=weather, settings=settings)
        # Air and nodes of every world, known here as what they are.
        self._air = air
        self._radios = cast("dict[int, RadioNode]", self.nodes)
        self.sealer: Sealer = StubSealer()
        """Of stations that boot from now on."""
        self.tap: Callable[[int, bytes], None] | None = None
        """Told of every frame a node hears."""
        self._forget_at_us = 0
        self._do |= {What.LANDED: self._landed, What.LOOK: self._look}
        self._on |= {
            Transmit: self._transmit,
            Persist: self._persist,
            PersistPayload: self._keep_payload,
            ForgetPayload: self._forget_payload,
        }

    def boot(self, number: int, *, blank: bool = False) -> None:
        """Power a node on, with its disk or with a blank one."""
        node = self._radios[number]
        node.outlet = self._outlet(number, node.boots + 1)
        super().boot(number, blank=blank)

    def kill(self, number: int) -> None:
        """Power a node off; its disk stays, what it has on the air is lost."""
        super().kill(number)
        self._radios[number].outlet = self._outlet(number, -1)

    def inject(self, number: int, frame: bytes, rssi_dbm: int) -> None:
        """Let a node hear a frame from nowhere; the tap is not told."""
        node = self._radios[number]
        if isinstance(node.station, Station):
            self._carry_out(node, node.station.receive(self.now_us // 1000, frame, rssi_dbm))

    def _node(self, number: int) -> RadioNode:
        is_root = number <= self.gateways
        return RadioNode(number, is_root=is_root, outlet=self._outlet(number, 0))

    def _outlet(self, number: int, boots: int) -> Outlet:
        return Outlet(Dice(self.seed, 26, number, boots))

    def _station(self, node: Node, disk: Disk) -> Station:
        return Station(
            self._config(node),
            self._dice(node),
            disk.state,
            pending=disk.payloads.values(),
            routes=disk.routes.values(),
            sealer=self.sealer,
        )

    def _save(self, node: Node) -> None:
        """Everything was written as it came."""

    def _transmit(self, node: RadioNode, output: Transmit) -> None:
        self._plan_look(node, node.outlet.put(self.now_us, output.frame))

    def _persist(self, node: RadioNode, output: Persist) -> None:
        assert node.disk is not None
        node.disk.state = output.state

    def _keep_payload(self, node: RadioNode, output: PersistPayload) -> None:
        assert node.disk is not None
        node.disk.payloads[output.oseq] = output

    def _forget_payload(self, node: RadioNode, output: ForgetPayload) -> None:
        assert node.disk is not None
        node.disk.payloads.pop(output.oseq, None)

    def _plan_look(self, node: RadioNode, at_us: int | None) -> None:
        if at_us is not None:
            self._queue.push(at_us, What.LOOK, node.number, node.outlet.turn)

    def _look(self, number: int, turn: int) -> None:
        """Listen, then talk or wait."""
        node = self._radios[number]
        outlet = node.outlet
        if turn != outlet.turn or outlet.sending or not outlet.waiting:
            return
        busy_us = self._air.busy_until_us(self.now_us, number)
        if not busy_us:
            self._send(node, outlet.waiting.popleft().frame)
        elif outlet.gives_up(self.now_us):
            self.given_up += 1
            self._plan_look(node, outlet.look(busy_us))
        else:
            self._plan_look(node, outlet.look(busy_us))

    def _send(self, node: RadioNode, frame: bytes) -> None:
        airtime_us = self._air.duration_us(len(frame))
        if not self.budget.spend(self.now_us, node.number, airtime_us):
            self._plan_look(node, node.outlet.look(self.now_us))
            return
        node.outlet.sending = True
        sent = self._air.start(self.now_us, node.number, len(frame))
        self._count(node, frame)
        self._hash.update(b"T%d %d" % (sent.start_us, node.number))
        self._hash.update(frame)
        self._queue.push(sent.end_us, What.LANDED, node.number, (sent, frame, node.outlet))

    def _count(self, node: RadioNode, frame: bytes) -> None:
        kind = frame[0] & 0xF
        self.frames.add(kind, len(frame))
        if kind not in _EXCHANGED:
            return
        counter = frame[_COUNTER : _COUNTER + _WIDTH]
        held, times = node.flying
        node.flying = counter, times + 1 if counter == held else 1

    def _landed(self, number: int, argument: tuple[Sent, bytes, Outlet]) -> None:
        """A frame has ended: who got it?"""
        sent, frame, outlet = argument
        sender = self._radios[number]
        outlet.sending = False
        if sender.outlet is outlet:
            self._plan_look(sender, outlet.look(self.now_us))
            dst = int.from_bytes(frame[_DESTINATION : _DESTINATION + _WIDTH], "big")
            if dst == BROADCAST:
                for receiver, rssi in list(self._air.heard(sent)):
                    self._hear(receiver, frame, rssi)
            else:
                self._unicast(sent, dst, frame)
        if self.now_us >= self._forget_at_us:
            self._air.forget(self.now_us)
            self._forget_at_us = self.now_us + _FORGET_US

    def _unicast(self, sent: Sent, dst: int, frame: bytes) -> None:
        node = self._radios.get(dst)
        if node is None or node.station is None:
            self.first_try_us.setdefault((sent.node, dst), sent.start_us)
            return
        rssi = self._air.heard_by(sent, dst)
        if rssi is None:
            return
        if frame[0] & 0xF == HACK and node.flying[1]:
            self.exchanges[node.flying[1]] += 1
            node.flying = node.flying[0], 0
        self._hear(dst, frame, rssi)

    def _hear(self, number: int, frame: bytes, rssi_tenths: int) -> None:
        node = self._radios[number]
        if not isinstance(node.station, Station):
            return
        outputs = node.station.receive(self.now_us // 1000, frame, round(rssi_tenths / 10))
        self._carry_out(node, outputs)
        if self.tap is not None:
            self.tap(number, frame)
