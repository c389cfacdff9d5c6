"""Joining: how a meter gets the network's keys, and how its neighbours help.

::

    meter                    proxy (a member)               root              its driver
      | JOIN request, broadcast |                            |                   |
      |------------------------>| VOUCH, sealed, hop by hop  | JoinAsked         |
      |                         |--------------------------->|------------------>|
      |                         | ADMIT, sealed, source route| Station.admit     |
      | JOIN accept, broadcast  |<---------------------------|<------------------|
      |<------------------------|                            |                   |

What the request and the answer hold is made and judged outside (``Applicant``; the root's driver):
the mesh carries it. A member that hears of a key it does not hold asks the same way, so the network
changes its keys without anybody's visit. Proxies that hear the same request wait for different
times and the root's driver answers the first.
"""

from typing import Protocol

from ohmesh.mesh import constants as c
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.frames import Join, JoinStage
from ohmesh.mesh.trickle import Rng


class Applicant(Protocol):
    """Makes a meter's requests and reads the answers, with the meter's own key."""

    def ask(self) -> bytes:
        """A new request, at most JOIN_BLOB_MAX octets; it replaces the one before."""
        ...

    def open(self, blob: bytes) -> dict[int, bytes] | None:
        """The keys (index -> key) in the answer to the last request; None if it is none."""
        ...


class Candidate:
    """A meter's own wish for keys.

    Args:
        config: settings.
        rng: for the times between requests.
        applicant: makes and reads what requests and answers hold.
    """

    __slots__ = ("_applicant", "_config", "_rng", "_wait_ms", "due_ms")

    def __init__(self, config: StationConfig, rng: Rng, applicant: Applicant) -> None:
        """Wish for nothing yet."""
        self._config = config
        self._rng = rng
        self._applicant = applicant
        self._wait_ms = 0
        self.due_ms: int | None = None
        """When to ask next; None while nothing is wished for."""

    def wish(self, now_ms: int) -> None:
        """Ask soon: we have just booted, or heard somebody who has keys that we do not have."""
        first_ms = self._config.scaled(c.JOIN_RETRY_MS)
        if self.due_ms is None:
            self._wait_ms = first_ms
            self.due_ms = now_ms + self._rng.randrange(first_ms)
        elif self.due_ms > now_ms + 2 * first_ms:
            self.due_ms = now_ms + self._rng.randrange(2 * first_ms)

    def ask(self, now_ms: int) -> Join:
        """The next request; the one after it comes later and later."""
        self.due_ms = now_ms + self._wait_ms // 2 + self._rng.randrange(self._wait_ms + 1)
        self._wait_ms = min(2 * self._wait_ms, self._config.scaled(c.JOIN_RETRY_MAX_MS))
        return Join(JoinStage.REQUEST, self._config.node, self._applicant.ask())

    def accepted(self, join: Join) -> dict[int, bytes] | None:
        """The keys of an answer that is ours and authentic; the wish is then fulfilled."""
        if self.due_ms is None or join.eui64 != self._config.node:
            return None
        keys = self._applicant.open(join.blob)
        if keys:
            self.due_ms = None
        return keys or None


class Proxy:
    """A member's help for strangers: few requests at a time, so that a flood stays at our door."""

    __slots__ = ("_config", "_not_before_ms", "_rng", "_waiting", "due_ms")

    def __init__(self, config: StationConfig, rng: Rng) -> None:
        """Help nobody yet."""
        self._config = config
        self._rng = rng
        self._waiting: Join | None = None
        self._not_before_ms = 0
        self.due_ms: int | None = None
        """When to vouch for the one that waits."""

    def heard(self, now_ms: int, join: Join) -> None:
        """Take a request, if none waits and the last is long enough ago."""
        if self._waiting is not None or now_ms < self._not_before_ms:
            return
        self._waiting = join
        self._not_before_ms = now_ms + self._config.scaled(c.JOIN_PROXY_GAP_MS)
        self.due_ms = now_ms + self._rng.randrange(self._config.scaled(c.JOIN_SPREAD_MS))

    def overheard(self, join: Join) -> None:
        """Somebody else's proxy was answered: nothing is left to do for this one."""
        if self._waiting is not None and self._waiting.eui64 == join.eui64:
            self.take()

    def take(self) -> Join | None:
        """The request that waits; none waits then."""
        join, self._waiting, self.due_ms = self._waiting, None, None
        return join
