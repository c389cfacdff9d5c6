"""A root's registration table and the source routes it yields.

Every registration names up to three parents with the ETX of each link. A route to a node is the
cheapest way from it up to the root over those links, found by Dijkstra from the node: only its
ancestors are visited, whatever the size of the network. Cycles in stale registrations do no harm.
"""

import heapq
import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from ohmesh.mesh import constants as c
from ohmesh.mesh.acks import AckWindow
from ohmesh.mesh.constants import ROOT_WINDOW_BITS
from ohmesh.mesh.frames import Reg, Up

_PROVISIONAL_MS = 600_000
_RECORD = struct.Struct(">HII")
_PARENT = struct.Struct(">IH")


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One registered node, for pages and metrics.

    Attributes:
        node: id.
        parents: (id, ETX in 128ths), preferred first.
        hops: length of the present source route, 0 if there is none.
        age_ms: since the last registration.
    """

    node: int
    parents: tuple[tuple[int, int], ...]
    hops: int
    age_ms: int


@dataclass(slots=True)
class Registration:
    """What a root knows of one node."""

    fseq: int
    life: int
    parents: tuple[tuple[int, int], ...]
    heard_ms: int
    expires_ms: int
    window: AckWindow
    since_ack: int = 0
    ack_due_ms: int = -1
    acked_ms: int = -1
    ack_queued: bool = False
    """An acknowledgement waits for the air; another one waits for its end."""
    ack_again: bool = False
    stored: tuple[int, tuple[int, ...]] = (0, ())
    """Life and parent ids as last handed to the disk: only a change of these costs a write."""
    provisional: bool = False
    """Known by its payloads only: where its numbers begin is not known yet."""


class RouteTable:
    """Bounded by ROUTES_MAX; expired entries go first."""

    __slots__ = ("_banned", "_root", "_rows", "_stranded")

    def __init__(self, root: int) -> None:
        """Create an empty table of this root."""
        self._root = root
        self._rows: dict[int, Registration] = {}
        self._banned: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._stranded: set[int] = set()
        """Nodes whose parents are all among them: there is no way from this root to any.

        Those whose parents are registered at another gateway are asked for again and again.
        """

    def __len__(self) -> int:
        """Nodes registered."""
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        """Ids of registered nodes."""
        return iter(self._rows)

    def get(self, node: int) -> Registration | None:
        """Return the registration of a node."""
        return self._rows.get(node)

    def register(self, now_ms: int, reg: Reg) -> Registration | None:
        """Take a registration over. Returns: None if it is older than ours or the table is full."""
        node = reg.head.origin
        row = self._rows.get(node)
        if row is None:
            row = self._insert(now_ms, node, reg.life, reg.floor - 1)
            if row is None:
                return None
        elif row.life != reg.life:
            # The node lost its store: its numbers started again and mean other payloads.
            row.life = reg.life
            row.window = AckWindow(reg.floor - 1)
        elif reg.head.fseq < row.fseq:
            return None
        row.fseq = reg.head.fseq
        row.parents = reg.parents
        if node in self._stranded and any(near not in self._stranded for near, _ in reg.parents):
            self._stranded.clear()
        row.heard_ms = now_ms
        row.expires_ms = now_ms + reg.lifetime_s * 1000
        if row.provisional:
            row.window.rebase(reg.floor - 1)
            row.provisional = False
        row.window.raise_floor(reg.floor)
        return row

    def changed(self, node: int) -> bytes | None:
        """Return the record to keep of a node, or None if what is kept still serves.

        A link's ETX moves at every registration and is not worth a write; the registration's
        sequence is not either, because an older one is refused by its life and by replay windows.
        """
        row = self._rows[node]
        key = (row.life, tuple(parent for parent, _ in row.parents))
        if key == row.stored:
            return None
        row.stored = key
        fixed = _RECORD.pack(row.life, row.fseq, row.window.high_water)
        return fixed + b"".join(_PARENT.pack(parent, etx) for parent, etx in row.parents)

    def restore(self, now_ms: int, node: int, record: bytes) -> None:
        """Put a kept registration back; one that cannot be read is left out and will come anew.

        What was acknowledged since is not on disk, so the window starts low and is provisional:
        the node's next registration says where its numbers stand.
        """
        size = len(record) - _RECORD.size
        if size < 0 or size % _PARENT.size or len(self._rows) >= c.ROUTES_MAX:
            return
        life, fseq, high_water = _RECORD.unpack_from(record)
        parents = tuple(_PARENT.iter_unpack(record[_RECORD.size :]))
        row = Registration(
            fseq,
            life,
            tuple((parent, etx) for parent, etx in parents[: c.MAX_PARENTS]),
            now_ms,
            now_ms + c.REG_LIFETIME_S * 1000,
            AckWindow(high_water),
            stored=(life, tuple(parent for parent, _ in parents)),
            provisional=True,
        )
        self._rows[node] = row
        self._stranded.clear()

    def mark(self, now_ms: int, frame: Up) -> Registration | None:
        """Note the payloads of a frame as safe. Returns: the row, None if there is no room.

        A node is often heard before its registration; its payloads are noted all the same, or it
        would have to send them again.
        """
        node = frame.head.origin
        row = self._rows.get(node)
        if row is None or row.life != frame.life:
            if row is not None:
                # Another store than the one registered: its registration will tell.
                return None
            start = max(0, frame.records[0].oseq - 1 - ROOT_WINDOW_BITS // 2)
            row = self._insert(now_ms, node, frame.life, start)
            if row is None:
                return None
            row.provisional = True
            row.expires_ms = now_ms + _PROVISIONAL_MS
        for record in frame.records:
            row.window.mark(record.oseq)
        return row

    def _insert(self, now_ms: int, node: int, life: int, high_water: int) -> Registration | None:
        if len(self._rows) >= c.ROUTES_MAX:
            return None
        row = Registration(0, life, (), now_ms, 0, AckWindow(high_water))
        self._rows[node] = row
        return row

    def forget(self, node: int) -> bool:
        """Drop a node. Returns: whether it was there."""
        self._stranded.clear()
        return self._rows.pop(node, None) is not None

    def expire(self, now_ms: int) -> list[int]:
        """Drop what was not refreshed. Returns: the nodes dropped."""
        old = [node for node, row in self._rows.items() if row.expires_ms <= now_ms]
        for node in old:
            self.forget(node)
        return old

    def ban(self, now_ms: int, *, near: int, far: int, until_ms: int) -> None:
        """Leave a failed link out of routes for a time."""
        self._banned[near, far] = until_ms
        self._banned.move_to_end((near, far))
        while len(self._banned) > c.BANS_MAX:
            self._banned.popitem(last=False)
        for link in [link for link, end_ms in self._banned.items() if end_ms <= now_ms]:
            del self._banned[link]

    def allow(self, *, near: int, far: int) -> None:
        """Lift the ban of a link that was heard working."""
        self._banned.pop((near, far), None)

    def path(self, now_ms: int, node: int) -> tuple[int, ...] | None:
        """Return the source route: ids from the first hop to the node itself, or None."""
        if node in self._stranded:
            return None
        came: dict[int, int] = {}
        heap = [(0, 0, node, node)]
        # Whether a ban, which ends, or the hops, which costs decide, hid a way.
        hidden = False
        while heap:
            cost, hops, here, child = heapq.heappop(heap)
            if here in came:
                continue
            came[here] = child
            if here == self._root:
                return _unwind(came, self._root, node)
            if hops >= c.MAX_SOURCE_HOPS:
                hidden = True
                continue
            for parent, etx in self._parents(here):
                if self._is_banned(now_ms, parent, here):
                    hidden = True
                elif parent not in came:
                    heapq.heappush(heap, (cost + etx, hops + 1, parent, here))
        if not hidden:
            self._stranded.update(came)
        return None

    def entries(self, now_ms: int) -> list[RouteEntry]:
        """Return the table for pages."""
        return [
            RouteEntry(node, row.parents, len(self.path(now_ms, node) or ()), now_ms - row.heard_ms)
            for node, row in self._rows.items()
            if row.parents
        ]

    def _parents(self, node: int) -> tuple[tuple[int, int], ...]:
        row = self._rows.get(node)
        return row.parents if row is not None else ()

    def _is_banned(self, now_ms: int, near: int, far: int) -> bool:
        return bool(self._banned) and self._banned.get((near, far), -1) > now_ms


def _unwind(came: dict[int, int], root: int, node: int) -> tuple[int, ...]:
    path: list[int] = []
    here = root
    while here != node:
        here = came[here]
        path.append(here)
    return tuple(path)
