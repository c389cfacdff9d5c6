"""From a topology to a picture: positions on paper, links with the colour of their hop count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headend.web import ground

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from headend.api.views import Node, Topology

WIDTH: Final = 1000
MARGIN: Final = 44
HEIGHT_MIN, HEIGHT_MAX = 300, 640
HOPS_MAX: Final = 6
"""Colours there are; longer ways share the last."""
RADIUS_MIN, RADIUS_MAX = 4, 10
BEHIND_MIN: Final = 4
STRETCH_MAX: Final = 3
"""A street is long and thin: its width may be drawn larger than its length, up to this factor."""
HEIGHT_WANTED: Final = 240
_CLOSE: Final = 12


@dataclass(frozen=True, slots=True)
class Dot:
    """A node on paper.

    `state` is gateway, ok, behind (a route, but BEHIND_MIN intervals or more are not here yet),
    lost (heard before, no route now), new (not heard yet) or unknown (it routes, but is not
    registered).
    """

    key: str
    node: int
    x: int
    y: int
    name: str
    link: str | None
    state: str
    hops: int | None
    shade: int


@dataclass(frozen=True, slots=True)
class Line:
    """A node's link to its first parent."""

    key: str
    node: int
    x1: int
    y1: int
    x2: int
    y2: int
    shade: int
    parent: int
    state: str


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it, for the template."""

    width: int
    height: int
    dots: list[Dot]
    lines: list[Line]
    histogram: list[tuple[int, int]]
    lost: list[str]
    behind: list[str]
    awaited: int
    radius: int


def draw(topology: Topology) -> Picture:
    """The picture of a topology: as on the utility's map where positions are known."""
    places = ground.places(topology.nodes)
    height, scaled = _scale(places)
    dots = [_dot(node, scaled[node.node]) for node in topology.nodes]
    lines = [
        _line(node, scaled[node.node], scaled[node.parent])
        for node in topology.nodes
        if node.parent is not None and node.parent in scaled
    ]
    return Picture(
        width=WIDTH,
        height=height,
        dots=dots,
        lines=lines,
        histogram=_histogram(topology.nodes),
        lost=[dot.name for dot in dots if dot.state == "lost"],
        behind=[dot.name for dot in dots if dot.state == "behind"],
        awaited=sum(dot.state == "new" for dot in dots),
        radius=_radius(list(scaled.values())),
    )


def as_of(now: Topology, then: Topology, at: datetime) -> Topology:
    """Today's nodes with the routes they had at a time.

    Who had none then has no parent; when nothing is known of that time, nobody had been heard.
    """
    routes = {node.node: node for node in then.nodes if node.parent is not None}
    nodes = [_with_route(node, routes.get(node.node), at if routes else None) for node in now.nodes]
    return replace(now, nodes=nodes, reported_at=then.reported_at)


def _with_route(node: Node, then: Node | None, at: datetime | None) -> Node:
    if node.kind == "gateway":
        return node
    if then is None:
        return replace(node, parent=None, hops=None, behind=None, last_seen=at)
    return replace(node, parent=then.parent, hops=then.hops, behind=None)


def moved(one: Topology, other: Topology) -> set[int]:
    """The nodes that have a parent in both, and not the same."""
    parents = {node.node: node.parent for node in one.nodes if node.parent is not None}
    return {
        n.node
        for n in other.nodes
        if n.parent is not None and parents.get(n.node, n.parent) != n.parent
    }


def _scale(
    places: dict[int, tuple[float, float]],
) -> tuple[int, dict[int, tuple[int, int]]]:
    """Fit into WIDTH, keep proportions; north (larger y) is up. Returns the height too."""
    if not places:
        return HEIGHT_MIN, {}
    xs, ys = [x for x, _ in places.values()], [y for _, y in places.values()]
    wide, tall = max(max(xs) - min(xs), 1.0), max(max(ys) - min(ys), 1.0)
    room = WIDTH - 2 * MARGIN
    scale = min(room / wide, (HEIGHT_MAX - 2 * MARGIN) / tall)
    upright = max(scale, min(HEIGHT_WANTED / tall, scale * STRETCH_MAX))
    height = max(round(tall * upright) + 2 * MARGIN, HEIGHT_MIN)
    left, top = (WIDTH - wide * scale) / 2, (height - tall * upright) / 2
    scaled = {
        node: (round(left + (x - min(xs)) * scale), round(top + (max(ys) - y) * upright))
        for node, (x, y) in places.items()
    }
    return height, scaled


def _state(node: Node) -> str:
    if node.kind != "meter":
        return node.kind
    if node.parent is not None:
        return "behind" if (node.behind or 0) >= BEHIND_MIN else "ok"
    return "new" if node.last_seen is None else "lost"


def _radius(places: list[tuple[int, int]]) -> int:
    """Half the distance to the next node that all but the closest tenth have."""
    along = sorted(places)
    gaps = sorted(_gap(along, i) for i in range(len(along)))
    gap = gaps[len(gaps) // 10] if gaps else 2 * RADIUS_MAX
    return max(RADIUS_MIN, min(RADIUS_MAX, round(gap / 2)))


def _gap(along: list[tuple[int, int]], i: int) -> float:
    """Distance to the nearest of the places that are close in the sorted list."""
    close = along[max(0, i - _CLOSE) : i] + along[i + 1 : i + 1 + _CLOSE]
    return min((math.dist(along[i], other) for other in close), default=2 * RADIUS_MAX)


def _shade(node: Node) -> int:
    return min(node.hops or 1, HOPS_MAX)


def _dot(node: Node, place: tuple[int, int]) -> Dot:
    return Dot(
        key=f"n{node.node}",
        node=node.node,
        x=place[0],
        y=place[1],
        name=node.id or f"node {node.node:08x}",
        link=f"/meters/{node.id}" if node.kind == "meter" else None,
        state=_state(node),
        hops=node.hops,
        shade=_shade(node),
    )


def _line(node: Node, here: tuple[int, int], there: tuple[int, int]) -> Line:
    assert node.parent is not None
    return Line(f"l{node.node}", node.node, *here, *there, _shade(node), node.parent, _state(node))


def _histogram(nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """(hops, meters) for every hop count there is, smallest first."""
    hops = [n.hops for n in nodes if n.kind == "meter" and n.parent is not None and n.hops]
    return [(count, hops.count(count)) for count in sorted(set(hops))]
