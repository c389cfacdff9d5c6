"""Hop ARQ: one frame, one neighbour, up to N transmissions, one acknowledgement.

Sans-IO and apart from the engine, so that a simulator may replace the whole exchange by one draw.
Back-off before each transmission is uniform in slots of 4 ms, exponent 3 rising to 5; the wait for
an acknowledgement grows as well.
"""

from dataclasses import dataclass

from ohmesh.mesh import constants as c
from ohmesh.mesh.errors import MeshUsageError
from ohmesh.mesh.frames import Hack
from ohmesh.mesh.trickle import Rng


@dataclass(frozen=True, slots=True)
class ExchangeDone:
    """The end of an exchange; ``hack`` is None if nobody answered."""

    attempts: int
    hack: Hack | None


def wait_ms(timeout_ms: int, attempt: int) -> int:
    """Return how long the given transmission (1, 2, ...) waits when the mean is ``timeout_ms``."""
    last = len(c.ACK_WAIT_PERCENT)
    return timeout_ms * c.ACK_WAIT_PERCENT[min(attempt, last) - 1] // 100


class Arq:
    """Runs one exchange at a time."""

    __slots__ = ("_attempts", "_dst", "_frame", "_limit", "_lseq", "_rng", "_timeout_ms", "due_ms")

    def __init__(self, rng: Rng, ack_timeout_ms: int) -> None:
        """Create an idle machine."""
        self._rng = rng
        self._timeout_ms = ack_timeout_ms
        self._frame: bytes | None = None
        self._dst = 0
        self._lseq = 0
        self._limit = 0
        self._attempts = 0
        self.due_ms: int | None = None
        """When ``wake`` wants to be called; None while idle."""

    @property
    def busy(self) -> bool:
        """True while an exchange is under way."""
        return self._frame is not None

    def begin(self, now_ms: int, frame: bytes, *, dst: int, lseq: int, attempts: int) -> None:
        """Start an exchange; the first transmission comes from ``wake``."""
        if self._frame is not None:
            msg = "one exchange at a time"
            raise MeshUsageError(msg)
        self._frame = frame
        self._dst = dst
        self._lseq = lseq
        self._limit = attempts
        self._attempts = 0
        self.due_ms = now_ms + self._backoff_ms()

    def wake(self, now_ms: int) -> bytes | ExchangeDone | None:
        """Return the frame to transmit now, the end of the exchange, or None if nothing is due."""
        if self._frame is None or self.due_ms is None or now_ms < self.due_ms:
            return None
        if self._attempts == self._limit:
            return self._finish(None)
        self._attempts += 1
        last = self._attempts == self._limit
        # The back-off of the next transmission is part of its wait: one deadline, one wake-up.
        waited_ms = now_ms + wait_ms(self._timeout_ms, self._attempts)
        self.due_ms = waited_ms if last else waited_ms + self._backoff_ms()
        return self._frame

    def hear(self, src: int, hack: Hack) -> ExchangeDone | None:
        """Return the end of the exchange if this acknowledgement is the one it waits for."""
        expected = self._frame is not None and self._attempts > 0
        if not expected or src != self._dst or hack.lseq != self._lseq:
            return None
        return self._finish(hack)

    def _finish(self, hack: Hack | None) -> ExchangeDone:
        self._frame = None
        self.due_ms = None
        return ExchangeDone(self._attempts, hack)

    def _backoff_ms(self) -> int:
        exponent = min(c.BACKOFF_EXPONENT_MIN + self._attempts, c.BACKOFF_EXPONENT_MAX)
        return self._rng.randrange(1 << exponent) * c.BACKOFF_SLOT_MS
