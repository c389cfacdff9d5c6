"""A place for every node of a picture, also for those whose position nobody has said. Pure."""

from __future__ import annotations

import math
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headend.api.views import Node

Place = tuple[float, float]
_STEP_M: Final = 40.0
"""How far apart two stand whose positions are made up, at least."""
_ACROSS: Final = 32
"""How many such steps a picture is wide, at most."""
_FREE: Final = 0.75
"""A place is taken when somebody stands nearer than this part of a step."""


def places(nodes: Sequence[Node]) -> dict[int, Place]:
    """A place in metres for every node.

    Where one is known, that; else one beside the node's parent; else one in a row below all.
    Nobody whose place is made up is put where somebody stands.
    """
    known = {n.node: (n.x_m, n.y_m) for n in nodes if n.x_m is not None and n.y_m is not None}
    homeless = [n for n in nodes if n.node not in known]
    ground = _Ground(list(known.values()))
    beside: dict[int, Iterator[Place]] = {}
    for node in sorted(homeless, key=lambda n: (n.hops is None, n.hops or 0, n.node)):
        parent = node.parent if node.parent in known else None
        if parent is None:
            known[node.node] = ground.take(
                ground.gateways if node.kind == "gateway" else ground.row
            )
        else:
            steps = beside.setdefault(parent, _round(known[parent], ground.step_m))
            known[node.node] = ground.take(steps)
    return known


def _round(centre: Place, step_m: float) -> Iterator[Place]:
    """Places round another in rings of 6, 12, 18 and so on."""
    for ring in count(1):
        for i in range(6 * ring):
            turn = math.tau * (i + 0.3) / (6 * ring)
            far = ring * step_m
            yield centre[0] + far * math.cos(turn), centre[1] + far * math.sin(turn)


def _rows(west_m: float, south_m: float, step_m: float, across: int) -> Iterator[Place]:
    """Places from west to east, row under row."""
    for i in count():
        yield west_m + step_m * (i % across), south_m - step_m * (i // across)


class _Ground:
    """Who stands where, in square cells of one step."""

    def __init__(self, taken: list[Place]) -> None:
        west_m, south_m = (min((place[i] for place in taken), default=0.0) for i in (0, 1))
        wide_m = max((place[0] - west_m for place in taken), default=0.0)
        self.step_m = max(_STEP_M, wide_m / _ACROSS)
        across = max(round(wide_m / self.step_m) + 1, _ACROSS // 2)
        self.row = _rows(west_m, south_m - 2 * self.step_m, self.step_m, across)
        self.gateways = _rows(west_m, south_m - 6 * self.step_m, 12 * self.step_m, 4)
        self._cells: dict[tuple[int, int], list[Place]] = {}
        for place in taken:
            self._cells.setdefault(self._cell(place), []).append(place)

    def take(self, candidates: Iterator[Place]) -> Place:
        """The first free one, which then is taken."""
        place = next(one for one in candidates if self._is_free(one))
        self._cells.setdefault(self._cell(place), []).append(place)
        return place

    def _cell(self, place: Place) -> tuple[int, int]:
        return math.floor(place[0] / self.step_m), math.floor(place[1] / self.step_m)

    def _is_free(self, place: Place) -> bool:
        x, y = self._cell(place)
        near = ((i, j) for i in (x - 1, x, x + 1) for j in (y - 1, y, y + 1))
        others = (other for cell in near for other in self._cells.get(cell, ()))
        return all(math.dist(place, other) >= _FREE * self.step_m for other in others)
