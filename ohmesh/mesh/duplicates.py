"""End-to-end duplicate cache of a relay: (origin, fseq) and the hop limit it came with."""

from collections import OrderedDict
from enum import Enum

from ohmesh.mesh.constants import DUPLICATE_HORIZON_MS


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

    __slots__ = ("_limit", "_seen")

    def __init__(self, limit: int) -> None:
        """Create an empty cache."""
        self._limit = limit
        self._seen: OrderedDict[tuple[int, int], tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        """Names remembered."""
        return len(self._seen)

    def look(self, now_ms: int, origin: int, fseq: int, hop_limit: int) -> Verdict:
        """Return the verdict; nothing is remembered."""
        seen = self._seen.get((origin, fseq))
        if seen is None or now_ms - seen[1] > DUPLICATE_HORIZON_MS:
            return Verdict.NEW
        return Verdict.LOOPED if hop_limit < seen[0] else Verdict.DUPLICATE

    def remember(self, now_ms: int, origin: int, fseq: int, hop_limit: int) -> None:
        """Remember a frame we took custody of."""
        self._seen[origin, fseq] = (hop_limit, now_ms)
        self._seen.move_to_end((origin, fseq))
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)

    def forget(self, origin: int, fseq: int) -> None:
        """Forget a frame whose custody we gave back."""
        self._seen.pop((origin, fseq), None)
