"""A city running: stations, the air between them, faults, and an account of every reading.

Theory of operation. Time is an integer of microseconds that jumps from event to event; a station
sees milliseconds. An event is a tuple `(what, node, argument)`. Each station has one wake-up in the
queue: an earlier deadline adds another, a later one lets the old one come and find nothing due. A
frame is two events: it is given its place on the air when a station asks, and judged at its end, at
its destination only if it has one. Stations run with their explicit hop ARQ and with octets; only
the seal is a stub of the right length.

The same seed gives the same run, told by `digest`: a hash over every frame and every delivery.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from meter_sim.city.air import Air, Sent
from meter_sim.city.dice import Dice, hash_ints
from meter_sim.city.ledger import Ledger
from meter_sim.city.outlet import Outlet
from meter_sim.city.queue import BucketQueue
from ohmesh.mesh import (
    BROADCAST,
    CommandResult,
    Delivered,
    ForgetPayload,
    ForgetRoute,
    FrameRejected,
    Persist,
    PersistPayload,
    PersistRoute,
    Received,
    Station,
    StationConfig,
    StubSealer,
    Trace,
    Transmit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meter_sim.city.layout import Layout
    from meter_sim.city.links import LinkTable
    from ohmesh.mesh.outputs import Output

REPORT_US = 900_000_000
REPORT_JITTER_US = 5_000_000
COMMIT_MIN_US, COMMIT_SPREAD_US = 5_000, 45_000
"""A gateway's outbox on an SD card."""
NET = 1
EPOCH = 1_767_225_600
_FORGET_US = 20_000
_DESTINATION = slice(8, 12)


class What(IntEnum):
    """Kinds of events."""

    WAKE = 0
    LANDED = 1
    COMMIT = 2
    REPORT = 3
    BOOT = 4
    LOOK = 5


class Event(NamedTuple):
    """What happens to which node; the argument depends on the kind."""

    what: What
    node: int
    argument: object


@dataclass(slots=True)
class Disk:
    """What a node made durable."""

    state: bytes | None = None
    payloads: dict[int, PersistPayload] = field(default_factory=dict)
    routes: dict[int, PersistRoute] = field(default_factory=dict)


@dataclass(slots=True)
class Node:
    """One place of the city; `station` is None while it is off."""

    number: int
    is_root: bool
    outlet: Outlet
    disk: Disk = field(default_factory=Disk)
    station: Station | None = None
    boots: int = 0
    wake_us: int = -1


@dataclass(slots=True)
class Frames:
    """Frames and octets on the air by type (the low half of a frame's first octet)."""

    count: Counter[int] = field(default_factory=Counter)
    octets: Counter[int] = field(default_factory=Counter)

    def add(self, frame: bytes) -> None:
        """Count a transmission."""
        kind = frame[0] & 0xF
        self.count[kind] += 1
        self.octets[kind] += len(frame)


