"""A city running: stations, faults and an account of every reading. The radio is a subclass's.

Theory of operation. Time is an integer of microseconds that jumps from event to event; a station
sees milliseconds. Each station has one wake-up in the queue: an earlier deadline adds another, a
later one lets the old one come and find nothing due.

Two radios carry the same engine. `meter_sim.city.exact` sends octets through explicit hop ARQ over
an exact channel; `meter_sim.city.fused` draws a whole exchange at once and prices the channel by
statistics, which is what makes ten thousand meters affordable. A test holds them together.

The same seed gives the same run, told by `digest`: a hash over every transmission and delivery.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

from meter_sim.city.budget import Budget
from meter_sim.city.dice import Dice, hash_ints
from meter_sim.city.ledger import Ledger
from meter_sim.city.queue import BucketQueue
from meter_sim.city.reports import moment_us
from meter_sim.city.weather import STILL, Weather
from ohmesh.mesh import (
    CommandResult,
    Delivered,
    ForgetRoute,
    FrameRejected,
    PersistPayload,
    PersistRoute,
    PowerReport,
    Received,
    StationConfig,
    Trace,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from meter_sim.city.layout import Layout
    from meter_sim.city.links import LinkTable
    from ohmesh.mesh.member import Member

COMMIT_MIN_US, COMMIT_SPREAD_US = 5_000, 45_000
"""A gateway's outbox on an SD card."""
WATCH_US = 60_000_000
NET = 1
EPOCH = 1_767_225_600


class What(IntEnum):
    """Kinds of events."""

    WAKE = 0
    LANDED = 1
    COMMIT = 2
    REPORT = 3
    BOOT = 4
    LOOK = 5
    ARRIVE = 6
    DONE = 7


@dataclass(slots=True)
class Disk:
    """What a node made durable."""

    state: bytes | None = None
    payloads: dict[int, PersistPayload] = field(default_factory=dict)
    routes: dict[int, PersistRoute] = field(default_factory=dict)


class Node:
    """One place of the city; `station` is None while it is off."""

    __slots__ = ("boots", "disk", "is_root", "number", "station", "wake_us")

    def __init__(self, number: int, *, is_root: bool) -> None:
        """Start off, with a blank disk."""
        self.number = number
        self.is_root = is_root
        self.disk: Disk | None = None
        self.station: Member | None = None
        self.boots = 0
        self.wake_us = -1


@dataclass(slots=True)
class Frames:
    """Frames and octets on the air by type (the low half of a frame's first octet)."""

    count: Counter[int] = field(default_factory=Counter)
    octets: Counter[int] = field(default_factory=Counter)

    def add(self, kind: int, length: int, times: int = 1) -> None:
        """Count transmissions."""
        self.count[kind] += times
        self.octets[kind] += length * times


class Channel(Protocol):
    """What every radio of a city tells about the air."""

    airtime_us: int
    cut: set[tuple[int, int]]

    def row(self, node: int) -> dict[int, int]:
        """Receiver -> RSSI in tenths of a dBm."""
        ...

    def duration_us(self, length_bytes: int) -> int:
        """How long a frame is on the air."""
        ...


