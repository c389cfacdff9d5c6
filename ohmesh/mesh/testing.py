"""A small world on virtual time for tests of stations and of their drivers.

Deterministic: a heap of events, a table of links with delivery ratios, one seeded coin. It has no
collisions and no airtime; the radio of ``meter_sim`` has them. Nodes keep a "disk" of what they
asked to persist, so that a reboot is a real one.
"""

import heapq
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.constants import BROADCAST
from ohmesh.mesh.joining import Applicant
from ohmesh.mesh.outputs import (
    CommandResult,
    Delivered,
    ForgetPayload,
    ForgetRoute,
    FrameRejected,
    JoinAsked,
    KeysGranted,
    Output,
    Persist,
    PersistPayload,
    PersistRoute,
    PowerReport,
    Received,
    Trace,
    Transmit,
)
from ohmesh.mesh.sealing import Sealer
from ohmesh.mesh.station import Station

_AIR_MS = 4
_ASK_MS = 20
_DESTINATION = slice(8, 12)
_COMMIT_MIN_MS = 5
_COMMIT_SPREAD_MS = 45


@dataclass(slots=True)
class Disk:
    """What a node made durable."""

    state: bytes | None = None
    payloads: dict[int, PersistPayload] = field(default_factory=dict)
    routes: dict[int, PersistRoute] = field(default_factory=dict)
    keys: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Node:
    """One node of the world; ``station`` is None while it is dead."""

    config: StationConfig
    disk: Disk
    boots: int = 0
    station: Station | None = None
    wake_ms: int = -1


class Guard(Protocol):
    """Who seals with what, and who may join; a test brings its own."""

    def sealer(self, node: int, keys: dict[int, bytes]) -> Sealer:
        """The hop seal of a node that was granted these keys."""
        ...

    def applicant(self, node: int) -> Applicant | None:
        """What makes the join messages of a meter; None for a root."""
        ...

    def answer(self, eui64: int, blob: bytes) -> bytes | None:
        """The root's answer to a request, None for a stranger."""
        ...


@dataclass(slots=True)
class Totals:
    """Counts over a run."""

    events: int = 0
    transmitted: int = 0
    heard: int = 0
    traces: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)


