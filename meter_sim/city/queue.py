"""The event queue: a wheel of buckets, in exact order of (time, sequence).

A heap of all events misses the cache when there are 100 000 of them. Here a small heap holds the
numbers of the buckets in use, a bucket is an unsorted list, and only the bucket being emptied is a
heap. Events of equal time leave in the order they came.
"""

from __future__ import annotations

import heapq
from typing import Any

Event = tuple[int, int, int, int, Any]
"""When, its place among equals, what happens, to which node; the rest depends on what happens."""
BUCKET_US = 262_144
"""A bucket of ten thousand meters holds some tens of events."""


class BucketQueue:
    """Events in order of time; one at or before the last one popped is the next to leave."""

    __slots__ = ("_buckets", "_length", "_now", "_numbers", "_open", "_seq", "_width")

    def __init__(self, width: int = BUCKET_US) -> None:
        """Start empty. Args: width: span of a bucket, in the unit of time."""
        self._width = width
        self._buckets: dict[int, list[Event]] = {}
        self._numbers: list[int] = []
        self._open: list[Event] = []
        self._now = -1
        self._seq = 0
        self._length = 0

    def __len__(self) -> int:
        """Events waiting."""
        return self._length

    def push(self, at: int, what: int, node: int, argument: Any) -> None:
        """Put an event in."""
        self._seq += 1
        self._length += 1
        event = at, self._seq, what, node, argument
        number = at // self._width
        if number <= self._now:
            heapq.heappush(self._open, event)
            return
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = [event]
            heapq.heappush(self._numbers, number)
        else:
            bucket.append(event)

    def pop_until(self, until: int) -> Event | None:
        """The earliest event; None when none is at or before the time given."""
        if not self._open:
            if not self._numbers or self._numbers[0] * self._width > until:
                return None
            self._now = heapq.heappop(self._numbers)
            self._open = self._buckets.pop(self._now)
            heapq.heapify(self._open)
        if self._open[0][0] > until:
            return None
        self._length -= 1
        return heapq.heappop(self._open)
