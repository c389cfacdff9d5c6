"""Sliding replay window of one sender, as in IPsec (RFC 4303, section 3.4.3)."""

from enum import Enum

from ohmesh.mesh.constants import REPLAY_WINDOW_FRAMES

_MASK = (1 << REPLAY_WINDOW_FRAMES) - 1


class Freshness(Enum):
    """Verdict on a frame counter."""

    NEW = 0
    SEEN = 1
    STALE = 2


class ReplayWindow:
    """The highest counter heard and which of the 64 below it were heard.

    A window, not a plain "must rise": a retransmission keeps its counter while the sender's
    broadcasts go on counting, and a broker may reorder.
    """

    __slots__ = ("_bits", "highest")

    def __init__(self, first: int) -> None:
        """Open the window at the first counter heard, which counts as heard."""
        self.highest = first
        self._bits = 1

    def judge(self, counter: int) -> Freshness:
        """Return whether the counter is new, and remember it if so."""
        ahead = counter - self.highest
        if ahead > 0:
            shifted = self._bits << ahead if ahead < REPLAY_WINDOW_FRAMES else 0
            self._bits = (shifted & _MASK) | 1
            self.highest = counter
            return Freshness.NEW
        if -ahead >= REPLAY_WINDOW_FRAMES:
            return Freshness.STALE
        bit = 1 << -ahead
        if self._bits & bit:
            return Freshness.SEEN
        self._bits |= bit
        return Freshness.NEW
