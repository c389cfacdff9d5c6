"""The fused radio: a whole exchange is one draw, an advertisement one event for all who hear it.

Theory of operation. The engine asks for an exchange; how many transmissions it takes, when the
frame arrives and when its acknowledgement is back follow from the law of the hop ARQ, from the
reception of both ways and from how busy the channel is (`meter_sim.city.crowd`). So eight
transmissions and their acknowledgements are two events, the arrival and the end; their airtime is
charged. The engine is the one of the product; octets, link sequences and the acknowledgement's own
frame are left out, and a repeated frame is simply not delivered twice.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from meter_sim.city.crowd import Crowd
from meter_sim.city.sizes import HACK_BYTES, size_of
from meter_sim.city.weather import STILL, Weather
from meter_sim.city.world import Disk, Node, What, World
from meter_sim.coin import TOSSES_A_BLOCK, Coin
from meter_sim.medium import SLOT_US, WAIT_MAX_US
from ohmesh.mesh import constants as c
from ohmesh.mesh.arq import wait_ms
from ohmesh.mesh.core import Effect, LinkAnswer, LinkBroadcast, LinkSend
from ohmesh.mesh.frames import Hack
from ohmesh.mesh.member import Member

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meter_sim.city.layout import Layout
    from meter_sim.city.links import LinkTable
    from ohmesh.mesh import PersistPayload
    from ohmesh.mesh.frames import Frame

_EVERYBODY = 0
_HACK = 7
_LOOK_SLOTS = 8
_AGAIN_SLOTS = 24
"""Mean span of the backoffs after a busy look."""
_MS = 1_000
_TRACE = struct.Struct(">QIIHH")


class FusedStation(Member):
    """A member without a link: what its engine asks of the link comes out as it is."""

    __slots__ = ()

    def start(self, now_ms: int) -> Any:
        """Boot, as a node that holds the network's key."""
        self._begin(now_ms)
        self._engine.start(now_ms)
        return self._engine.drain()

    @property
    def next_wake_ms(self) -> int | None:
        """When ``wake`` wants to be called."""
        return self._engine.core.timers.next_ms

    def wake(self, now_ms: int) -> Any:
        """Pass the deadlines that have come."""
        self._now_ms = max(self._now_ms, now_ms)
        self._engine.wake(self._now_ms)
        return self._engine.drain()

    def hear(
        self, now_ms: int, src: int, frame: Frame, rssi_dbm: int, lseq: int | None
    ) -> list[Effect]:
        """Take a frame as a value. Returns: effects."""
        self._now_ms = max(self._now_ms, now_ms)
        self._engine.receive(self._now_ms, src, frame, rssi_dbm=rssi_dbm, lseq=lseq)
        return self._engine.drain()

    def done(self, now_ms: int, attempts: int, hack: Hack | None) -> list[Effect]:
        """Take the end of an exchange. Returns: effects."""
        self._now_ms = max(self._now_ms, now_ms)
        self._engine.exchange_done(self._now_ms, attempts, hack)
        return self._engine.drain()

    def acknowledge(self, answer: LinkAnswer) -> Hack:
        """The answer with where we stand now."""
        return Hack(answer.lseq, answer.status, self._engine.core.tag())

    def disk(self) -> tuple[bytes, dict[int, PersistPayload]]:
        """What this station has made durable by now."""
        kept = self._engine.uplink.store.kept()
        return self._state().encode(), {payload.oseq: payload for payload in kept}

    def _finish(self) -> Any:
        return self._engine.drain()


class Exchange:
    """One exchange, drawn to its end when it began."""

    __slots__ = (
        "again",
        "again_us",
        "arrived",
        "boots",
        "dst",
        "frame",
        "hack",
        "level",
        "limit",
        "limit_us",
        "lseq",
        "src",
    )

    def __init__(self, src: Node, send: LinkSend, lseq: int) -> None:
        self.src = src.number
        self.boots = src.boots
        self.dst = send.dst
        self.frame = send.frame
        self.limit = send.attempts
        self.lseq = lseq
        self.level = 0
        self.arrived = 0
        """The transmission that arrived first; 0: none."""
        self.again = 0
        """The transmission whose acknowledgement comes back; 0: none."""
        self.again_us = 0
        self.limit_us = 0
        self.hack: Hack | None = None