class World:
    """Stations, links and time.

    Args:
        seed: fixes the whole run.
        loss_percent: share of frames lost on every link, on top of nothing.
    """

    def __init__(self, seed: int, loss_percent: int = 0) -> None:
        """Create an empty world at 0 ms."""
        self.now_ms = 0
        self.nodes: dict[int, Node] = {}
        self.links: dict[int, dict[int, int]] = {}
        self.loss_percent = loss_percent
        self.delivered: dict[tuple[int, int], list[tuple[int, bytes]]] = {}
        self.received: dict[int, list[bytes]] = {}
        self.results: dict[int, CommandResult] = {}
        self.power: list[PowerReport] = []
        self.totals = Totals()
        self.tap: Callable[[int, bytes], None] | None = None
        self.guard: Guard | None = None
        self.delay_spread_ms = 0
        """Up to this much is added to each frame's way: frames overtake each other."""
        self.commit: Callable[[Delivered], bool] = lambda _delivered: True
        self._seed = seed
        self._coin = random.Random(seed)  # noqa: S311 - simulation, not secrets
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0

    # --- building -------------------------------------------------------------------------------

    def add(self, config: StationConfig) -> None:
        """Add a node, powered off."""
        self.nodes[config.node] = Node(config, Disk())
        self.links.setdefault(config.node, {})

    def link(self, one: int, other: int, rssi_dbm: int = -80) -> None:
        """Let two nodes hear each other."""
        self.links[one][other] = rssi_dbm
        self.links[other][one] = rssi_dbm

    def cut(self, one: int, other: int) -> None:
        """Let two nodes hear each other no more."""
        self.links[one].pop(other, None)
        self.links[other].pop(one, None)

    def boot(self, node: int, *, blank: bool = False) -> None:
        """Power a node on, with its disk or with a blank one."""
        slot = self.nodes[node]
        if blank:
            slot.disk = Disk()
        slot.boots += 1
        rng = random.Random(f"{self._seed}/{node}/{slot.boots}")  # noqa: S311 - simulation
        epoch = slot.config.epoch and slot.config.epoch + self.now_ms // 1000
        slot.station = Station(
            replace(slot.config, epoch=epoch),
            rng,
            slot.disk.state,
            pending=slot.disk.payloads.values(),
            routes=slot.disk.routes.values(),
            sealer=self.guard.sealer(node, slot.disk.keys) if self.guard else None,
            applicant=self.guard.applicant(node) if self.guard else None,
        )
        slot.wake_ms = -1
        self._carry_out(node, slot.station.start(self.now_ms))

    def boot_all(self, spread_ms: int = 0) -> None:
        """Power all nodes on within a time."""
        for node in self.nodes:
            delay_ms = self._coin.randrange(spread_ms) if spread_ms else 0
            self.at(self.now_ms + delay_ms, lambda node=node: self.boot(node))  # type: ignore[misc]

    def kill(self, node: int) -> None:
        """Power a node off; its disk stays."""
        self.nodes[node].station = None

    # --- running --------------------------------------------------------------------------------

    def at(self, when_ms: int, action: Callable[[], None]) -> None:
        """Schedule an action."""
        self._order += 1
        heapq.heappush(self._events, (when_ms, self._order, action))

    def run(self, until_ms: int, stop: Callable[[], bool] | None = None) -> bool:
        """Run to a time; ``stop`` is asked every 20 ms. Returns: True if it became true before."""
        asked_ms = -_ASK_MS
        while self._events and self._events[0][0] <= until_ms:
            when_ms, _, action = heapq.heappop(self._events)
            self.now_ms = when_ms
            action()
            if stop is not None and self.now_ms - asked_ms >= _ASK_MS:
                asked_ms = self.now_ms
                if stop():
                    return True
        self.now_ms = until_ms
        return False

    def station(self, node: int) -> Station:
        """Return a living station."""
        station = self.nodes[node].station
        if station is None:
            raise LookupError(f"node {node} is off")
        return station

    def stations(self) -> dict[int, Station]:
        """Return the living stations."""
        return {node: slot.station for node, slot in self.nodes.items() if slot.station}

    def submit(self, node: int, payload: bytes, priority: int = 0) -> None:
        """Hand a payload to a meter."""
        self._carry_out(node, self.station(node).submit(self.now_ms, payload, priority))

    def command(self, root: int, node: int, payload: bytes, token: int) -> None:
        """Hand a command to a root."""
        self._carry_out(root, self.station(root).command(self.now_ms, node, payload, token))

    def last_gasp(self, node: int) -> None:
        """Let a meter's power go: its last gasp, then nothing."""
        self._carry_out(node, self.station(node).last_gasp(self.now_ms))
        self.kill(node)

    def restore(self, node: int) -> None:
        """Let a meter's power come back."""
        self.boot(node)
        self._carry_out(node, self.station(node).power_restored(self.now_ms))

    def set_grounded(self, root: int, *, grounded: bool) -> None:
        """Tell a root about its uplink."""
        self._carry_out(root, self.station(root).set_grounded(self.now_ms, grounded))

    def inject(self, node: int, frame: bytes, rssi_dbm: int = -70) -> None:
        """Let one node hear any octets."""
        station = self.nodes[node].station
        if station is not None:
            self.totals.heard += 1
            self._carry_out(node, station.receive(self.now_ms, frame, rssi_dbm))

    # --- judging --------------------------------------------------------------------------------

    def unjoined(self) -> list[int]:
        """Return living nodes that have not joined."""
        return [node for node, station in self.stations().items() if not station.joined]

    def unattached(self) -> list[int]:
        """Return living nodes whose preferred parent is none or is off."""
        living = self.stations()
        return [
            node
            for node, station in living.items()
            if not self.nodes[node].config.is_root and station.parent not in living
        ]

    def backlog(self) -> int:
        """Return the payloads not yet acknowledged end to end on living nodes."""
        return sum(station.backlog for station in self.stations().values())

    def cycle(self) -> list[int]:
        """Return a cycle of preferred parents of one root, or nothing."""
        living = self.stations()
        for start in living:
            seen: list[int] = []
            here: int | None = start
            while here in living and here not in seen:
                seen.append(here)
                parent = living[here].parent
                same = parent in living and living[parent].root == living[here].root
                here = parent if same else None
            if here is not None and here in seen:
                return seen[seen.index(here) :]
        return []

    # --- inside ---------------------------------------------------------------------------------

    def _carry_out(self, node: int, outputs: Iterable[Output]) -> None:
        self.totals.events += 1
        for output in outputs:
            self._carry(node, self.nodes[node], output)
        self._arm(node)

    def _carry(self, node: int, slot: Node, output: Output) -> None:  # noqa: C901, PLR0912 - table
        disk = slot.disk
        match output:
            case Transmit(frame):
                self._transmit(node, frame)
            case Trace(name, value):
                self.totals.traces[name] = self.totals.traces.get(name, 0) + value
            case Persist(state):
                disk.state = state
            case PersistPayload(oseq):
                disk.payloads[oseq] = output
            case ForgetPayload(oseq):
                del disk.payloads[oseq]
            case PersistRoute(other):
                disk.routes[other] = output
            case ForgetRoute(other):
                disk.routes.pop(other, None)
            case Delivered():
                delay_ms = _COMMIT_MIN_MS + self._coin.randrange(_COMMIT_SPREAD_MS)
                self.at(self.now_ms + delay_ms, lambda: self._commit(node, output))
            case KeysGranted(keys):
                disk.keys = keys
            case JoinAsked():
                self._admit(node, output)
            case Received(payload):
                self.received.setdefault(node, []).append(payload)
            case CommandResult(token):
                self.results[token] = output
            case PowerReport():
                self.power.append(output)
            case FrameRejected(reason):
                name = reason.value
                self.totals.rejected[name] = self.totals.rejected.get(name, 0) + 1

    def _admit(self, root: int, asked: JoinAsked) -> None:
        blob = self.guard.answer(asked.eui64, asked.blob) if self.guard else None
        if blob is not None:
            self._carry_out(root, self.station(root).admit(self.now_ms, asked, blob))

    def _commit(self, root: int, delivered: Delivered) -> None:
        station = self.nodes[root].station
        if station is None:
            return
        ok = self.commit(delivered)
        if ok:
            key = (delivered.origin, delivered.oseq)
            self.delivered.setdefault(key, []).append((self.now_ms, delivered.payload))
        self._carry_out(root, station.custody(self.now_ms, delivered.token, ok))

    def _transmit(self, node: int, frame: bytes) -> None:
        self.totals.transmitted += 1
        if self.tap is not None:
            self.tap(node, frame)
        # Stations drop what is not addressed to them; not handing it over only saves time.
        dst = int.from_bytes(frame[_DESTINATION], "big")
        for other, rssi_dbm in self.links[node].items():
            if dst in (other, BROADCAST) and self._coin.randrange(100) >= self.loss_percent:
                hear = _hearing(self, other, frame, rssi_dbm)
                late_ms = self._coin.randrange(self.delay_spread_ms + 1)
                self.at(self.now_ms + _AIR_MS + late_ms, hear)

    def _arm(self, node: int) -> None:
        slot = self.nodes[node]
        due_ms = slot.station.next_wake_ms if slot.station else None
        if due_ms is None or (slot.wake_ms >= 0 and slot.wake_ms <= due_ms):
            return
        slot.wake_ms = max(due_ms, self.now_ms)
        when_ms, boots = slot.wake_ms, slot.boots
        self.at(when_ms, lambda: self._wake(node, when_ms, boots))

    def _wake(self, node: int, when_ms: int, boots: int) -> None:
        slot = self.nodes[node]
        if slot.station is None or slot.boots != boots or slot.wake_ms != when_ms:
            return
        slot.wake_ms = -1
        self._carry_out(node, slot.station.wake(self.now_ms))


