"""Which neighbours can be used without any risk of a loop.

Babel's feasibility condition (RFC 8966, section 3.5.1), in a form that forgives drift. For each
root we keep the version (epoch, seq) we advertise and the feasibility distance FD: the lowest rank
we ever advertised under that version, in an ADV, a HACK or an UP head. A neighbour that advertises
a newer version, or that *ever* advertised a rank below our FD under the same version, cannot have
us on its path.

Why: let D(x) = (version, FD) of node x, newer before older, smaller FD before larger. D(x) only
improves with time, and what a node p once advertised is never better than D(p) is now. x uses p
only while the best it heard of p beats D(x); so D(p) beats D(x) along every parent edge, also when
x lowers its own FD, because x's rank is above what p advertises. No cycle can close.
Babel compares the *last* rank heard. With a noisy link metric that calls a parent infeasible
because its rank rose by a little, and costs a poisoned sub-tree for nothing. The best rank heard
holds as long as the neighbour remembers its own FD; its tag carries a generation that changes when
it does not (boot, restart after hold-down), and the best rank heard starts anew with it.

A newer version is not taken over at once. As long as we keep our older version, parents with the
newer one stay feasible *and* so do backups that have not got it yet; taking it over in a hurry
would leave us without backups while the sequence spreads. We take it over when all our parents
have it, when we have starved, or after a grace time.
"""

from dataclasses import dataclass

from ohmesh.mesh.constants import INFINITE_RANK, ROOTS_MAX
from ohmesh.mesh.frames import Tag

Version = tuple[int, int]


@dataclass(slots=True)
class Reach:
    """Our standing towards one root."""

    root: int
    version: Version
    distance: int


class Feasibility:
    """Version and feasibility distance for each root; bounded, oldest use first out."""

    __slots__ = ("_reaches",)

    def __init__(self) -> None:
        """Know no root."""
        self._reaches: list[Reach] = []

    def __len__(self) -> int:
        """Roots known."""
        return len(self._reaches)

    def version(self, root: int) -> Version | None:
        """Return the version we advertise for a root."""
        reach = self._find(root)
        return reach.version if reach else None

    def bound(self, root: int) -> Reach | None:
        """Return our standing towards a root, for a look at many neighbours."""
        return self._find(root)

    def is_feasible(self, tag: Tag, best_rank: int) -> bool:
        """Return whether a neighbour cannot have us on its path (tier 1).

        Args:
            tag: what it advertised last.
            best_rank: the lowest rank heard of it under that version and generation.
        """
        reach = self._find(tag.root)
        if reach is None:
            return True
        version = tag.epoch, tag.seq
        if version == reach.version:
            return best_rank < reach.distance
        return version > reach.version

    def adopt(self, root: int, version: Version) -> None:
        """Take over a newer version: the distance starts anew."""
        reach = self._find(root)
        if reach is None or version > reach.version:
            reach = Reach(root, version, INFINITE_RANK)
        self._put(reach)

    def advertise(self, root: int, rank: int) -> bool:
        """Note that this rank goes on the air under the version we hold.

        Returns: True if it is the lowest so far: some backup may not be feasible any more.
        """
        reach = self._find(root)
        if reach is None or rank >= reach.distance:
            return False
        reach.distance = rank
        return True

    def restart(self, root: int, version: Version) -> None:
        """Forget the distance: only after poison and hold-down (tier 2)."""
        self._put(Reach(root, version, INFINITE_RANK))

    def _find(self, root: int) -> Reach | None:
        for reach in self._reaches:
            if reach.root == root:
                return reach
        return None

    def _put(self, reach: Reach) -> None:
        """Take a standing for the one we have towards its root, as the last used."""
        self._reaches = [held for held in self._reaches if held.root != reach.root]
        self._reaches.append(reach)
        del self._reaches[:-ROOTS_MAX]
