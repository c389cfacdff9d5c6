"""What the graph itself allows: who can reach a gateway when, at what cost, how soon it can heal.

Runs beside the simulation, on the true links; the protocol never sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from meter_sim.city.links import LinkTable


@dataclass(frozen=True, slots=True)
class Routes:
    """The cheapest routes to any of the roots; index i is node i + 1.

    Attributes:
        etx: float64[n], infinite without a route, 0 at a root.
        parent: int64[n], index of the next hop, negative at a root or without a route.
    """

    etx: NDArray[np.float64]
    parent: NDArray[np.int64]

    @property
    def reachable(self) -> NDArray[np.bool_]:
        """bool[n]."""
        return np.isfinite(self.etx)

    def hops(self) -> NDArray[np.int64]:
        """int64[n], -1 without a route."""
        hops = np.where(np.isfinite(self.etx), 0, -1)
        here = np.where(hops == 0, self.parent, -1)
        while (moving := here >= 0).any():
            hops[moving] += 1
            here = np.where(moving, self.parent[np.maximum(here, 0)], -1)
        return hops


class Oracle:
    """Knows the links and answers for any set of living nodes."""

    def __init__(self, links: LinkTable) -> None:
        """Nothing is worked out before it is asked for: a large city may never ask."""
        self._links = links
        self._count = len(links)

    @cached_property
    def _usable(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Child, parent and ETX of the links of an ETX of at most 4 both ways."""
        etx = self._links.etx()
        usable = np.isfinite(etx)
        # Rows are the parent, columns the child: routes are searched from the roots outwards.
        parent = self._links.receiver[usable].astype(np.int64)
        return self._links.senders()[usable], parent, etx[usable]

    def link_etx(self, one: int, other: int) -> float:
        """The true ETX of a link, also of one that is too bad to be used; infinite without one."""
        return self._links.pair_etx(one, other)

    def near(self, node: int) -> list[int]:
        """Numbers of a node's neighbours over usable links."""
        child, parent, _ = self._usable
        found: list[int] = (parent[child == node - 1] + 1).tolist()
        return found

    def degree(self) -> NDArray[np.int64]:
        """int64[n], usable links of each node."""
        return np.bincount(self._usable[0], minlength=self._count)

    def routes(
        self,
        roots: Sequence[int],
        *,
        dead: Iterable[int] = (),
        cut: Iterable[tuple[int, int]] = (),
    ) -> Routes:
        """The cheapest routes to the roots (numbers, living ones) without the dead and the cut."""
        children, parents, etx = self._usable
        alive = np.ones(self._count, dtype=bool)
        alive[np.fromiter(dead, dtype=np.int64) - 1] = False
        keep = alive[children] & alive[parents]
        for one, other in cut:
            for a, b in ((one, other), (other, one)):
                keep &= ~((children == a - 1) & (parents == b - 1))
        index = [root - 1 for root in roots if alive[root - 1]]
        if not index:
            return Routes(np.full(self._count, np.inf), np.full(self._count, -1))
        shape = (self._count, self._count)
        graph = csr_array((etx[keep], (parents[keep], children[keep])), shape=shape)
        best, parent, _ = dijkstra(graph, indices=index, min_only=True, return_predecessors=True)
        return Routes(best, parent.astype(np.int64))


@dataclass(slots=True)
class Timeline:
    """The reachable set as a step function of time; a step is added at each fault."""

    oracle: Oracle
    roots: Sequence[int]
    _steps: list[tuple[int, NDArray[np.bool_]]] = field(default_factory=list)

    def mark(
        self, now_us: int, dead: Iterable[int] = (), cut: Iterable[tuple[int, int]] = ()
    ) -> None:
        """From now on these are dead and cut."""
        self._steps.append((now_us, self.oracle.routes(self.roots, dead=dead, cut=cut).reachable))

    def reachable_within(self, node: int, from_us: int, to_us: int) -> bool:
        """Whether a node could reach a living root at some moment of [from, to]."""
        for number, (start_us, reachable) in enumerate(self._steps):
            last = number + 1 == len(self._steps)
            ends_us = to_us + 1 if last else self._steps[number + 1][0]
            if start_us <= to_us and ends_us > from_us and reachable[node - 1]:
                return True
        return False

    def deliverable(
        self, readings: Iterable[tuple[int, int]], deadline_us: int
    ) -> list[tuple[int, int]]:
        """The readings (node, produced) that the graph lets arrive by their deadline."""
        return [
            (node, at_us)
            for node, at_us in readings
            if self.reachable_within(node, at_us, at_us + deadline_us)
        ]


def heal_bound_us(first_try_us: int, exhaustion_us: int) -> int:
    """T*: nobody knows of a dead hop before something was sent over it and went unanswered."""
    return first_try_us + exhaustion_us
