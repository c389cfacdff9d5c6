"""The Trickle timer (RFC 6206) with the letters of the RFC, and Trickle-F fairness.

Each interval of length ``I`` sends once at ``t`` unless ``k`` consistent messages were heard
before (``c >= k``). A node suppressed ``s`` times in a row draws its ``t`` earlier, so that no node
is silenced for ever (Vallati and Mingozzi, Trickle-F).
"""

from typing import Protocol

from ohmesh.mesh.constants import TRICKLE_FAIRNESS_MAX


class Rng(Protocol):
    """The only randomness an engine may use; ``random.Random`` fits."""

    def randrange(self, stop: int, /) -> int:
        """Return an integer in 0 .. stop - 1."""
        ...


class Trickle:
    """One Trickle timer; the owner asks ``next_ms`` and calls ``wake``."""

    __slots__ = ("_c", "_end_ms", "_i_ms", "_imax_ms", "_imin_ms", "_k", "_rng", "_s", "_t_ms")

    def __init__(self, rng: Rng, *, imin_ms: int, doublings: int, k: int) -> None:
        """Create a stopped timer. Args: as RFC 6206, section 4.1; k = 0 never suppresses."""
        self._rng = rng
        self._imin_ms = imin_ms
        self._imax_ms = imin_ms << doublings
        self._k = k
        self._i_ms = imin_ms
        self._c = 0
        self._s = 0
        self._t_ms = -1
        self._end_ms = -1

    @property
    def next_ms(self) -> int:
        """When to wake, or -1 if stopped."""
        return self._t_ms if self._t_ms >= 0 else self._end_ms

    @property
    def interval_ms(self) -> int:
        """The current interval I."""
        return self._i_ms

    def reset(self, now_ms: int) -> None:
        """Start, or fall back to Imin (RFC 6206, section 4.2, rule 6)."""
        if self._end_ms >= 0 and self._i_ms == self._imin_ms:
            return
        self._i_ms = self._imin_ms
        self._begin(now_ms)

    def stop(self) -> None:
        """Stop until the next reset."""
        self._t_ms = self._end_ms = -1

    def hear_consistent(self) -> None:
        """Count a consistent message (rule 3)."""
        self._c += 1

    def wake(self, now_ms: int) -> bool:
        """Pass a due point of the timer. Returns: True if a message must be sent now."""
        send = False
        if 0 <= self._t_ms <= now_ms:
            self._t_ms = -1
            send = self._k == 0 or self._c < self._k
            self._s = 0 if send else min(self._s + 1, TRICKLE_FAIRNESS_MAX)
        if 0 <= self._end_ms <= now_ms:
            self._i_ms = min(self._i_ms * 2, self._imax_ms)
            self._begin(now_ms)
        return send

    def _begin(self, now_ms: int) -> None:
        self._c = 0
        high = max(2, self._i_ms >> self._s)
        low = high // 2
        self._t_ms = now_ms + low + self._rng.randrange(high - low)
        self._end_ms = now_ms + self._i_ms
