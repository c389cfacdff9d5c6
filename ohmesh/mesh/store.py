"""A meter's own payloads, kept until the root's acknowledgement covers them."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from ohmesh.mesh import constants as c
from ohmesh.mesh.codec import RECORD_DELTA_MAX, RECORD_OVERHEAD_BYTES, RECORDS_ROOM_BYTES
from ohmesh.mesh.frames import Record, UpFlag
from ohmesh.mesh.outputs import PersistPayload

_UNSENT = -1
_HELD = -2
"""Of a former boot: what the root has of these, its answer to our registration tells."""
_OSEQ_MAX = 0xFFFFFFFF


@dataclass(slots=True)
class Entry:
    """One payload; ``sent_ms`` is when a parent took custody, -1 if none has."""

    payload: bytes
    priority: int
    since_ms: int
    sent_ms: int = _UNSENT
    again: bool = False


class Store:
    """Bounded ring of payloads by oseq, rising."""

    __slots__ = ("_entries", "_limit", "_ready", "next_oseq")

    def __init__(self, limit: int, next_oseq: int) -> None:
        """Create an empty store that numbers from ``next_oseq``."""
        self._limit = limit
        self._entries: dict[int, Entry] = {}
        self._ready: list[tuple[int, int]] = []
        self.next_oseq = next_oseq

    def __len__(self) -> int:
        """Payloads not yet acknowledged."""
        return len(self._entries)

    @property
    def floor(self) -> int:
        """Lowest oseq held, or the next one if nothing is."""
        return next(iter(self._entries), self.next_oseq)

    @property
    def has_ready(self) -> bool:
        """True if something waits to be sent."""
        return bool(self._ready)

    def kept(self) -> list[PersistPayload]:
        """Return the payloads as a driver keeps them."""
        return [PersistPayload(o, e.priority, e.payload) for o, e in self._entries.items()]

    def restore(self, now_ms: int, oseq: int, priority: int, payload: bytes) -> None:
        """Put a payload of the last boot back, held; call with rising oseq."""
        self._entries[oseq] = Entry(payload, priority, now_ms, _HELD)
        self.next_oseq = max(self.next_oseq, oseq + 1)

    def rebase(self, now_ms: int) -> None:
        """Count the age of restored payloads from the boot: how long power was off is unknown."""
        for entry in self._entries.values():
            entry.since_ms = now_ms

    def add(self, now_ms: int, priority: int, payload: bytes) -> tuple[int, int | None]:
        """Keep a payload. Returns: its oseq, and the oseq that overflowed, if one did."""
        overflow = None
        if len(self._entries) >= self._limit:
            overflow = next(iter(self._entries))
            del self._entries[overflow]
        oseq = self.next_oseq
        self.next_oseq = min(oseq + 1, _OSEQ_MAX)
        self._insert(oseq, Entry(payload, priority, now_ms))
        return oseq, overflow

    def draw(self, now_ms: int) -> tuple[tuple[Record, ...], int]:
        """Take what fits one frame, most urgent first.

        Returns: the records, and the flags of the frame: top priority, ACK_WANTED.
        """
        taken: dict[int, Entry] = {}
        room = RECORDS_ROOM_BYTES
        while self._ready:
            oseq = self._ready[0][1]
            entry = self._entries.get(oseq)
            if entry is None or entry.sent_ms != _UNSENT:
                heapq.heappop(self._ready)
                continue
            need = RECORD_OVERHEAD_BYTES + len(entry.payload)
            if need > room or _span(taken, oseq) > RECORD_DELTA_MAX:
                break
            heapq.heappop(self._ready)
            taken[oseq] = entry
            room -= need
        records = tuple(_record(now_ms, oseq, taken[oseq]) for oseq in sorted(taken))
        flags = max((entry.priority for entry in taken.values()), default=0)
        if any(entry.again for entry in taken.values()):
            flags |= UpFlag.ACK_WANTED
        return records, flags

    def sent(self, now_ms: int, oseqs: Iterable[int]) -> None:
        """Note that a parent took custody."""
        for oseq in oseqs:
            entry = self._entries.get(oseq)
            if entry is not None:
                entry.sent_ms = now_ms

    def unsent(self, oseqs: Iterable[int]) -> None:
        """Make payloads wait for sending again."""
        for oseq in oseqs:
            entry = self._entries.get(oseq)
            if entry is not None:
                entry.again = entry.again or entry.sent_ms != _UNSENT
                entry.sent_ms = _UNSENT
                heapq.heappush(self._ready, (-entry.priority, oseq))

    def returned(self, oseqs: Iterable[int]) -> None:
        """Make payloads wait again that a parent took and that came back to us."""
        entries = self._entries
        self.unsent(o for o in oseqs if o in entries and entries[o].sent_ms > _UNSENT)

    def acknowledge(self, high_water: int, bitmap: int) -> list[int]:
        """Drop what an acknowledgement covers. Returns: the oseqs dropped."""
        covered: list[int] = []
        for oseq in self._entries:
            if oseq > high_water + c.ACK_BITMAP_BITS:
                break
            if oseq <= high_water or bitmap >> (oseq - high_water - 1) & 1:
                covered.append(oseq)
        for oseq in covered:
            del self._entries[oseq]
        return covered

    def missing(self, high_water: int, bitmap: int, *, before_ms: int, gap_ms: int) -> list[int]:
        """Return sent payloads an acknowledgement should have covered and did not.

        Args:
            high_water: everything up to here is covered.
            bitmap: bit i covers ``high_water + 1 + i``.
            before_ms: sent before this: the root answered a later frame of ours.
            gap_ms: sent before this and a later payload is covered: a gap.
        """
        top = high_water + bitmap.bit_length()
        found: list[int] = []
        for oseq, entry in self._entries.items():
            if oseq > high_water + c.ACK_BITMAP_BITS:
                break
            limit_ms = max(before_ms, gap_ms) if oseq < top else before_ms
            if entry.sent_ms == _HELD or _UNSENT < entry.sent_ms < limit_ms:
                found.append(oseq)
        return found

    def stale(self, before_ms: int) -> list[int]:
        """Return payloads held, or sent before a time, and still not acknowledged."""
        return [
            oseq
            for oseq, entry in self._entries.items()
            if entry.sent_ms == _HELD or _UNSENT < entry.sent_ms < before_ms
        ]

    def _insert(self, oseq: int, entry: Entry) -> None:
        self._entries[oseq] = entry
        heapq.heappush(self._ready, (-entry.priority, oseq))
        if len(self._ready) > 2 * self._limit + c.ACK_BITMAP_BITS:
            self._compact()

    def _compact(self) -> None:
        waiting = ((-e.priority, o) for o, e in self._entries.items() if e.sent_ms == _UNSENT)
        self._ready = sorted(waiting)


def _span(taken: dict[int, Entry], oseq: int) -> int:
    return max((abs(oseq - other) for other in taken), default=0)


def _record(now_ms: int, oseq: int, entry: Entry) -> Record:
    return Record(oseq, min((now_ms - entry.since_ms) // 1000, 0xFFFF), entry.payload)