def _hearing(world: World, node: int, frame: bytes, rssi_dbm: int) -> Callable[[], None]:
    return lambda: world.inject(node, frame, rssi_dbm)


def street(
    seed: int,
    *,
    meters: int,
    roots: int = 1,
    range_m: int = 45,
    loss_percent: int = 0,
    timer_divisor: int = 1,
    spacing_m: int = 20,
) -> World:
    """Build houses on a jittered grid with gateways spread over it.

    Roots are 1, 2, ..., meters 101, 102, ...; every node hears whoever is within range, and RSSI
    falls with distance.
    """
    world = World(seed, loss_percent)
    draw = random.Random(seed)  # noqa: S311 - simulation, not secrets
    width = math.isqrt(meters) + 1
    places: dict[int, tuple[int, int]] = {}
    for index in range(meters):
        x, y = index % width * spacing_m, index // width * spacing_m
        places[101 + index] = (x + draw.randrange(7), y + draw.randrange(7))
    span = width * spacing_m
    for index in range(roots):
        places[1 + index] = (span * (2 * index + 1) // (2 * roots), span // 2)
    for node in places:
        world.add(
            StationConfig(
                node=node,
                net=0x0A11,
                is_root=node <= roots,
                epoch=1_750_000_000 if node <= roots else 0,
                timer_divisor=timer_divisor,
            ),
        )
    for one, (x1, y1) in places.items():
        for other, (x2, y2) in places.items():
            distance_m = math.isqrt((x1 - x2) ** 2 + (y1 - y2) ** 2)
            if one < other and distance_m <= range_m:
                world.link(one, other, -60 - distance_m * 40 // range_m)
    return world
