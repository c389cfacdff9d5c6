"""How long telegrams take from a gateway's outbox to the archive, without touching one of them.

Telegrams are archived about in the order in which they were taken, so the n-th to be archived was
waited for since the n-th was taken. A thread looks at the archive's count now and then.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from meter_sim.demo.audit import Audit
from meter_sim.replay.schedule import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY_S = 0.25
_REST = 9
"""A look rests so many times as long as it took: counting millions is work for the database too."""


class Watch:
    """Counts on both sides."""

    def __init__(self) -> None:
        self._taken_s: list[float] = []
        self._seen: list[tuple[float, int]] = []
        self._over = threading.Event()

    def taken(self) -> None:
        """A gateway has acknowledged one more telegram."""
        self._taken_s.append(time.monotonic())

    @contextmanager
    def over(self, url: str) -> Iterator[None]:
        """Look while the block runs. Args: url: the head-end's database, as superuser."""
        looking = threading.Thread(target=self._look, args=(url,), name="watch")
        looking.start()
        try:
            yield
        finally:
            self._over.set()
            looking.join()

    def end(self) -> None:
        """Everything is archived: look a last time, and no more."""
        self._over.set()

    def p95_s(self) -> float:
        """95th percentile of all telegrams seen on both sides, to the time between two looks."""
        return round(percentile(latencies(self._taken_s, self._seen), 95), 2)

    def _look(self, url: str) -> None:
        with closing(Audit(url)) as audit:
            last, rest_s = False, EVERY_S
            while not last:
                last = self._over.wait(rest_s)
                began_s = time.monotonic()
                count = audit.archived_or_none()
                rest_s = max(EVERY_S, _REST * (time.monotonic() - began_s))
                if count is not None:
                    self._seen.append((time.monotonic(), count))


def latencies(taken_s: list[float], seen: list[tuple[float, int]]) -> list[float]:
    """Waiting time of each telegram: from when the n-th was taken until the count had reached n."""
    found: list[float] = []
    for at_s, count in seen:
        found.extend(max(0.0, at_s - since_s) for since_s in taken_s[len(found) : count])
    return found