class RadioNode(Node):
    """A node, the exchange it has begun and those it has not answered yet."""

    __slots__ = ("flying", "sent", "unanswered")

    def __init__(self, number: int, *, is_root: bool) -> None:
        super().__init__(number, is_root=is_root)
        self.flying: Exchange | None = None
        self.sent = 0
        """Numbers what it sends for the coin, over all its boots."""
        self.unanswered: dict[int, Exchange] | None = {} if is_root else None


class Tosses:
    """Uniform 16-bit numbers of one exchange or broadcast, whatever else happens meanwhile."""

    __slots__ = ("_coin", "_node", "_receiver", "_spent", "_words")

    def __init__(self, coin: Coin, node: RadioNode, receiver: int) -> None:
        self._coin = coin
        self._node = node
        self._receiver = receiver
        self._words: list[int] = []
        self._spent = TOSSES_A_BLOCK

    def draw(self) -> int:
        """The next one; sixteen are the worth of a number of the node's."""
        if self._spent == TOSSES_A_BLOCK:
            self._node.sent += 1
            self._words = self._coin.four(self._node.number, self._receiver, self._node.sent)
            self._spent = 0
        word = self._words[self._spent >> 2]
        shift = 48 - 16 * (self._spent & 3)
        self._spent += 1
        return word >> shift & 0xFFFF


