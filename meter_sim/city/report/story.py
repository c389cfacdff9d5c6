"""What the page tells: a city in peace, a fault, its healing, and the fate of every reading."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from meter_sim.city.build import HOUR_US, MINUTE_US, SECOND_US, City
from meter_sim.city.experiments.heal import Wound, strike, watch
from meter_sim.city.experiments.stage import draw, raise_city, stretch
from meter_sim.city.experiments.toll import Toll
from ohmesh.mesh.frames import FrameType

if TYPE_CHECKING:
    from collections.abc import Callable

    from meter_sim.city.experiments.stage import Plan
    from meter_sim.city.ledger import Reading

DEADLINE_US = 15 * MINUTE_US
BIN_US = 5 * MINUTE_US
BEFORE_US, AFTER_US = HOUR_US, 75 * MINUTE_US
DURING_US = 10 * SECOND_US
HEALED_US = 5 * MINUTE_US


class Fault(Enum):
    """What happens to the city."""

    TENTH = "tenth"
    RELAY = "relay"
    GATEWAY = "gateway"


class Fate(Enum):
    """What became of a reading by its deadline: there, or the cause of the miss."""

    IN_TIME = "in time"
    EXPIRED = "expired"
    HOP = "hop"
    GATEWAY = "gateway"
    METER = "meter"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The streets at one moment; index i is node i + 1.

    Attributes:
        title: which moment.
        parent: next hop by number, 0 without one.
        hops: to a living gateway, -1 when the chain of parents does not lead there.
        alive: whether it has power.
    """

    title: str
    parent: list[int]
    hops: list[int]
    alive: list[bool]


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the page needs.

    Attributes:
        snapshots: before, during and after the fault.
        heal_s: seconds from the first try of the broken hop until back, of each affected meter.
        fates: fate of each reading by the bin it was produced in, the fault at bin 0.
        frames_node_h: frames a node and hour by kind.
    """

    city: City
    plan: Plan
    fault: Fault
    snapshots: list[Snapshot]
    affected: int
    unhealed: int
    heal_s: list[float]
    fates: dict[int, dict[Fate, int]]
    frames_node_h: dict[str, float]
    control_share: float
    duty_cycle: float
    stretch_before: float
    stretch_after: float


def tell(plan: Plan, fault: Fault, on_step: Callable[[str], None]) -> Story:
    """Run the story. Args: on_step: told what is going on."""
    on_step("forming")
    city = raise_city(plan, gateways=_gateways(plan, fault))
    world = city.world
    world.start_reports()
    world.run(world.now_us + 15 * MINUTE_US)
    on_step("an hour of peace")
    toll = Toll.of(city)
    world.run(world.now_us + BEFORE_US)
    frames = {
        FrameType(kind).name: times / len(city.layout)
        for kind, times in (world.frames.count - toll.count).items()
    }
    share, duty = toll.control_share(), toll.airtime_share(BEFORE_US)
    calm, before = stretch(city), _snapshot(city, "before")
    on_step("the fault")
    wound = strike(city, _victims(city, plan, fault))
    watch(city, wound, wound.at_us + DURING_US)
    during = _snapshot(city, f"{DURING_US // SECOND_US} s after")
    on_step("healing")
    watch(city, wound, wound.at_us + HEALED_US)
    after = _snapshot(city, f"{HEALED_US // MINUTE_US} min after")
    healed = stretch(city)
    on_step("an hour later")
    world.run(wound.at_us + AFTER_US)
    return Story(
        city=city,
        plan=plan,
        fault=fault,
        snapshots=[before, during, after],
        affected=len(wound.affected),
        unhealed=len(wound.affected) - len(wound.healed_us),
        heal_s=wound.after_first_try_s(city),
        fates=_fates(city, wound),
        frames_node_h=frames,
        control_share=share,
        duty_cycle=duty,
        stretch_before=calm,
        stretch_after=healed,
    )


def _gateways(plan: Plan, fault: Fault) -> int | None:
    usual = max(1, round(plan.nodes / plan.streets.nodes_per_gateway))
    return max(2, usual) if fault is Fault.GATEWAY else usual


def _victims(city: City, plan: Plan, fault: Fault) -> list[int]:
    world = city.world
    if fault is Fault.GATEWAY:
        return draw(plan, 71, city.gateways, 1)
    if fault is Fault.TENTH:
        return draw(plan, 51, world.meters(), max(1, plan.nodes // 10))
    chains = [world.chain(node)[1:-1] for node in world.meters()]
    load = {node: sum(node in chain for chain in chains) for node in world.meters()}
    return [max(load, key=lambda node: (load[node], -node))]


def _snapshot(city: City, title: str) -> Snapshot:
    world = city.world
    parent, hops = [], []
    for number, node in world.nodes.items():
        chain = world.chain(number)
        leads = world.is_attached(number)
        parent.append(chain[1] if len(chain) > 1 else 0)
        hops.append(len(chain) - 1 if leads and node.station is not None else -1)
    return Snapshot(title, parent, hops, [n.station is not None for n in world.nodes.values()])


def _fates(city: City, wound: Wound) -> dict[int, dict[Fate, int]]:
    world = city.world
    bins: dict[int, dict[Fate, int]] = {}
    last_us = world.now_us - DEADLINE_US
    for reading in world.ledger.between(wound.at_us - BEFORE_US, last_us):
        number = (reading.produced_us - wound.at_us) // BIN_US
        fate = _fate(city, reading)
        counts = bins.setdefault(number, dict.fromkeys(Fate, 0))
        counts[fate] += 1
    return bins


def _fate(city: City, reading: Reading) -> Fate:
    """In time, or why not: the meter died, it waits for a gateway, on a hop, or came too late."""
    if reading.delivered_us is not None:
        late_us = reading.delivered_us - reading.produced_us
        return Fate.IN_TIME if late_us <= DEADLINE_US else Fate.EXPIRED
    station = city.world.nodes[reading.node].station
    if station is None:
        return Fate.METER
    root = station.root
    if root is None or city.world.nodes[root].station is None:
        return Fate.GATEWAY
    return Fate.HOP
