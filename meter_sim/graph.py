"""What the graph of usable links allows: routes to the gateways, and nodes everybody else needs."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from meter_sim.radio import Links

_OUTSIDE = 0
"""The world behind the gateways; no node has this number."""


def routes(links: Links, roots: Collection[int]) -> dict[int, tuple[int, int]]:
    """Node -> (hops, parent) of its cheapest route by ETX; a root is its own parent.

    Nodes without a route are absent.
    """
    queue = [(0.0, 0, root, root) for root in sorted(roots)]
    done: dict[int, tuple[int, int]] = {}
    while queue:
        cost, count, node, parent = heapq.heappop(queue)
        if node in done:
            continue
        done[node] = (count, parent)
        for other in links.usable(node):
            if other not in done:
                heapq.heappush(queue, (cost + links.etx(other, node), count + 1, other, node))
    return done


def cut_nodes(links: Links, nodes: Collection[int], roots: Collection[int]) -> set[int]:
    """Nodes whose loss would leave another one without any way to a root.

    The articulation points (Hopcroft and Tarjan, 1973) of the usable links, with all roots joined
    to one point outside, so that a gateway counts as well. Only nodes with a route are looked at.
    """
    neighbours = {node: list(links.usable(node)) for node in nodes}
    neighbours[_OUTSIDE] = sorted(roots)
    for root in roots:
        neighbours[root].append(_OUTSIDE)
    entered, lowest = {_OUTSIDE: 0}, {_OUTSIDE: 0}
    found: set[int] = set()
    path: list[tuple[int, int, Iterator[int]]] = [(_OUTSIDE, -1, iter(neighbours[_OUTSIDE]))]
    while path:
        node, parent, rest = path[-1]
        following = next((other for other in rest if other != parent), None)
        if following is None:
            path.pop()
            _return_to(node, parent, (entered, lowest), found)
        elif following in entered:
            lowest[node] = min(lowest[node], entered[following])
        else:
            entered[following] = lowest[following] = len(entered)
            path.append((following, node, iter(neighbours[following])))
    return found - {_OUTSIDE}


def _return_to(
    node: int, parent: int, orders: tuple[dict[int, int], dict[int, int]], found: set[int]
) -> None:
    """Hand a finished node's reach to the one it was entered from."""
    entered, lowest = orders
    if parent < 0:
        return
    lowest[parent] = min(lowest[parent], lowest[node])
    if lowest[node] >= entered[parent]:
        found.add(parent)
