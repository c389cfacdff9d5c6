"""A member: what a node of the mesh is asked and told, whatever carries its frames.

``Station`` carries them as octets over hop ARQ. A simulator that draws whole exchanges carries the
values themselves, and its members hold nothing of a link.
"""

from collections.abc import Iterable

from ohmesh.mesh import constants as c
from ohmesh.mesh.config import StationConfig
from ohmesh.mesh.counter import Counter
from ohmesh.mesh.engine import Engine
from ohmesh.mesh.errors import MeshUsageError
from ohmesh.mesh.outputs import JoinAsked, Output, PersistPayload, PersistRoute
from ohmesh.mesh.root import RootSide
from ohmesh.mesh.routes import RouteEntry
from ohmesh.mesh.state import State
from ohmesh.mesh.store import Store
from ohmesh.mesh.trickle import Rng

_PRIORITY_MAX = 3
_NOT_STARTED_MS = -1


class Member:
    """One node of the mesh: its engine, and what a driver may ask of it."""

    __slots__ = ("_config", "_counter", "_engine", "_now_ms")

    def __init__(
        self,
        config: StationConfig,
        rng: Rng,
        state: bytes | None = None,
        *,
        pending: Iterable[PersistPayload] = (),
        routes: Iterable[PersistRoute] = (),
    ) -> None:
        """Create a member that has not started; arguments as of ``Station``."""
        held = State.decode(state) if state is not None else _first_state(rng)
        self._config = config
        self._counter = Counter(held.ceiling)
        store = Store(config.store_limit, held.next_oseq)
        for kept in sorted(pending, key=lambda kept: kept.oseq):
            store.restore(0, kept.oseq, kept.priority, kept.payload)
        self._engine = Engine(config, rng, counter=self._counter, store=store, life=held.life)
        self._now_ms = _NOT_STARTED_MS
        if self._engine.root_side is not None:
            self._engine.root_side.resume(held, routes)

    # --- what a subclass adds -------------------------------------------------------------------

    def start(self, now_ms: int) -> list[Output]:
        """Boot."""
        raise NotImplementedError

    def wake(self, now_ms: int) -> list[Output]:
        """Pass the deadlines that have come."""
        raise NotImplementedError

    @property
    def next_wake_ms(self) -> int | None:
        """When ``wake`` wants to be called; None if never."""
        raise NotImplementedError

    def _finish(self) -> list[Output]:
        """Carry out the engine's effects. Returns: what the driver is told."""
        raise NotImplementedError

    # --- inputs ---------------------------------------------------------------------------------

    def submit(self, now_ms: int, payload: bytes, priority: int = 0) -> list[Output]:
        """Meter: keep a payload until acknowledged end to end, and send it up.

        Args:
            now_ms: time.
            payload: 1..MAX_PAYLOAD_BYTES octets.
            priority: 0..3, higher first.

        Raises:
            MeshUsageError: on a root, or payload or priority out of range.
        """
        if self._config.is_root:
            msg = "a root has nothing to submit"
            raise MeshUsageError(msg)
        _check_payload(payload)
        if not 0 <= priority <= _PRIORITY_MAX:
            msg = f"priority must be within 0..{_PRIORITY_MAX}, not {priority}"
            raise MeshUsageError(msg)
        self._advance(now_ms)
        self._engine.submit(self._now_ms, bytes(payload), priority)
        return self._finish()

    def command(self, now_ms: int, node: int, payload: bytes, token: int) -> list[Output]:
        """Root: send a payload to a node; its end comes as CommandResult with the token.

        Raises:
            MeshUsageError: on a meter, or payload out of range.
        """
        root = self._root_side()
        _check_payload(payload)
        self._advance(now_ms)
        root.commands.submit(self._now_ms, node, bytes(payload), token)
        self._engine.settle(self._now_ms)
        return self._finish()

    def custody(self, now_ms: int, token: int, ok: bool) -> list[Output]:  # noqa: FBT001 - seam
        """Root: answer a Delivered. ``ok`` means durable; otherwise the sender is told BUSY.

        An unknown token is ignored: the wait for it is over.
        """
        root = self._root_side()
        self._advance(now_ms)
        root.custody(self._now_ms, token, ok=ok)
        self._engine.settle(self._now_ms)
        return self._finish()

    def admit(self, now_ms: int, asked: JoinAsked, blob: bytes) -> list[Output]:
        """Root: let a meter in; ``blob`` is the answer to its request, opaque to the mesh."""
        root = self._root_side()
        self._advance(now_ms)
        root.admit(self._now_ms, asked, blob)
        self._engine.settle(self._now_ms)
        return self._finish()

    def set_grounded(self, now_ms: int, grounded: bool) -> list[Output]:  # noqa: FBT001 - seam
        """Root: the uplink to the head-end was lost or is back."""
        root = self._root_side()
        self._advance(now_ms)
        root.set_grounded(self._now_ms, grounded=grounded)
        self._engine.settle(self._now_ms)
        return self._finish()

    def last_gasp(self, now_ms: int) -> list[Output]:
        """Meter: power is going; tell the neighbours with the energy that is left.

        Raises:
            MeshUsageError: on a root.
        """
        self._advance_meter(now_ms)
        self._engine.outages.last_gasp()
        return self._finish()

    def power_restored(self, now_ms: int) -> list[Output]:
        """Meter: report after a boot that power is back; its registration says so.

        Raises:
            MeshUsageError: on a root.
        """
        self._advance_meter(now_ms)
        self._engine.uplink.power_restored(self._now_ms)
        return self._finish()

    def forget(self, now_ms: int, node: int) -> list[Output]:
        """Root: the node is homed at another gateway now; drop its registration."""
        root = self._root_side()
        self._advance(now_ms)
        root.forget(node)
        return self._finish()

    # --- views ----------------------------------------------------------------------------------

    @property
    def rank(self) -> int:
        """Distance in 128ths of a transmission; INFINITE_RANK without a parent."""
        return self._engine.core.rank

    @property
    def parent(self) -> int | None:
        """The preferred parent."""
        return next(iter(self._engine.core.parents), None)

    @property
    def parents(self) -> tuple[int, ...]:
        """The preferred parent and its backups."""
        return self._engine.core.parents

    @property
    def root(self) -> int | None:
        """The root we are attached to."""
        core = self._engine.core
        return core.root if core.attached else None

    @property
    def joined(self) -> bool:
        """True on a root, and on a meter registered with the root it is attached to."""
        return self._config.is_root or self._engine.uplink.joined

    @property
    def hops(self) -> int:
        """Hops to the root, 0 on a root or without one."""
        core = self._engine.core
        return core.hops if core.attached else 0

    @property
    def backlog(self) -> int:
        """Own payloads not yet acknowledged end to end."""
        return len(self._engine.uplink.store)

    @property
    def network_time_s(self) -> int:
        """The root's unix time as far as it is known here, 0 if not."""
        return self._engine.formation.time_s(self._now_ms)

    def routes(self) -> list[RouteEntry]:
        """Root: the registered nodes."""
        return self._root_side().routes.entries(self._now_ms)

    def sizes(self) -> dict[str, int]:
        """Return the fill of every table and queue, for metrics and for tests of their bounds."""
        engine = self._engine
        sizes = {
            "neighbours": len(engine.core.neighbours),
            "children": len(engine.core.children),
            "duplicates": len(engine.forwarder.duplicates),
            "queue": len(engine.forwarder),
            "roots": len(engine.core.feasibility),
            "store": len(engine.uplink.store),
        }
        return sizes | (engine.root_side.sizes() if engine.root_side else {})

    # --- inside ---------------------------------------------------------------------------------

    def _begin(self, now_ms: int) -> None:
        if self._now_ms >= 0:
            msg = "a station starts once"
            raise MeshUsageError(msg)
        self._now_ms = now_ms
        self._engine.uplink.start(now_ms)

    def _root_side(self) -> RootSide:
        if self._engine.root_side is None:
            msg = "only a root can do this"
            raise MeshUsageError(msg)
        return self._engine.root_side

    def _advance_meter(self, now_ms: int) -> None:
        if self._config.is_root:
            msg = "a root cannot do this"
            raise MeshUsageError(msg)
        self._advance(now_ms)

    def _advance(self, now_ms: int) -> None:
        if self._now_ms < 0:
            msg = "start the station first"
            raise MeshUsageError(msg)
        self._now_ms = max(self._now_ms, now_ms)

    def _state(self) -> State:
        """What must not be lost, as it is now."""
        uplink, root = self._engine.uplink, self._engine.root_side
        return State(
            life=uplink.life,
            ceiling=self._counter.ceiling,
            next_oseq=uplink.store.next_oseq,
            epoch=root.epoch if root else 0,
            dtsn=self._engine.formation.dtsn if root else 0,
        )


def _first_state(rng: Rng) -> State:
    return State(life=1 + rng.randrange(0xFFFF), ceiling=0, next_oseq=1)


def _check_payload(payload: bytes) -> None:
    if not 1 <= len(payload) <= c.MAX_PAYLOAD_BYTES:
        msg = f"a payload has 1..{c.MAX_PAYLOAD_BYTES} B, not {len(payload)}"
        raise MeshUsageError(msg)
