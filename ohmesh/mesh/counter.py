"""One rising 32-bit number source per node, safe against reboots.

Link frame counters and the sequence of own frames are drawn from it. The persisted state names a
ceiling; a reboot goes on from there, so no number is used twice although only one number in
COUNTER_BLOCK costs a write.
"""

from ohmesh.mesh.constants import COUNTER_BLOCK

_LIMIT = 0xFFFFFFFF


class Counter:
    """Hands out numbers below a persisted ceiling."""

    __slots__ = ("_last", "ceiling", "must_persist")

    def __init__(self, persisted_ceiling: int) -> None:
        """Go on at the ceiling of the last boot and reserve the next block."""
        self._last = persisted_ceiling
        self.ceiling = persisted_ceiling
        self.must_persist = False
        self._reserve()

    def draw(self) -> int:
        """Return the next number."""
        self._last = min(self._last + 1, _LIMIT)
        if self._last >= self.ceiling:
            self._reserve()
        return self._last

    def jump(self, beyond: int) -> None:
        """Go on above ``beyond``: a neighbour remembers us further than we do."""
        if beyond > self._last:
            self._last = min(beyond, _LIMIT - COUNTER_BLOCK)
            self._reserve()

    def _reserve(self) -> None:
        self.ceiling = min(self._last + COUNTER_BLOCK, _LIMIT)
        self.must_persist = True
