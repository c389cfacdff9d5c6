"""The neighbour table: what a node knows of the nodes it hears."""

from collections.abc import Callable, Iterator

from ohmesh.mesh import constants as c
from ohmesh.mesh import etx
from ohmesh.mesh.frames import NO_TAG, Tag

_DEAD_FAILURES = 2
"""Exchanges in a row nobody answered that mean death and not loss."""

_FAR_BETTER = 3
"""A link that does so many times better than its estimate is young again."""


class Neighbour:
    """One row; times are ms, -1 = never."""

    __slots__ = (
        "acked_ms",
        "best_rank",
        "busy_until_ms",
        "deny_ms",
        "deny_until_ms",
        "dtsn",
        "etx_128ths",
        "failures",
        "faint_db",
        "heard_ms",
        "id",
        "samples",
        "size_code",
        "tag",
        "tag_ms",
        "tried_ms",
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
        self.tried_ms = -1
        self.faint_db = -rssi_dbm
        """The strength without its sign: Python keeps one object for each small positive number."""
        self.deny_ms = 0
        self.deny_until_ms = -1
        self.busy_until_ms = -1
        self.dtsn = -1
        self.size_code = 0

    @property
    def rssi_dbm(self) -> int:
        """The strength it is heard with, in the mean."""
        return -self.faint_db

    @property
    def cost(self) -> int:
        """Path cost through this neighbour: its rank and the link (RFC 6719, section 3.3).

        The estimate is never below 128, so a rank always rises by MinHopRankIncrease.
        """
        return self.tag.rank + self.etx_128ths

    def hope(self, since_ms: int) -> int:
        """Path cost as it may be: a link not tried since then as good as its strength says.

        A link that was judged in a crowd would otherwise never be asked again.
        """
        if self.tried_ms >= since_ms:
            return self.tag.rank + self.etx_128ths
        return self.tag.rank + min(self.etx_128ths, etx.from_rssi(self.rssi_dbm))

    @property
    def link(self) -> tuple[int, int, bool]:
        """What a choice of parents looks at beside the tag; while both stay, so does the choice."""
        return self.etx_128ths, self.deny_until_ms, self.acked_ms >= 0

    @property
    def is_young(self) -> bool:
        """Whether its link is worth a few more samples soon."""
        return self.samples < c.YOUNG_SAMPLES and self.failures < _DEAD_FAILURES

    @property
    def proven(self) -> bool:
        """True once it has acknowledged us: the link works both ways."""
        return self.acked_ms >= 0

    def is_denied(self, now_ms: int) -> bool:
        """Return whether it is left out after a failure."""
        return self.deny_until_ms > now_ms

    def has_route(self) -> bool:
        """Return whether it advertises a way to a root."""
        return self.tag.root != 0 and self.tag.rank < c.MAX_PATH_COST

    def hear(self, now_ms: int, rssi_dbm: int) -> None:
        """Note that it was heard."""
        self.heard_ms = now_ms
        self.faint_db -= (rssi_dbm + self.faint_db) // 4

    def learn(self, now_ms: int, tag: Tag) -> None:
        """Take over where it says it stands; see feasibility.py for ``best_rank``."""
        self.tag_ms = now_ms
        held = self.tag
        if tag is held and tag.rank != c.INFINITE_RANK:
            return
        same = tag.root == held.root and tag.version == held.version
        if same and tag.generation == held.generation and tag.rank != c.INFINITE_RANK:
            self.best_rank = min(self.best_rank, tag.rank)
        else:
            self.best_rank = tag.rank
        self.tag = tag

    def succeed(self, now_ms: int, attempts: int) -> None:
        """Fold an acknowledged exchange."""
        self.tried_ms = now_ms
        if attempts * c.ETX_ONE * _FAR_BETTER <= self.etx_128ths:
            # Judged in a storm: a few samples soon decide, not ten of an hour each.
            self.samples = min(self.samples, 1)
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

    def fail(self, now_ms: int, attempts: int) -> None:
        """Fold an exchange nobody answered; the dead are not made worse by dying longer."""
        self.tried_ms = now_ms
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

    def pardon(self) -> None:
        """It booted: what it did not answer before says nothing any more."""
        self.deny_until_ms = -1
        self.deny_ms = 0

    def deny(self, now_ms: int, *, first_ms: int, max_ms: int) -> None:
        """Leave it out for a time that doubles at each failure in a row."""
        self.deny_ms = min(max(first_ms, self.deny_ms * 2), max_ms)
        self.deny_until_ms = now_ms + self.deny_ms


class NeighbourTable:
    """Bounded; the worst row that is not a parent gives way to a better one."""

    __slots__ = ("_limit", "_pinned", "rows")

    def __init__(self, limit: int, pinned: Callable[[int], bool]) -> None:
        """Create an empty table. Args: ``pinned`` tells whether a node must not be evicted."""
        self._limit = limit
        self._pinned = pinned
        self.rows: list[Neighbour] = []
        """In the order first heard; so few that to look through them is as fast as a dictionary."""

    def __len__(self) -> int:
        """Rows in use."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Neighbour]:
        """Rows in the order first heard."""
        return iter(self.rows)

    def get(self, node: int) -> Neighbour | None:
        """Return the row of a node."""
        for row in self.rows:
            if row.id == node:
                return row
        return None

    def admit(self, node: int, now_ms: int, rssi_dbm: int, rank: int) -> Neighbour | None:
        """Return the row of a node, made if there is room or a worse row to evict.

        Args:
            node: id.
            now_ms: time.
            rssi_dbm: strength it was heard with.
            rank: what it advertises, INFINITE_RANK if nothing.
        """
        row = self.get(node)
        if row is not None:
            row.hear(now_ms, rssi_dbm)
            return row
        fresh = Neighbour(node, now_ms, rssi_dbm)
        if len(self.rows) >= self._limit:
            worst = self._evictable()
            if worst is None or worst.cost <= rank + fresh.etx_128ths:
                return None
            self.rows.remove(worst)
        self.rows.append(fresh)
        return fresh

    def expire(self, now_ms: int, lifetime_ms: int) -> None:
        """Drop rows not heard for a lifetime."""
        old = [row for row in self.rows if now_ms - row.heard_ms > lifetime_ms]
        for row in old:
            if not self._pinned(row.id):
                self.rows.remove(row)

    def _evictable(self) -> Neighbour | None:
        worst, most = None, -1
        for row in self.rows:
            cost = row.cost
            if cost > most and not self._pinned(row.id):
                worst, most = row, cost
        return worst


class Children:
    """Who sent upwards through us lately.

    Apart from the neighbour table: a relay at a bottleneck may have many more children than it
    has candidates for parents, and needs no more of them than their ids.
    """

    __slots__ = ("_limit", "_until_ms")

    def __init__(self, limit: int) -> None:
        """Start with none."""
        self._limit = limit
        self._until_ms: dict[int, int] = {}

    def __len__(self) -> int:
        """Children remembered."""
        return len(self._until_ms)

    def note(self, node: int, now_ms: int, lifetime_ms: int) -> bool:
        """Remember a child. Returns: False if there is no room for another."""
        if node not in self._until_ms and len(self._until_ms) >= self._limit:
            self.expire(now_ms)
            if len(self._until_ms) >= self._limit:
                return False
        self._until_ms[node] = now_ms + lifetime_ms
        return True

    def has(self, node: int, now_ms: int) -> bool:
        """Return whether a node is our child."""
        return self._until_ms.get(node, -1) > now_ms

    def drop(self, node: int) -> None:
        """Forget a child that started anew."""
        self._until_ms.pop(node, None)

    def expire(self, now_ms: int) -> None:
        """Forget those not heard for their lifetime."""
        self._until_ms = {n: until for n, until in self._until_ms.items() if until > now_ms}
