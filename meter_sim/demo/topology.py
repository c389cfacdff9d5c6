"""Which relay is worth breaking: pure questions to a picture of the mesh."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def descendants(nodes: Mapping[int, Mapping[str, Any]]) -> dict[int, set[int]]:
    """For each node, the nodes whose first way to the gateway goes through it."""
    below: dict[int, set[int]] = defaultdict(set)
    for node in nodes:
        for above in _way_up(nodes, node):
            below[above].add(node)
    return below


def _way_up(nodes: Mapping[int, Mapping[str, Any]], node: int) -> list[int]:
    """The nodes above a node; a report of two instants may hold a circle, which ends it."""
    way: list[int] = []
    parent = nodes[node].get("parent")
    while parent is not None and parent in nodes and parent != node and parent not in way:
        way.append(parent)
        parent = nodes[parent].get("parent")
    return way


def busiest_relay(nodes: Mapping[int, Mapping[str, Any]], spared: Collection[int]) -> int | None:
    """The meter that carries most others, the lowest number among equals; None without a relay."""
    below = descendants(nodes)
    relays = [n for n in below if nodes[n]["kind"] == "meter" and n not in spared]
    return max(relays, key=lambda n: (len(below[n]), -n), default=None)
