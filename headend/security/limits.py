"""Token buckets: how often somebody may do something. Pure; the caller gives the time.

Theory of operation. A bucket holds at most `burst` tokens and gains `per_s` of them a second; a
request takes one. Who finds none is told how long to wait. Buckets are kept in the order of their
last use and the oldest go when there are too many: a bucket that is not used is full again anyway.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

BUCKETS_MAX = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Limiter:
    """One bucket a name.

    Args:
        per_s: tokens gained a second, above 0.
        burst: tokens of a full bucket, at least 1.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        assert per_s > 0
        assert burst >= 1
        self._per_s, self._burst = per_s, burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, now_s: float) -> int:
        """Take a token. Returns: 0, or whole seconds to wait when there is none."""
        bucket = self._filled(name, now_s)
        if bucket.tokens < 1:
            return math.ceil((1 - bucket.tokens) / self._per_s)
        bucket.tokens -= 1
        return 0

    def wait_s(self, name: str, now_s: float) -> int:
        """Whole seconds until there is a token; takes none."""
        return max(0, math.ceil((1 - self._filled(name, now_s).tokens) / self._per_s))

    def _filled(self, name: str, now_s: float) -> _Bucket:
        bucket = self._buckets.setdefault(name, _Bucket(float(self._burst), now_s))
        self._buckets.move_to_end(name)
        gained = max(0.0, now_s - bucket.at_s) * self._per_s
        bucket.tokens, bucket.at_s = min(float(self._burst), bucket.tokens + gained), now_s
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return bucket
