"""Choice of parents: MRHOF with hysteresis (RFC 6719) over feasible neighbours only.

Tier 1, feasible neighbours, may be used at once. Tier 2, neighbours with a route that is not
feasible, only after poison and hold-down. Tier 3 is nothing at all.
"""

from dataclasses import dataclass

from ohmesh.mesh import constants as c
from ohmesh.mesh.core import Core
from ohmesh.mesh.feasibility import Version
from ohmesh.mesh.frames import TagFlag
from ohmesh.mesh.neighbours import Neighbour

_UNGROUNDED_PENALTY = c.MAX_PATH_COST
"""Any grounded root beats any root that lost its uplink."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an evaluation changed."""

    lost: bool = False
    gained: bool = False
    parent: bool = False
    root: bool = False
    starved: bool = False


NO_CHANGE = Change()
Way = tuple[int, int, Neighbour]
"""A way up that can be used: its cost, its place in the table (for equal costs), the neighbour."""


def is_usable(row: Neighbour, now_ms: int) -> bool:
    """Return whether a neighbour can be a parent as far as its link goes."""
    tag = row.tag
    return (
        row.acked_ms >= 0
        and tag.root != 0
        and row.deny_until_ms <= now_ms
        and tag.rank + row.etx_128ths < c.MAX_PATH_COST
    )


def _surcharge(row: Neighbour, current: int, root: int) -> int:
    """Return what a choice costs beside the way; what we already use needs no switch."""
    tag = row.tag
    extra = 0 if row.id == current else c.PARENT_SWITCH_THRESHOLD
    if root not in (0, tag.root):
        extra += c.ROOT_SWITCH_EXTRA
    if not tag.flags & TagFlag.GROUNDED:
        extra += _UNGROUNDED_PENALTY
    return extra


class Routing:
    """Works out parents, rank and version from the neighbour table."""

    __slots__ = ("_better_since_ms", "_core", "_newer_since_ms", "eager")

    def __init__(self, core: Core) -> None:
        """Start with nothing chosen."""
        self._core = core
        self._better_since_ms = -1
        self._newer_since_ms = -1
        self.eager = False
        """Take over a newer version at once: somebody below us starves."""

    def evaluate(self, now_ms: int) -> Change:
        """Choose parents among tier 1 and take over rank and version."""
        ways = self._ways(now_ms)
        if not ways:
            return Change(lost=True) if self._core.attached else NO_CHANGE
        best = self._best(ways)
        root = best.tag.root
        ranked = [way for way in ways if way[2].tag.root == root]
        ranked.sort()
        return self._attach(now_ms, self._patient(now_ms, best, ranked[0][2]), ranked)

    def _ways(self, now_ms: int) -> list[Way]:
        """Return tier 1; the loop of all loops: `is_usable` and `is_feasible` are spelled out."""
        bound = self._core.feasibility.bound
        fair: list[Way] = []
        poor: list[Way] = []
        root, reach = 0, None
        epoch = seq = 0
        for row in self._core.neighbours.rows:
            if row.acked_ms < 0 or row.deny_until_ms > now_ms:
                continue
            tag, etx_128ths = row.tag, row.etx_128ths
            cost = tag.rank + etx_128ths
            if not tag.root or cost >= c.MAX_PATH_COST:
                continue
            if tag.root != root:
                root, reach = tag.root, bound(tag.root)
                epoch, seq = reach.version if reach is not None else (0, 0)
            if reach is not None:
                if tag.seq == seq and tag.epoch == epoch:
                    if row.best_rank >= reach.distance:
                        continue
                elif tag.version < reach.version:
                    continue
            ways = fair if etx_128ths <= c.MAX_LINK_METRIC else poor
            ways.append((cost, len(fair) + len(poor), row))
        # A poor way is better than none, and than telling a sub-tree that there is none.
        return fair or poor

    def second_tier(self, now_ms: int, since_ms: int) -> Neighbour | None:
        """Return the best infeasible neighbour heard since then, never a known child."""
        rows = [
            row
            for row in self._core.neighbours
            if is_usable(row, now_ms)
            and row.tag_ms >= since_ms
            and not self._core.children.has(row.id, now_ms)
        ]
        return min(rows, key=lambda row: row.cost + _surcharge(row, 0, 0), default=None)

    def _attach(self, now_ms: int, chosen: Neighbour, ranked: list[Way]) -> Change:
        """Take a preferred parent, and the best others of the ways to its root as backups."""
        core = self._core
        old_root, old_parents, was_attached = core.root, core.parents, core.attached
        root = chosen.tag.root
        backups = [row for _, _, row in ranked[: c.MAX_PARENTS] if row is not chosen]
        rows = [chosen, *backups[: c.MAX_PARENTS - 1]]
        switched = root != old_root or not was_attached
        eager = self.eager
        newer = self._version_to_adopt(now_ms, rows, entering=switched)
        if newer is not None:
            core.feasibility.adopt(root, newer)
            # Backups that have not got the new version are not feasible any more.
            rows = [row for row in rows if core.feasibility.is_feasible(row.tag, row.best_rank)]
        core.root = root
        core.parents = tuple([row.id for row in rows])
        core.rank = chosen.cost
        core.hops = min(chosen.tag.hops + 1, 0xFF)
        inherited = chosen.tag.flags & (TagFlag.GROUNDED | TagFlag.COLLECT_ONLY)
        core.flags = inherited | TagFlag.ACCEPTS
        starved = newer is not None and eager
        if not switched and not starved and core.parents[:1] == old_parents[:1]:
            return NO_CHANGE
        return Change(
            gained=not was_attached,
            parent=core.parents[:1] != old_parents[:1],
            root=root != old_root,
            starved=starved,
        )

    def _best(self, ways: list[Way]) -> Neighbour:
        """Return the cheapest way when switching has its price; the first of equals."""
        core = self._core
        current = core.parents[0] if core.parents else 0
        least, best = -1, ways[0][2]
        for cost, _, row in ways:
            price = cost + _surcharge(row, current, core.root)
            if least < 0 or price < least:
                least, best = price, row
        return best

    def _patient(self, now_ms: int, best: Neighbour, cheapest: Neighbour) -> Neighbour:
        """Return the best, or the cheapest one to its root once that has been so long enough."""
        core = self._core
        if best.id not in core.parents[:1] or cheapest.cost >= best.cost:
            self._better_since_ms = -1
            return best
        if self._better_since_ms < 0:
            self._better_since_ms = now_ms
            core.look_again(now_ms + core.scaled(c.BETTER_PARENT_MS) + 1)
        if now_ms - self._better_since_ms <= core.scaled(c.BETTER_PARENT_MS):
            return best
        self._better_since_ms = -1
        return cheapest

    def _version_to_adopt(
        self,
        now_ms: int,
        rows: list[Neighbour],
        *,
        entering: bool,
    ) -> Version | None:
        core = self._core
        preferred = rows[0].tag
        held = core.feasibility.version(preferred.root)
        if held is None or (entering and preferred.version > held):
            return preferred.version
        if preferred.version <= held:
            self._newer_since_ms = -1
            return None
        if self._newer_since_ms < 0:
            self._newer_since_ms = now_ms
            core.look_again(now_ms + core.scaled(c.ADOPT_GRACE_MS))
        everywhere = min(row.tag.version for row in rows)
        waited = now_ms - self._newer_since_ms >= core.scaled(c.ADOPT_GRACE_MS)
        if everywhere <= held and not waited and not self.eager:
            return None
        self._newer_since_ms = -1
        self.eager = False
        return everywhere if everywhere > held else preferred.version
