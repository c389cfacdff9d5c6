"""End-to-end duplicate cache of a relay: (origin, fseq) and the hop limit it came with."""

from enum import Enum

from ohmesh.mesh.constants import DUPLICATE_HORIZON_MS, LOOP_MEMORY_MS

_FSEQ_BITS, _HOPS_BITS = 32, 8
_HOPS_MASK = (1 << _HOPS_BITS) - 1
_SWEEP_MS = DUPLICATE_HORIZON_MS // 20
"""Names over their time go together: a dictionary is slow to find what it holds first."""


class Verdict(Enum):
    """What a relay makes of a frame's name."""

    NEW = "new"
    DUPLICATE = "duplicate"
    LOOPED = "loop"


class DuplicateCache:
    """Bounded by number and by age.

    A frame that returns with a smaller hop limit has been round a loop; with the same or a larger
    one it is a copy made by a lost acknowledgement. Answering OK to the former would end custody
    with nobody (CTP's THL rule).
    """

    __slots__ = ("_limit", "_seen", "_sweep_ms")

    def __init__(self, limit: int) -> None:
        """Create an empty cache."""
        self._limit = limit
        # Name -> (when, hop limit), each in one number: a relay of a large sub-tree holds hundreds.
        self._seen: dict[int, int] = {}
        self._sweep_ms = 0

    def __len__(self) -> int:
        """Names remembered."""
        return len(self._seen)

    def look(self, now_ms: int, origin: int, fseq: int, hop_limit: int) -> Verdict:
        """Return the verdict; nothing is remembered."""
        seen = self._seen.get(_name(origin, fseq))
        if seen is None or _is_over(now_ms, seen):
            return Verdict.NEW
        return Verdict.LOOPED if hop_limit < seen & _HOPS_MASK else Verdict.DUPLICATE

    def is_settled(self, now_ms: int, origin: int, fseq: int) -> bool:
        """Return whether the ways may have changed since we took custody of a frame."""
        seen = self._seen.get(_name(origin, fseq), 0)
        return now_ms - (seen >> _HOPS_BITS) >= LOOP_MEMORY_MS

    def remember(self, now_ms: int, origin: int, fseq: int, hop_limit: int) -> None:
        """Remember a frame we took custody of, and forget those over their time."""
        if now_ms >= self._sweep_ms:
            self._sweep(now_ms)
        name = _name(origin, fseq)
        seen = self._seen
        seen.pop(name, None)
        seen[name] = now_ms << _HOPS_BITS | hop_limit
        if len(seen) > self._limit:
            del seen[next(iter(seen))]

    def _sweep(self, now_ms: int) -> None:
        self._sweep_ms = now_ms + _SWEEP_MS
        self._seen = {n: seen for n, seen in self._seen.items() if not _is_over(now_ms, seen)}

    def forget(self, origin: int, fseq: int) -> None:
        """Forget a frame whose custody we gave back."""
        self._seen.pop(_name(origin, fseq), None)


def _name(origin: int, fseq: int) -> int:
    return origin << _FSEQ_BITS | fseq


def _is_over(now_ms: int, seen: int) -> bool:
    return now_ms - (seen >> _HOPS_BITS) > DUPLICATE_HORIZON_MS
