"""A root's custody: a frame is acknowledged only when the driver has made its payloads durable."""

from collections import OrderedDict
from dataclasses import dataclass

from ohmesh.mesh import constants as c
from ohmesh.mesh.frames import Up

_WAITERS_MAX = 8


@dataclass(slots=True, eq=False)
class Pending:
    """One frame handed to the driver and not fully answered."""

    frame: Up
    since_ms: int
    waiters: list[tuple[int, int]]
    open_tokens: set[int]
    refused: bool = False


class CustodyDesk:
    """Frames waiting for the driver; bounded by CUSTODY_MAX."""

    __slots__ = ("_by_token", "_next_token", "_pending")

    def __init__(self) -> None:
        """Start with nothing pending."""
        self._pending: OrderedDict[tuple[int, int], Pending] = OrderedDict()
        self._by_token: dict[int, Pending] = {}
        self._next_token = 1

    def __len__(self) -> int:
        """Frames pending."""
        return len(self._pending)

    @property
    def is_full(self) -> bool:
        """True if no frame can be taken."""
        return len(self._pending) >= c.CUSTODY_MAX

    def join(self, frame: Up, src: int, lseq: int) -> bool:
        """Let another sender of a pending frame wait too. Returns: whether the frame is pending."""
        pending = self._pending.get((frame.head.origin, frame.head.fseq))
        if pending is None:
            return False
        if len(pending.waiters) < _WAITERS_MAX:
            pending.waiters.append((src, lseq))
        return True

    def open(self, now_ms: int, frame: Up, src: int, lseq: int) -> list[int]:
        """Take a frame. Returns: a token for each record."""
        count = len(frame.records)
        tokens = list(range(self._next_token, self._next_token + count))
        self._next_token += count
        pending = Pending(frame, now_ms, [(src, lseq)], set(tokens))
        self._pending[frame.head.origin, frame.head.fseq] = pending
        self._by_token.update(dict.fromkeys(tokens, pending))
        return tokens

    def answer(self, token: int, *, ok: bool) -> Pending | None:
        """Take the driver's answer. Returns: the frame if this was its last one."""
        pending = self._by_token.pop(token, None)
        if pending is None:
            return None
        pending.open_tokens.discard(token)
        pending.refused = pending.refused or not ok
        if pending.open_tokens:
            return None
        self._close(pending)
        return pending

    def expire(self, now_ms: int) -> int:
        """Forget frames the driver never answered. Returns: how many."""
        old = [p for p in self._pending.values() if now_ms - p.since_ms > c.CUSTODY_TIMEOUT_MS]
        for pending in old:
            self._close(pending)
        return len(old)

    def _close(self, pending: Pending) -> None:
        head = pending.frame.head
        self._pending.pop((head.origin, head.fseq), None)
        for token in pending.open_tokens:
            self._by_token.pop(token, None)
