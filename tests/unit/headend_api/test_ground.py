"""Every node of the mesh picture has a place of its own, known or made up."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from headend.api.views import Node, Topology
from headend.web import ground
from headend.web.mesh import draw


def node(number, *, kind="meter", parent=None, hops=None, at=(None, None)):
    return Node(
        node=number,
        kind=kind,
        id=f"M{number}",
        gateway=None,
        parent=parent,
        hops=hops,
        etx_128ths=None,
        reported_at=None,
        last_seen=None,
        x_m=at[0],
        y_m=at[1],
        behind=None,
    )


def nearest(places):
    return min(math.dist(one, other) for one, other in combinations(places, 2))


STREET = [node(1, kind="gateway", at=(0.0, 0.0), hops=0)] + [
    node(100 + i, parent=1, hops=1, at=(15.0 * i, 3.0)) for i in range(1, 30)
]


@pytest.mark.parametrize("parent", [1, 110, None])
def test_who_has_no_position_stands_where_nobody_stands(parent):
    more = [node(500 + i, parent=parent, hops=2 if parent else None) for i in range(200)]
    found = ground.places([*STREET, *more])
    assert [found[one.node] for one in STREET] == [(one.x_m, one.y_m) for one in STREET]
    made_up = {found[one.node] for one in more}
    assert len(made_up) == len(more)
    assert nearest(made_up) >= 30
    assert min(math.dist(a, found[b.node]) for a in made_up for b in STREET) >= 30


def test_a_network_without_any_position_is_drawn_too():
    gateways = [node(1 + i, kind="gateway", hops=0) for i in range(3)]
    meters = [node(100 + i, parent=1 + i % 3, hops=1) for i in range(150)]
    deeper = [node(1000 + i, parent=100 + i % 150, hops=2) for i in range(150)]
    picture = draw(Topology([*deeper, *meters, *gateways], None))
    dots = [(dot.x, dot.y) for dot in picture.dots]
    assert nearest(dots) >= picture.radius, "two circles would cover each other"
    assert len(picture.lines) == 300
