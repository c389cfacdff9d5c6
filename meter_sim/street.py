"""A street to live in: lots, houses, gateways on poles; drawn again until the mesh has a chance.

Blocks of back-to-back lots along a street (docs/mesh, section 3), meters at the house fronts,
gateways spread evenly. The same seed gives the same street; the meters' keys come from the system's
random numbers and from nowhere else.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

from meter_sim.graph import cut_nodes, routes
from meter_sim.radio import Site, build_links
from meter_sim.roster import GATEWAY_GAIN_DB, Roster, RosterGateway, RosterMeter, RosterRadio, check
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FRONTAGE_M, DEPTH_M, STREET_M = 18, 30, 14
LOTS_A_SIDE = 10
"""A block is 180 m long."""
FRONT_GARDEN_M = 6
OCCUPANCY = 0.95
JITTER_M = 2
GATEWAY_NODES_FROM, METER_NODES_FROM = 1, 100
_DRAWS_MIN, _DRAWS_MAX, _DRAWN_NODES = 3, 200, 12_000


@dataclass(frozen=True, slots=True)
class StreetPlan:
    """What a street is asked to be.

    Attributes:
        meters: number of meters.
        gateways: number of gateways, 1..99.
        seed: of places and radio.
        profiles: their names, dealt out in turn.
        radio: the radio model.
        prepaid: how many meters, from the first on, belong to prepaying customers.
        start: simulated time at the beginning.
        interval_s: load-profile interval.
        calendar_speed: how much faster than the clock the calendar runs.
        timer_divisor: mesh timers and airtime are divided by it.
        net: network number on the air.
        closed: whether meters must join with a key of their own.
    """

    meters: int
    gateways: int = 2
    seed: int = 1
    profiles: tuple[str, ...] = ("nl_dsmr", "no_han")
    radio: RosterRadio = field(default_factory=RosterRadio)
    prepaid: int = 1
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    interval_s: int = 900
    calendar_speed: int = 600
    timer_divisor: int = 20
    net: int = 1
    closed: bool = False


def make_roster(plan: StreetPlan) -> Roster:
    """Draw a street. Raises ConfigError when no draw lets every meter reach a gateway."""
    if plan.meters < 1 or not 1 <= plan.gateways < METER_NODES_FROM or not plan.profiles:
        raise ConfigError("a street needs a meter, 1 to 99 gateways and a profile")
    best = min(_draws(plan), key=lambda draw: (draw.unreachable, draw.indispensable))
    if best.unreachable:
        raise ConfigError(
            f"on every street drawn with seed {plan.seed}, at least {best.unreachable} nodes"
            f" reach none of {plan.gateways} gateways; take another seed or more gateways"
        )
    return _roster(plan, best)


@dataclass(frozen=True, slots=True)
class _Draw:
    """A street, the meters without a route and the nodes that others cannot do without."""

    poles: list[Site]
    houses: list[Site]
    unreachable: int
    indispensable: int


def _draws(plan: StreetPlan) -> Iterator[_Draw]:
    """Streets, until one survives the loss of any one node; larger ones get fewer tries."""
    random = Random(plan.seed)  # noqa: S311 - a street, not a secret
    draws = min(_DRAWS_MAX, max(_DRAWS_MIN, _DRAWN_NODES // plan.meters))
    for _ in range(draws):
        fronts = _fronts(plan.meters, random)
        poles = _poles(plan.gateways, fronts)
        houses = [Site(METER_NODES_FROM + n, x, y) for n, (x, y) in enumerate(fronts)]
        draw = _judge(plan, poles, houses)
        yield draw
        if not draw.unreachable and not draw.indispensable:
            return


def _judge(plan: StreetPlan, poles: list[Site], houses: list[Site]) -> _Draw:
    sites, roots = [*poles, *houses], [pole.node for pole in poles]
    links = build_links(plan.radio.model, plan.seed, sites)
    unreachable = len(sites) - len(routes(links, roots))
    needed = cut_nodes(links, [site.node for site in sites], roots)
    if len(roots) == 1:
        needed -= {*roots}  # nothing can be done about it
    return _Draw(poles, houses, unreachable, len(needed))


def _fronts(count: int, random: Random) -> list[tuple[int, int]]:
    """House fronts on both sides of parallel streets, some lots left empty."""
    lots = -(-count * 100 // round(OCCUPANCY * 100))
    blocks = -(-lots // (2 * LOTS_A_SIDE))
    columns = max(1, round((blocks * 4) ** 0.5))
    spots = [
        (block // columns, block % columns, lot)
        for block in range(blocks)
        for lot in range(2 * LOTS_A_SIDE)
    ]
    taken = sorted(random.sample(spots[: max(lots, count)], count))
    return [_front(spot, random) for spot in taken]


def _front(spot: tuple[int, int, int], random: Random) -> tuple[int, int]:
    row, column, lot = spot
    side, place = divmod(lot, LOTS_A_SIDE)
    x_m = column * (LOTS_A_SIDE * FRONTAGE_M + STREET_M) + place * FRONTAGE_M + FRONTAGE_M // 2
    y_m = row * (2 * DEPTH_M + STREET_M)
    y_m += FRONT_GARDEN_M if side == 0 else 2 * DEPTH_M - FRONT_GARDEN_M
    jitter = random.randint(-JITTER_M, JITTER_M), random.randint(-JITTER_M, JITTER_M)
    return x_m + jitter[0], y_m + jitter[1]


def _poles(count: int, fronts: Sequence[tuple[int, int]]) -> list[Site]:
    length_m = max(x for x, _ in fronts)
    middle_m = sum(y for _, y in fronts) // len(fronts)
    return [
        Site(GATEWAY_NODES_FROM + n, round(length_m * (n + 0.5) / count), middle_m, GATEWAY_GAIN_DB)
        for n in range(count)
    ]


def _roster(plan: StreetPlan, draw: _Draw) -> Roster:
    gateways = [
        RosterGateway(f"gw{number}", pole.node, pole.x_m, pole.y_m)
        for number, pole in enumerate(draw.poles, 1)
    ]
    meters = [
        RosterMeter(
            meter=f"M{number:04d}",
            node=house.node,
            profile=plan.profiles[(number - 1) % len(plan.profiles)],
            key_hex=secrets.token_hex(16),
            x_m=house.x_m,
            y_m=house.y_m,
            prepaid=number <= plan.prepaid,
        )
        for number, house in enumerate(draw.houses, 1)
    ]
    return check(
        Roster(
            net=plan.net,
            seed=plan.seed,
            start=plan.start,
            interval_s=plan.interval_s,
            calendar_speed=plan.calendar_speed,
            timer_divisor=plan.timer_divisor,
            gateways=gateways,
            meters=meters,
            radio=plan.radio,
            closed=plan.closed,
        )
    )
