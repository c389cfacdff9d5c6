"""Outage reports: a dying meter's last gasp, gathered by neighbours that still have power.

A last gasp is one broadcast that nobody acknowledges: there is energy for no more. Whoever hears it
and has a way up gathers the ids for two seconds and sends one frame, so that a dead feeder costs a
few frames and not hundreds. A root that hears of many at once asks everybody to be quiet (collect
only: no probes, no registrations) until the reports level off. Who has power again needs no report
of its own: the registration after its boot says so, at the pace at which the channel carries those.
"""

from ohmesh.mesh import constants as c
from ohmesh.mesh.core import Core, LinkBroadcast
from ohmesh.mesh.forwarding import Forwarder, Job, JobKind
from ohmesh.mesh.frames import Outage
from ohmesh.mesh.timers import Timer
from ohmesh.mesh.uplink import Uplink

_PRIORITY = 3
_GATHERED_MAX = 4 * c.MAX_OUTAGE_IDS


class OutageRelay:
    """A meter's part: its own reports and those it heard."""

    __slots__ = ("_core", "_forwarder", "_gathered", "_uplink")

    def __init__(self, core: Core, forwarder: Forwarder, uplink: Uplink) -> None:
        """Start with nothing gathered."""
        self._core = core
        self._forwarder = forwarder
        self._uplink = uplink
        self._gathered: tuple[int, ...] = ()

    def last_gasp(self) -> None:
        """Tell everybody in range that our power is going."""
        head = self._uplink.head(_PRIORITY)
        self._core.emit(LinkBroadcast(Outage(head, (self._core.config.node,))))

    def heard(self, now_ms: int, nodes: tuple[int, ...]) -> None:
        """Gather reports; beyond the bound they are left to other neighbours."""
        room = _GATHERED_MAX - len(self._gathered)
        self._gathered = tuple(dict.fromkeys(self._gathered + nodes[:room]))
        self._core.timers.set_earlier(Timer.OUTAGE, now_ms + self._gather_ms())

    def due(self, now_ms: int) -> None:
        """Send what was gathered, a frame at a time."""
        if not self._gathered:
            return
        if self._core.attached:
            nodes = self._gathered[: c.MAX_OUTAGE_IDS]
            frame = Outage(self._uplink.head(_PRIORITY), nodes)
            if self._forwarder.submit(Job(JobKind.UP, frame, now_ms, priority=_PRIORITY)):
                self._gathered = self._gathered[len(nodes) :]
        if self._gathered:
            self._core.timers.set_earlier(Timer.OUTAGE, now_ms + self._gather_ms())

    def _gather_ms(self) -> int:
        return self._core.spread(self._core.scaled(c.OUTAGE_GATHER_MS))


class OutageWatch:
    """A root's part: whether so many report at once that the others should keep quiet."""

    __slots__ = ("_lost",)

    def __init__(self) -> None:
        """Start with no reports."""
        self._lost: dict[int, int] = {}

    def __len__(self) -> int:
        """Nodes that reported within the window."""
        return len(self._lost)

    def report(self, now_ms: int, nodes: tuple[int, ...]) -> None:
        """Note reports of lost power; power that is back asks for no silence."""
        for node in nodes:
            if len(self._lost) < c.ROUTES_MAX:
                self._lost[node] = now_ms

    def is_storm(self, now_ms: int, registered: int, window_ms: int) -> bool:
        """Return whether at least 30 % of the registered nodes reported within the window."""
        self._lost = {n: at_ms for n, at_ms in self._lost.items() if now_ms - at_ms <= window_ms}
        share = c.OUTAGE_SHARE_PERCENT
        return bool(self._lost) and len(self._lost) * 100 >= registered * share