class World:
    """A city at time 0, everybody off.

    Args:
        layout: places; node i + 1 is place i, gateways first.
        links: who hears whom.
        air: what can be told of the channel.
        seed: of everything random in the run.
        weather: how links change with time.
        settings: fields of StationConfig that differ from the defaults.
    """

    def __init__(
        self,
        layout: Layout,
        links: LinkTable,
        air: Channel,
        *,
        seed: int,
        weather: Weather = STILL,
        settings: dict[str, int] | None = None,
    ) -> None:
        self.now_us = 0
        self.seed = seed
        self.gateways = layout.gateways
        self.links = links
        self.air = air
        self.weather = weather
        self.settings = settings or {}
        self.nodes = {n: self._node(n) for n in range(1, len(layout) + 1)}
        self.ledger = Ledger()
        self.frames = Frames()
        self.budget = Budget(len(layout), layout.gateways)
        self.traces: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.exchanges: Counter[int] = Counter()
        """Transmissions an acknowledged exchange took -> how many; 0: nobody answered."""
        self.results: dict[int, tuple[int, CommandResult]] = {}
        self.received: dict[int, list[tuple[int, bytes]]] = {}
        self.power: dict[tuple[bool, int], int] = {}
        """(restored, meter) -> when a gateway first heard of it."""
        self.first_try_us: dict[tuple[int, int], int] = {}
        """(sender, dead node) -> when something was first sent to it after its death."""
        self.events = 0
        self.watch: Callable[[World], None] | None = None
        self.given_up = 0
        """Frames that found no free channel in time."""
        self._queue = BucketQueue()
        self._hash = blake2b(digest_size=16)
        self._commits = 0
        self._reports_us = 0
        self._do: dict[int, Callable[[int, Any], None]] = {
            What.WAKE: self._wake,
            What.COMMIT: self._commit,
            What.REPORT: self._report,
            What.BOOT: lambda node, _: self.boot(node),
        }
        self._on: dict[type, Callable[[Any, Any], None]] = {
            Trace: self._note_trace,
            Delivered: self._take,
            PersistRoute: self._keep_route,
            ForgetRoute: self._forget_route,
            CommandResult: self._keep_result,
            Received: self._keep_received,
            PowerReport: self._keep_power,
            FrameRejected: self._note_rejected,
        }
        """What is done with each kind of output; the radio adds what only it can do."""

    # --- what a radio adds ----------------------------------------------------------------------

    def _node(self, number: int) -> Node:
        return Node(number, is_root=number <= self.gateways)

    def _station(self, node: Node, disk: Disk) -> Member:
        raise NotImplementedError

    def _save(self, node: Node) -> None:
        """Bring the disk of a node that goes off up to date."""
        raise NotImplementedError

    # --- what a run is told to do ---------------------------------------------------------------

    def boot_all(self, spread_us: int) -> None:
        """Power everybody on within a time."""
        for number in self.nodes:
            at_us = self.now_us + hash_ints(self.seed, 21, number) % max(1, spread_us)
            self._queue.push(at_us, What.BOOT, number, None)

    def start_reports(self) -> None:
        """Let every meter report each 15 min of its timers, at its own moment, with jitter."""
        self._reports_us = self.now_us
        for number in self.meters():
            self._plan_report(number, 0)

    def boot(self, number: int, *, blank: bool = False) -> None:
        """Power a node on, with its disk or with a blank one."""
        node = self.nodes[number]
        disk = node.disk if node.disk is not None and not blank else Disk()
        node.disk = disk
        node.boots += 1
        node.wake_us = -1
        node.station = self._station(node, disk)
        for key in [key for key in self.first_try_us if key[1] == number]:
            del self.first_try_us[key]
        self._carry_out(node, node.station.start(self.now_us // 1000))

    def kill(self, number: int) -> None:
        """Power a node off; its disk stays, what it has on the air is lost."""
        node = self.nodes[number]
        if node.station is not None:
            self._save(node)
        node.station = None

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

    def last_gasp(self, number: int) -> None:
        """Let a meter say that its power is going."""
        station = self.station(number)
        self._carry_out(self.nodes[number], station.last_gasp(self.now_us // 1000))

    def power_restored(self, number: int) -> None:
        """Let a meter report that its power is back."""
        station = self.station(number)
        self._carry_out(self.nodes[number], station.power_restored(self.now_us // 1000))

    def run(self, until_us: int) -> None:
        """Run to a time; whoever watches is told each minute of it."""
        while self.watch is not None and self.now_us + WATCH_US < until_us:
            self._run(self.now_us + WATCH_US)
            self.watch(self)
        self._run(until_us)

    def _run(self, until_us: int) -> None:
        pop, do = self._queue.pop_until, self._do
        while (event := pop(until_us)) is not None:
            self.now_us, _, what, node, argument = event
            self.events += 1
            do[what](node, argument)
        self.now_us = until_us

    # --- looking at it --------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """The hash of all transmissions and deliveries so far."""
        return self._hash.copy().hexdigest()

    @property
    def pending(self) -> int:
        """Events in the queue."""
        return len(self._queue)

    def meters(self) -> range:
        """Numbers of the meters."""
        return range(self.gateways + 1, len(self.nodes) + 1)

    def station(self, number: int) -> Member:
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

    def _config(self, node: Node) -> StationConfig:
        epoch = EPOCH + self.now_us // 1_000_000 if node.is_root else 0
        return StationConfig(
            node=node.number, net=NET, is_root=node.is_root, epoch=epoch, **self.settings
        )

    def _dice(self, node: Node) -> Dice:
        return Dice(self.seed, 23, node.number, node.boots)

    def _wake(self, number: int, _: Any) -> None:
        node = self.nodes[number]
        station = node.station
        if station is None or node.wake_us != self.now_us:
            return
        node.wake_us = -1
        due_ms = station.next_wake_ms
        if due_ms is not None and due_ms * 1000 <= self.now_us:
            self._carry_out(node, station.wake(self.now_us // 1000))
        else:
            self._arm(node)

    def _plan_report(self, number: int, count: int) -> None:
        divisor = self.settings.get("timer_divisor", 1)
        at_us = self._reports_us + moment_us(self.seed, number, count, divisor)
        self._queue.push(at_us, What.REPORT, number, count)

    def _report(self, number: int, count: int) -> None:
        """Produce, and plan the next report."""
        self._plan_report(number, count + 1)
        if self.nodes[number].station is not None:
            self.submit(number)

    def _commit(self, number: int, argument: tuple[Delivered, int]) -> None:
        node = self.nodes[number]
        delivered, boots = argument
        if node.station is None or node.boots != boots:
            return
        self.ledger.deliver(delivered.payload, self.now_us)
        self._hash.update(b"D%d %d %d" % (self.now_us, delivered.origin, delivered.oseq))
        self._carry_out(node, node.station.custody(self.now_us // 1000, delivered.token, True))  # noqa: FBT003 - seam

    def _carry_out(self, node: Node, outputs: list[Any]) -> None:
        on = self._on
        for output in outputs:
            act = on.get(type(output))
            if act is not None:
                act(node, output)
        self._arm(node)

    def _note_trace(self, _: Node, trace: Trace) -> None:
        self.traces[trace.name] += trace.value

    def _note_rejected(self, _: Node, rejected: FrameRejected) -> None:
        self.rejected[rejected.reason.value] += 1

    def _keep_route(self, node: Node, route: PersistRoute) -> None:
        if node.disk is not None:
            node.disk.routes[route.node] = route

    def _forget_route(self, node: Node, route: ForgetRoute) -> None:
        if node.disk is not None:
            node.disk.routes.pop(route.node, None)

    def _keep_result(self, _: Node, result: CommandResult) -> None:
        self.results[result.token] = self.now_us, result

    def _keep_received(self, node: Node, received: Received) -> None:
        self.received.setdefault(node.number, []).append((self.now_us, received.payload))

    def _keep_power(self, _: Node, report: PowerReport) -> None:
        for number in report.nodes:
            self.power.setdefault((report.restored, number), self.now_us)

    def _take(self, node: Node, delivered: Delivered) -> None:
        """The gateway's disk takes its time; what it has not written when it dies is not its."""
        self._commits += 1
        delay_us = COMMIT_MIN_US + hash_ints(self.seed, 25, self._commits) % COMMIT_SPREAD_US
        at_us = self.now_us + delay_us
        self._queue.push(at_us, What.COMMIT, node.number, (delivered, node.boots))

    def _arm(self, node: Node) -> None:
        """Have one wake-up in the queue that is not later than the station's next deadline."""
        due_ms = node.station.next_wake_ms if node.station is not None else None
        if due_ms is None or 0 <= node.wake_us <= due_ms * 1000:
            return
        node.wake_us = max(due_ms * 1000, self.now_us)
        self._queue.push(node.wake_us, What.WAKE, node.number, None)