class FusedWorld(World):
    """A city on the fused radio. Args: as World; rate_kbps: speed of the PHY."""

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
        air = Crowd(links, rate_kbps=rate_kbps)
        super().__init__(layout, links, air, seed=seed, weather=weather, settings=settings)
        # Air and nodes of every world, known here as what they are.
        self._crowd = air
        self._radios = cast("dict[int, RadioNode]", self.nodes)
        self.station_kind = FusedStation
        self._coin = Coin(seed)
        self._hack_us = air.duration_us(HACK_BYTES)
        self._lseq = 0
        config = self._config(self._radios[1])
        self._waits_us = [
            wait_ms(config.ack_timeout_ms, attempt) * _MS for attempt in range(config.attempts + 1)
        ]
        """By transmission, from 1 on."""
        self._do |= {
            What.LANDED: self._landed,
            What.ARRIVE: self._arrive,
            What.DONE: self._end,
        }
        self._on |= {
            LinkSend: self._begin,
            LinkAnswer: self._answer,
            LinkBroadcast: self._broadcast,
        }

    def kill(self, number: int) -> None:
        """Power a node off; whoever waits for its answer waits in vain."""
        super().kill(number)
        node = self._radios[number]
        node.flying = None
        for exchange in (node.unanswered or {}).values():
            self._fail(exchange)
        if node.unanswered:
            node.unanswered.clear()

    def _node(self, number: int) -> RadioNode:
        return RadioNode(number, is_root=number <= self.gateways)

    def _station(self, node: Node, disk: Disk) -> Member:
        if not node.is_root:
            # What a meter would have on it is worked out when it goes off.
            node.disk = None
        return self.station_kind(
            self._config(node),
            self._dice(node),
            disk.state,
            pending=disk.payloads.values(),
            routes=disk.routes.values(),
        )

    def _save(self, node: Node) -> None:
        assert isinstance(node.station, FusedStation)
        node.disk = node.disk or Disk()
        node.disk.state, node.disk.payloads = node.station.disk()

    # --- exchanges ------------------------------------------------------------------------------

    def _begin(self, node: RadioNode, send: LinkSend) -> None:
        """Draw an exchange to its end."""
        self._lseq = self._lseq + 1 & 0xFFFF
        exchange = node.flying = Exchange(node, send, self._lseq)
        kind, length = size_of(send.frame)
        tosses = Tosses(self._coin, node, send.dst)
        times, first_us, arrives_us = self._transmissions(exchange, length, tosses)
        self.frames.add(kind, length, times)
        self._hash.update(_TRACE.pack(first_us, node.number, send.dst, times, length))
        self._crowd.occupy(self.now_us, node.number, times * self._crowd.duration_us(length))
        receiver = self._radios.get(send.dst)
        if receiver is None or receiver.station is None:
            self.first_try_us.setdefault((node.number, send.dst), first_us)
            self._fail(exchange)
        elif exchange.arrived:
            self._queue.push(arrives_us, What.ARRIVE, send.dst, exchange)
        else:
            self._fail(exchange)

    def _transmissions(
        self, exchange: Exchange, length: int, tosses: Tosses
    ) -> tuple[int, int, int]:
        """Draw all transmissions of an exchange.

        Returns: how many went on the air, when the first did, when the frame arrives.
        """
        now_us = self.now_us
        airtime_us = self._crowd.duration_us(length)
        there, back = self._ways(exchange, length, airtime_us)
        busy = self._crowd.senses(now_us, exchange.src)
        at_us, first_us, arrives_us, times = now_us, 0, 0, 0
        for number in range(1, exchange.limit + 1):
            exponent = min(c.BACKOFF_EXPONENT_MIN + number - 1, c.BACKOFF_EXPONENT_MAX)
            at_us += (tosses.draw() & (1 << exponent) - 1) * c.BACKOFF_SLOT_MS * _MS
            wait_us = self._access_us(busy, tosses)
            if wait_us <= WAIT_MAX_US and self.budget.spend(now_us, exchange.src, airtime_us):
                times += 1
                first_us = first_us or at_us + wait_us
                if tosses.draw() < there:
                    end_us = at_us + wait_us + airtime_us
                    if not exchange.arrived:
                        exchange.arrived, arrives_us = number, end_us
                    if tosses.draw() < back:
                        exchange.again, exchange.again_us = number, end_us
                        break
            else:
                self.given_up += 1
            at_us += self._waits_us[number]
        exchange.limit_us = at_us if not exchange.again else exchange.again_us
        return times, first_us or now_us, arrives_us

    def _ways(self, exchange: Exchange, length: int, airtime_us: int) -> tuple[int, int]:
        """The chances of the frame and of its acknowledgement, in 65536ths."""
        air, now_us, src, dst = self._crowd, self.now_us, exchange.src, exchange.dst
        there, back = air.level_tenths(src, dst), air.level_tenths(dst, src)
        if there is None or back is None:
            return 0, 0
        if not self.weather.is_still:
            there += self.weather.shift_tenths(now_us, src, dst)
            back += self.weather.shift_tenths(now_us, dst, src)
        exchange.level = there
        far = air.survives(air.busy(now_us, dst), dst, there, airtime_us)
        near = air.survives(air.busy(now_us, src), src, back, self._hack_us)
        return (
            air.chance(there, length) * far >> 16,
            air.chance(back, HACK_BYTES) * near >> 16,
        )

    def _access_us(self, busy: int, tosses: Tosses) -> int:
        """Listen before talk: a backoff, and another after whoever is heard."""
        wait_us = tosses.draw() * _LOOK_SLOTS * SLOT_US >> 16
        while tosses.draw() < busy and wait_us <= WAIT_MAX_US:
            wait_us += tosses.draw() * (self._crowd.frame_us + _AGAIN_SLOTS * SLOT_US) >> 16
        return wait_us

    def _arrive(self, number: int, exchange: Exchange) -> None:
        """The frame is there for the first time."""
        sender, receiver = self._radios[exchange.src], self._radios[number]
        if sender.flying is not exchange or sender.boots != exchange.boots:
            return
        station = receiver.station
        if station is None:
            self.first_try_us.setdefault((exchange.src, number), self.now_us)
            self._fail(exchange)
            return
        assert isinstance(station, FusedStation)
        if receiver.unanswered is not None:
            receiver.unanswered[exchange.src] = exchange
        self._carry_out(
            receiver,
            station.hear(
                self.now_us // _MS,
                exchange.src,
                exchange.frame,
                round(exchange.level / 10),
                exchange.lseq,
            ),
        )

    def _answer(self, node: RadioNode, answer: LinkAnswer) -> None:
        """An acknowledgement goes out, now or with a later copy of the frame."""
        exchange = self._radios[answer.dst].flying
        if node.unanswered is not None:
            node.unanswered.pop(answer.dst, None)
        if exchange is None or exchange.lseq != answer.lseq or exchange.dst != node.number:
            return
        assert isinstance(node.station, FusedStation)
        exchange.hack = node.station.acknowledge(answer)
        if not exchange.again:
            self._fail(exchange, keep=True)
            return
        times = exchange.again - exchange.arrived + 1
        self.frames.add(_HACK, HACK_BYTES, times)
        self._crowd.occupy(self.now_us, node.number, times * self._hack_us)
        at_us = max(self.now_us, exchange.again_us) + self._hack_us
        self._queue.push(at_us, What.DONE, exchange.src, exchange)

    def _fail(self, exchange: Exchange, *, keep: bool = False) -> None:
        """Nobody's acknowledgement comes back: the exchange runs to its end."""
        exchange.hack = None
        if exchange.again and not keep:
            # It was drawn as acknowledged; silence takes all transmissions.
            exchange.limit_us += self._in_vain_us(exchange)
            exchange.again = 0
        at_us = max(self.now_us, exchange.limit_us)
        self._queue.push(at_us, What.DONE, exchange.src, exchange)

    def _in_vain_us(self, exchange: Exchange) -> int:
        """The transmissions after the one that was to be acknowledged, in vain, in the mean."""
        slots = (1 << c.BACKOFF_EXPONENT_MAX) - 1
        backoffs = exchange.limit - exchange.again
        waits_us = sum(self._waits_us[exchange.again + 1 : exchange.limit + 1])
        return waits_us + backoffs * slots * c.BACKOFF_SLOT_MS * _MS // 2

    def _end(self, number: int, exchange: Exchange) -> None:
        """The sender knows how it went."""
        node = self._radios[number]
        if node.flying is not exchange or node.boots != exchange.boots:
            return
        node.flying = None
        assert isinstance(node.station, FusedStation)
        attempts = exchange.again if exchange.hack is not None else exchange.limit
        if exchange.hack is not None:
            self.exchanges[attempts] += 1
        self._carry_out(node, node.station.done(self.now_us // _MS, attempts, exchange.hack))

    # --- broadcasts -----------------------------------------------------------------------------

    def _broadcast(self, node: RadioNode, output: LinkBroadcast) -> None:
        frame = output.frame
        kind, length = size_of(frame)
        airtime_us = self._crowd.duration_us(length)
        busy = self._crowd.senses(self.now_us, node.number)
        wait_us = self._access_us(busy, Tosses(self._coin, node, _EVERYBODY))
        if wait_us > WAIT_MAX_US or not self.budget.spend(self.now_us, node.number, airtime_us):
            self.given_up += 1
            return
        self.frames.add(kind, length)
        at_us = self.now_us + wait_us
        self._hash.update(_TRACE.pack(at_us, node.number, 0, 1, length))
        self._crowd.occupy(self.now_us, node.number, airtime_us)
        self._queue.push(at_us + airtime_us, What.LANDED, node.number, (frame, length))

    def _landed(self, number: int, argument: tuple[Frame, int]) -> None:
        """One draw for the whole row, then the engines of those who heard it."""
        frame, length = argument
        if self._radios[number].station is None:
            return
        now_ms, nodes = self.now_us // _MS, self._radios
        for receiver, level in self._hearers(self._radios[number], length):
            node = nodes[receiver]
            station = node.station
            if station is not None:
                assert isinstance(station, FusedStation)
                rssi_dbm = round(level / 10)
                self._carry_out(node, station.hear(now_ms, number, frame, rssi_dbm, None))

    def _hearers(self, node: RadioNode, length: int) -> Iterator[tuple[int, int]]:
        """Who hears a broadcast, and how loud."""
        air, number = self._crowd, node.number
        span = air.span(number)
        receivers = air.hearers[span] + 1
        levels = self.links.rssi_tenths[span]
        if not self.weather.is_still:
            levels = levels + self.weather.shifts_tenths(self.now_us, number, receivers)
        node.sent += 1
        tosses = self._coin.tosses(number, _EVERYBODY, node.sent, len(receivers))
        chances = air.chances(levels, length)
        heard = np.flatnonzero(tosses < chances)
        airtime_us = air.duration_us(length)
        rows = (values[heard].tolist() for values in (receivers, levels, tosses, chances))
        for receiver, level, toss, chance in zip(*rows, strict=True):
            if air.cut and (number, receiver) in air.cut:
                continue
            busy = air.busy(self.now_us, receiver)
            if not busy or toss < chance * air.survives(busy, receiver, level, airtime_us) >> 16:
                yield receiver, level
