"""The neighbour table: what a node knows of the nodes it hears."""

from collections.abc import Callable, Iterator

from ohmesh.mesh import constants as c
from ohmesh.mesh import etx
from ohmesh.mesh.frames import NO_TAG, Tag

_DEAD_FAILURES = 2
"""Exchanges in a row nobody answered that mean death and not loss."""


class Neighbour:
    """One row; times are ms, -1 = never."""

    __slots__ = (
        "acked_ms",
        "best_rank",
        "busy_until_ms",
        "child_until_ms",
        "deny_ms",
        "deny_until_ms",
        "dtsn",
        "etx_128ths",
        "failures",
        "heard_ms",
        "id",
        "rssi_dbm",
        "samples",
        "tag",
        "tag_ms",
    )

    def __init__(self, node: int, now_ms: int, rssi_dbm: int) -> None:
        """Create a row on first hearing."""
        self.id = node
        self.tag: Tag = NO_TAG
        self.tag_ms = -1
        self.best_rank = c.INFINITE_RANK
        self.etx_128ths = etx.from_rssi(rssi_dbm)
        self.samples = 0
        self.failures = 0
        self.heard_ms = now_ms
        self.acked_ms = -1
        self.rssi_dbm = rssi_dbm
        self.deny_ms = 0
        self.deny_until_ms = -1
        self.busy_until_ms = -1
        self.child_until_ms = -1
        self.dtsn = -1

    @property
    def cost(self) -> int:
        """Path cost through this neighbour: its rank and the link (RFC 6719, section 3.3).

        The estimate is never below 128, so a rank always rises by MinHopRankIncrease.
        """
        return self.tag.rank + self.etx_128ths

    @property
    def proven(self) -> bool:
        """True once it has acknowledged us: the link works both ways."""
        return self.acked_ms >= 0

    def is_child(self, now_ms: int) -> bool:
        """Return whether it sent upwards through us lately."""
        return self.child_until_ms > now_ms

    def is_denied(self, now_ms: int) -> bool:
        """Return whether it is left out after a failure."""
        return self.deny_until_ms > now_ms

    def has_route(self) -> bool:
        """Return whether it advertises a way to a root."""
        return self.tag.root != 0 and self.tag.rank < c.MAX_PATH_COST

    def hear(self, now_ms: int, rssi_dbm: int) -> None:
        """Note that it was heard."""
        self.heard_ms = now_ms
        self.rssi_dbm += (rssi_dbm - self.rssi_dbm) // 4

    def learn(self, now_ms: int, tag: Tag) -> None:
        """Take over where it says it stands; see feasibility.py for ``best_rank``."""
        held = self.tag
        same = tag.root == held.root and tag.version == held.version
        if same and tag.generation == held.generation and tag.rank != c.INFINITE_RANK:
            self.best_rank = min(self.best_rank, tag.rank)
        else:
            self.best_rank = tag.rank
        self.tag = tag
        self.tag_ms = now_ms

    def succeed(self, now_ms: int, attempts: int) -> None:
        """Fold an acknowledged exchange."""
        if self.failures >= _DEAD_FAILURES:
            # It was away, not far: what we learned while it was off says nothing of the link.
            self.etx_128ths = etx.from_rssi(self.rssi_dbm)
            self.samples = 0
        self.etx_128ths = etx.fold(
            self.etx_128ths,
            attempts=attempts,
            ok=True,
            samples=self.samples,
        )
        self.samples += 1
        self.failures = 0
        self.acked_ms = self.heard_ms = now_ms
        self.deny_until_ms = -1
        self.deny_ms = 0

    def fail(self, attempts: int) -> None:
        """Fold an exchange nobody answered; the dead are not made worse by dying longer."""
        self.failures += 1
        if self.failures > _DEAD_FAILURES:
            return
        self.etx_128ths = etx.fold(
            self.etx_128ths,
            attempts=attempts,
            ok=False,
            samples=self.samples,
        )
        self.samples += 1

    def deny(self, now_ms: int, *, first_ms: int, max_ms: int) -> None:
        """Leave it out for a time that doubles at each failure in a row."""
        self.deny_ms = min(max(first_ms, self.deny_ms * 2), max_ms)
        self.deny_until_ms = now_ms + self.deny_ms


class NeighbourTable:
    """Bounded; the worst row that is neither parent nor child gives way to a better one."""

    __slots__ = ("_limit", "_pinned", "_rows")

    def __init__(self, limit: int, pinned: Callable[[int], bool]) -> None:
        """Create an empty table. Args: ``pinned`` tells whether a node must not be evicted."""
        self._limit = limit
        self._pinned = pinned
        self._rows: dict[int, Neighbour] = {}

    def __len__(self) -> int:
        """Rows in use."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Neighbour]:
        """Rows in the order first heard."""
        return iter(self._rows.values())

    def get(self, node: int) -> Neighbour | None:
        """Return the row of a node."""
        return self._rows.get(node)

    def admit(self, node: int, now_ms: int, rssi_dbm: int, rank: int | None) -> Neighbour | None:
        """Return the row of a node, made if there is room or a worse row to evict.

        Args:
            node: id.
            now_ms: time.
            rssi_dbm: strength it was heard with.
            rank: what it advertises; None if it needs us as relay, which outweighs any candidate.
        """
        row = self._rows.get(node)
        if row is not None:
            row.hear(now_ms, rssi_dbm)
            return row
        fresh = Neighbour(node, now_ms, rssi_dbm)
        if len(self._rows) >= self._limit:
            worst = self._evictable(now_ms)
            bar = -1 if rank is None else rank + fresh.etx_128ths
            if worst is None or worst.cost <= bar:
                return None
            del self._rows[worst.id]
        self._rows[node] = fresh
        return fresh

    def expire(self, now_ms: int, lifetime_ms: int) -> None:
        """Drop rows not heard for a lifetime."""
        old = [row.id for row in self if now_ms - row.heard_ms > lifetime_ms]
        for node in old:
            if not self._pinned(node):
                del self._rows[node]

    def _evictable(self, now_ms: int) -> Neighbour | None:
        loose = (r for r in self if not r.is_child(now_ms) and not self._pinned(r.id))
        return max(loose, key=lambda row: row.cost, default=None)
