"""Token buckets: how often somebody may do something. Pure; the caller gives the time.

Theory of operation. A bucket holds at most `burst` tokens and gains `per_s` of them a second; a
request takes one. Who finds none is told how long to wait. All buckets lie in one table of fixed
size, which the processes behind one port share, so that a share is a share however many they are.
A keyed hash of the name says in which row of the table a bucket lies; of a full row the bucket
that was used longest ago goes: it is full again anyway. A row is locked while it is changed; the
lock of a process that is killed ends with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUCKET: Final = struct.Struct("=8sdd")
"""Hash of the name, tokens, seconds when they were counted."""
_ROWS, _ROW_BUCKETS = 8192, 8
_ROW_BYTES: Final = _ROW_BUCKETS * _BUCKET.size
TABLE_BYTES: Final = _ROWS * _ROW_BYTES


class Table:
    """The buckets of all limiters.

    Args:
        key: of the hash, so that nobody can choose whose row they fill; 64 bytes at most.
        file: descriptor of a file of TABLE_BYTES that processes share; None: this process alone.
    """

    def __init__(self, key: bytes = b"", file: int | None = None) -> None:
        self._key = key
        self._file = file
        self._memory = mmap.mmap(-1 if file is None else file, TABLE_BYTES)

    def take(self, name: str, limiter: Limiter, now_s: float, *, count: int) -> int:
        """Take tokens from a bucket. Returns: 0, or whole seconds to wait when there is none."""
        digest = hashlib.blake2b(name.encode(errors="replace"), key=self._key, digest_size=10)
        shown, number = digest.digest()[:8], int.from_bytes(digest.digest()[8:], "big") % _ROWS
        with self._locked(number):
            at, tokens = self._find(number, shown, limiter, now_s)
            wait_s = limiter.missing_s(tokens)
            left = tokens if wait_s else tokens - count
            _BUCKET.pack_into(self._memory, at, shown, left, now_s)
        return wait_s

    def _find(self, number: int, shown: bytes, limiter: Limiter, now_s: float) -> tuple[int, float]:
        """Where a name's bucket is or may go, and the tokens in it by now."""
        first, oldest = number * _ROW_BYTES, (math.inf, 0)
        for at in range(first, first + _ROW_BYTES, _BUCKET.size):
            name, tokens, then_s = _BUCKET.unpack_from(self._memory, at)
            if name == shown:
                return at, limiter.refilled(tokens, now_s - then_s)
            oldest = min(oldest, (then_s, at))
        return oldest[1], limiter.burst

    @contextmanager
    def _locked(self, number: int) -> Iterator[None]:
        if self._file is None:
            yield
            return
        place = (_ROW_BYTES, number * _ROW_BYTES)
        fcntl.lockf(self._file, fcntl.LOCK_EX, *place)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, *place)


class Limiter:
    """One bucket a name.

    Args:
        per_s: tokens gained a second, above 0.
        burst: tokens of a full bucket, at least 1.
        table: where the buckets lie.
        kind: sets its names apart from those of other limiters of the table.
    """

    def __init__(
        self, per_s: float, burst: int, table: Table | None = None, kind: str = ""
    ) -> None:
        assert per_s > 0
        assert burst >= 1
        self._per_s, self.burst = per_s, float(burst)
        self._table, self._kind = table or Table(), kind

    def take(self, name: str, now_s: float) -> int:
        """Take a token. Returns: 0, or whole seconds to wait when there is none."""
        return self._table.take(f"{self._kind} {name}", self, now_s, count=1)

    def wait_s(self, name: str, now_s: float) -> int:
        """Whole seconds until there is a token; takes none."""
        return self._table.take(f"{self._kind} {name}", self, now_s, count=0)

    def refilled(self, tokens: float, passed_s: float) -> float:
        """Tokens after some time; a clock that steps back gives nothing."""
        return min(self.burst, tokens + max(0.0, passed_s) * self._per_s)

    def missing_s(self, tokens: float) -> int:
        """Whole seconds until there is a token."""
        return max(0, math.ceil((1 - tokens) / self._per_s))