class World:
    """A city at time 0, everybody off.

    Args:
        layout: places; node i + 1 is place i, gateways first.
        links: who hears whom.
        seed: of everything random in the run.
        rate_kbps: speed of the PHY.
    """

    def __init__(self, layout: Layout, links: LinkTable, *, seed: int, rate_kbps: int) -> None:
        self.now_us = 0
        self.seed = seed
        self.gateways = layout.gateways
        self.nodes = {
            n: Node(n, n <= layout.gateways, self._outlet(n, 0)) for n in range(1, len(layout) + 1)
        }
        self.air = Air(links, seed=seed, rate_kbps=rate_kbps)
        self.ledger = Ledger()
        self.frames = Frames()
        self.traces: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.results: dict[int, tuple[int, CommandResult]] = {}
        self.received: dict[int, list[tuple[int, bytes]]] = {}
        self.first_try_us: dict[tuple[int, int], int] = {}
        """(sender, dead node) -> when something was first sent to it after its death."""
        self.events = 0
        self.given_up = 0
        """Frames that found no free channel in time."""
        self._queue: BucketQueue[Event] = BucketQueue()
        self._hash = blake2b(digest_size=16)
        self._forget_at_us = 0
        self._commits = 0
        self._sealer = StubSealer()
        self._do: dict[What, Callable[[int, object], None]] = {
            What.WAKE: self._wake,
            What.LANDED: self._landed,
            What.COMMIT: self._commit,
            What.REPORT: self._report,
            What.LOOK: self._look,
            What.BOOT: lambda node, _: self.boot(node),
        }

    # --- what a run is told to do ---------------------------------------------------------------

    def boot_all(self, spread_us: int) -> None:
        """Power everybody on within a time."""
        for number in self.nodes:
            at_us = self.now_us + hash_ints(self.seed, 21, number) % max(1, spread_us)
            self._queue.push(at_us, Event(What.BOOT, number, None))

    def start_reports(self) -> None:
        """Let every meter report each 15 min, at its own moment, with jitter."""
        for number in self.meters():
            at_us = self.now_us + hash_ints(self.seed, 22, number) % REPORT_US
            self._queue.push(at_us, Event(What.REPORT, number, (at_us, 0)))

    def boot(self, number: int, *, blank: bool = False) -> None:
        """Power a node on, with its disk or with a blank one."""
        node = self.nodes[number]
        if blank:
            node.disk = Disk()
        node.boots += 1
        node.wake_us = -1
        node.outlet = self._outlet(number, node.boots)
        node.station = Station(
            self._config(node),
            Dice(self.seed, 23, number, node.boots),
            node.disk.state,
            pending=node.disk.payloads.values(),
            routes=node.disk.routes.values(),
            sealer=self._sealer,
        )
        for key in [key for key in self.first_try_us if key[1] == number]:
            del self.first_try_us[key]
        self._carry_out(node, node.station.start(self.now_us // 1000))

    def kill(self, number: int) -> None:
        """Power a node off; its disk stays, what it has on the air is lost."""
        node = self.nodes[number]
        node.station = None
        node.outlet = self._outlet(number, -1)

    def cut(self, one: int, other: int) -> None:
        """Let two nodes hear each other no more."""
        self.air.cut |= {(one, other), (other, one)}

    def mend(self, one: int, other: int) -> None:
        """Undo `cut`."""
        self.air.cut -= {(one, other), (other, one)}

    def set_grounded(self, gateway: int, *, grounded: bool) -> None:
        """Tell a gateway that its uplink was lost or is back."""
        station = self.station(gateway)
        self._carry_out(self.nodes[gateway], station.set_grounded(self.now_us // 1000, grounded))

    def command(self, gateway: int, number: int, payload: bytes, token: int) -> None:
        """Hand a command to a gateway; its end is in `results` with its time."""
        station = self.station(gateway)
        outputs = station.command(self.now_us // 1000, number, payload, token)
        self._carry_out(self.nodes[gateway], outputs)

    def submit(self, number: int) -> None:
        """Let a meter produce a reading now."""
        payload = self.ledger.produce(number, self.now_us)
        station = self.station(number)
        self._carry_out(self.nodes[number], station.submit(self.now_us // 1000, payload))

    def run(self, until_us: int) -> None:
        """Run to a time."""
        pop, do = self._queue.pop_until, self._do
        while (event := pop(until_us)) is not None:
            self.now_us, (what, node, argument) = event
            self.events += 1
            do[what](node, argument)
        self.now_us = until_us

    # --- looking at it --------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """The hash of all frames and deliveries so far."""
        return self._hash.copy().hexdigest()

    @property
    def pending(self) -> int:
        """Events in the queue."""
        return len(self._queue)

    def meters(self) -> range:
        """Numbers of the meters."""
        return range(self.gateways + 1, len(self.nodes) + 1)

    def station(self, number: int) -> Station:
        """A living station. Raises LookupError."""
        station = self.nodes[number].station
        if station is None:
            raise LookupError(f"node {number} is off")
        return station

    def dead(self) -> list[int]:
        """Numbers of the nodes that are off."""
        return [number for number, node in self.nodes.items() if node.station is None]

    def unjoined(self) -> list[int]:
        """Living meters that are not registered where they are attached."""
        return [
            number
            for number in self.meters()
            if (station := self.nodes[number].station) is not None and not station.joined
        ]

    def chain(self, number: int) -> list[int]:
        """A node and its preferred parents, up to a root, a dead end or the first repetition."""
        seen: list[int] = []
        here: int | None = number
        while here is not None and here not in seen:
            seen.append(here)
            station = self.nodes[here].station
            here = station.parent if station is not None and not self.nodes[here].is_root else None
        return seen

    def is_attached(self, number: int) -> bool:
        """Whether the chain of preferred parents of a node ends at a living root."""
        last = self.nodes[self.chain(number)[-1]]
        return last.is_root and last.station is not None

    def loops(self) -> list[int]:
        """Living meters whose chain of preferred parents closes on itself, within one root."""
        return [n for n in self.meters() if self.nodes[n].station is not None and self._loops(n)]

    def _loops(self, number: int) -> bool:
        chain = self.chain(number)
        station = self.nodes[chain[-1]].station
        closes = station is not None and station.parent in chain
        return closes and len({self.station(n).root for n in chain}) == 1

    # --- events ---------------------------------------------------------------------------------

    def _outlet(self, number: int, boots: int) -> Outlet:
        return Outlet(Dice(self.seed, 26, number, boots))

    def _config(self, node: Node) -> StationConfig:
        epoch = EPOCH + self.now_us // 1_000_000 if node.is_root else 0
        return StationConfig(node=node.number, net=NET, is_root=node.is_root, epoch=epoch)

    def _wake(self, number: int, _: object) -> None:
        node = self.nodes[number]
        if node.station is None or node.wake_us != self.now_us:
            return
        node.wake_us = -1
        due_ms = node.station.next_wake_ms
        if due_ms is not None and due_ms * 1000 <= self.now_us:
            self._carry_out(node, node.station.wake(self.now_us // 1000))
        else:
            self._arm(node)

    def _report(self, number: int, argument: object) -> None:
        """Produce, and plan the next report from the plan and not from the jitter."""
        planned_us, count = argument if isinstance(argument, tuple) else (0, 0)
        following_us = planned_us + REPORT_US
        jitter_us = hash_ints(self.seed, 24, number, count) % REPORT_JITTER_US
        event = Event(What.REPORT, number, (following_us, count + 1))
        self._queue.push(following_us + jitter_us, event)
        if self.nodes[number].station is not None:
            self.submit(number)

    def _commit(self, number: int, argument: object) -> None:
        node = self.nodes[number]
        assert isinstance(argument, tuple)
        delivered, boots = argument
        if node.station is None or node.boots != boots:
            return
        self.ledger.deliver(delivered.payload, self.now_us)
        self._hash.update(b"D%d %d %d" % (self.now_us, delivered.origin, delivered.oseq))
        self._carry_out(node, node.station.custody(self.now_us // 1000, delivered.token, True))  # noqa: FBT003 - seam

    def _landed(self, number: int, argument: object) -> None:
        """A frame has ended: who got it?"""
        assert isinstance(argument, tuple)
        sent, frame, outlet = argument
        sender = self.nodes[number]
        outlet.sending = False
        if sender.outlet is outlet:
            self._plan_look(sender, outlet.look(self.now_us))
            dst = int.from_bytes(frame[_DESTINATION], "big")
            if dst == BROADCAST:
                for receiver, rssi in list(self.air.heard(sent)):
                    self._hear(receiver, frame, rssi)
            else:
                self._unicast(sent, dst, frame)
        if self.now_us >= self._forget_at_us:
            self.air.forget(self.now_us)
            self._forget_at_us = self.now_us + _FORGET_US

    def _unicast(self, sent: Sent, dst: int, frame: bytes) -> None:
        node = self.nodes.get(dst)
        if node is None or node.station is None:
            self.first_try_us.setdefault((sent.node, dst), sent.start_us)
            return
        rssi = self.air.heard_by(sent, dst)
        if rssi is not None:
            self._hear(dst, frame, rssi)

    def _hear(self, number: int, frame: bytes, rssi_tenths: int) -> None:
        node = self.nodes[number]
        if node.station is not None:
            outputs = node.station.receive(self.now_us // 1000, frame, round(rssi_tenths / 10))
            self._carry_out(node, outputs)

    def _carry_out(self, node: Node, outputs: Iterable[Output]) -> None:
        for output in outputs:
            self._carry(node, output)
        self._arm(node)

    def _carry(self, node: Node, output: Output) -> None:  # noqa: C901 - a table
        disk = node.disk
        match output:
            case Transmit(frame):
                self._transmit(node, frame)
            case Trace(name, value):
                self.traces[name] += value
            case Persist(state):
                disk.state = state
            case PersistPayload(oseq):
                disk.payloads[oseq] = output
            case ForgetPayload(oseq):
                disk.payloads.pop(oseq, None)
            case PersistRoute(other):
                disk.routes[other] = output
            case ForgetRoute(other):
                disk.routes.pop(other, None)
            case Delivered():
                self._take(node, output)
            case CommandResult(token):
                self.results[token] = self.now_us, output
            case Received(payload):
                self.received.setdefault(node.number, []).append((self.now_us, payload))
            case FrameRejected(reason):
                self.rejected[reason.value] += 1

    def _take(self, node: Node, delivered: Delivered) -> None:
        """The gateway's disk takes its time; what it has not written when it dies is not its."""
        self._commits += 1
        delay_us = COMMIT_MIN_US + hash_ints(self.seed, 25, self._commits) % COMMIT_SPREAD_US
        event = Event(What.COMMIT, node.number, (delivered, node.boots))
        self._queue.push(self.now_us + delay_us, event)

    def _transmit(self, node: Node, frame: bytes) -> None:
        self._plan_look(node, node.outlet.put(self.now_us, frame))

    def _plan_look(self, node: Node, at_us: int | None) -> None:
        if at_us is not None:
            self._queue.push(at_us, Event(What.LOOK, node.number, node.outlet.turn))

    def _look(self, number: int, turn: object) -> None:
        """Listen, then talk or wait."""
        node = self.nodes[number]
        outlet = node.outlet
        if turn != outlet.turn or outlet.sending or not outlet.waiting:
            return
        busy_us = self.air.busy_until_us(self.now_us, number)
        if not busy_us:
            self._send(node, outlet.waiting.popleft().frame)
        elif outlet.gives_up(self.now_us):
            self.given_up += 1
            self._plan_look(node, outlet.look(busy_us))
        else:
            self._plan_look(node, outlet.look(busy_us))

    def _send(self, node: Node, frame: bytes) -> None:
        node.outlet.sending = True
        sent = self.air.start(self.now_us, node.number, len(frame))
        self.frames.add(frame)
        self._hash.update(b"T%d %d" % (sent.start_us, node.number))
        self._hash.update(frame)
        event = Event(What.LANDED, node.number, (sent, frame, node.outlet))
        self._queue.push(sent.end_us, event)

    def _arm(self, node: Node) -> None:
        """Have one wake-up in the queue that is not later than the station's next deadline."""
        due_ms = node.station.next_wake_ms if node.station is not None else None
        if due_ms is None or 0 <= node.wake_us <= due_ms * 1000:
            return
        node.wake_us = max(due_ms * 1000, self.now_us)
        self._queue.push(node.wake_us, Event(What.WAKE, node.number, None))
