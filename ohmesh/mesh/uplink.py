"""A meter's own way up: sending payloads, registering, taking the root's acknowledgement."""

from ohmesh.mesh import constants as c
from ohmesh.mesh.core import Core
from ohmesh.mesh.forwarding import Forwarder, Job, JobKind
from ohmesh.mesh.frames import Record, Reg, RegAck, Report, TagFlag, Up, UpFlag, UpFrame, UpHead
from ohmesh.mesh.outputs import ForgetPayload, PersistPayload
from ohmesh.mesh.store import Store
from ohmesh.mesh.timers import Timer

_CONTROL_PRIORITY = 3
_REG_PRIORITY = 0
_ROUND_TRIPS = 20
"""Hop exchanges a registration's answer is given at least, whatever the timer divisor."""


class Uplink:
    """Own payloads and registration of a node that is not a root."""

    __slots__ = (
        "_awaiting",
        "_core",
        "_forwarder",
        "_pause_ms",
        "_reg_fseq",
        "_reg_parent",
        "_reg_sent_ms",
        "_restored",
        "_sending",
        "_spread_ms",
        "_tries",
        "life",
        "registered_root",
        "store",
        "store_changed",
    )

    def __init__(self, core: Core, forwarder: Forwarder, store: Store, life: int) -> None:
        """Start unregistered."""
        self._core = core
        self._forwarder = forwarder
        self.store = store
        self.life = life
        self.registered_root = 0
        self.store_changed = False
        """The state blob must be written: the next oseq may not be read off the store alone."""
        self._sending = False
        self._reg_fseq = 0
        self._awaiting = False
        self._reg_parent = 0
        self._reg_sent_ms = -1
        self._restored: int = UpFlag.NONE
        self._spread_ms = 0
        self._tries = 0
        self._pause_ms = 0

    # --- payloads -------------------------------------------------------------------------------

    def start(self, now_ms: int) -> None:
        """Boot: how long power was off is unknown, and so is what arrived before."""
        self.store.rebase(now_ms)
        if len(self.store):
            self._core.timers.set(Timer.RESEND, now_ms + self._core.scaled(c.HELD_MS))

    def submit(self, now_ms: int, payload: bytes, priority: int) -> None:
        """Keep a payload; it is sent when a parent is there."""
        core = self._core
        oseq, overflow = self.store.add(now_ms, priority, payload)
        core.emit(PersistPayload(oseq, priority, payload))
        if overflow is not None:
            core.emit(ForgetPayload(overflow))
            core.trace("store.overflow")
            self.store_changed = True

    def pump(self, now_ms: int) -> None:
        """Hand the next frame of payloads to the forwarder; one at a time."""
        if self._sending or not self.store.has_ready or not self._core.attached:
            return
        records, flags = self.store.draw(now_ms)
        if not records:
            return
        frame = Up(self.head(flags), self.life, records)
        job = Job(JobKind.UP, frame, now_ms, priority=flags & UpFlag.PRIORITY)
        job.done = lambda at_ms, ok: self._up_done(at_ms, records, ok=ok)
        self._sending = self._forwarder.submit(job)
        if not self._sending:
            self.store.unsent(record.oseq for record in records)

    def _up_done(self, now_ms: int, records: tuple[Record, ...], *, ok: bool) -> None:
        self._sending = False
        oseqs = [record.oseq for record in records]
        if not ok:
            self.store.unsent(oseqs)
            return
        self.store.sent(now_ms, oseqs)
        self._core.timers.set_earlier(Timer.RESEND, now_ms + self._resend_after_ms() + 1)

    def returned(self, frame: UpFrame) -> None:
        """A frame of ours came back: its ways have changed, and custody is ours again."""
        self._core.trace("forward.returned")
        if isinstance(frame, Up) and frame.life == self.life:
            self.store.returned(record.oseq for record in frame.records)

    def resend_due(self, now_ms: int) -> None:
        """Send again what was never acknowledged (2.2 h)."""
        stale = self.store.stale(now_ms - self._resend_after_ms())
        if stale:
            self._core.trace("store.resent", len(stale))
            self.store.unsent(stale)
        if len(self.store):
            self._core.timers.set(Timer.RESEND, now_ms + self._core.scaled(c.HOUSEKEEPING_MS))

    def _resend_after_ms(self) -> int:
        return self._core.scaled(c.RESEND_MS)

    def report(self, now_ms: int, status: int, dseq: int, *, near: int, far: int) -> None:
        """Tell the root the fate of a frame on its way down."""
        frame = Report(self.head(_CONTROL_PRIORITY), status, dseq, near, far)
        self._forwarder.submit(Job(JobKind.UP, frame, now_ms, priority=_CONTROL_PRIORITY))

    # --- registration ---------------------------------------------------------------------------

    @property
    def joined(self) -> bool:
        """True if attached and registered with the root we are attached to."""
        return self._core.attached and self.registered_root == self._core.root

    @property
    def is_known(self) -> bool:
        """True if the root has acknowledged the preferred parent we have."""
        told = not self._awaiting and self.registered_root == self._core.root
        return told and self._core.parents[:1] == (self._reg_parent,)

    def is_pending(self, now_ms: int) -> bool:
        """Return whether a registration is planned for soon or not answered yet."""
        due_ms = self._core.timers.due_ms[Timer.REGISTER]
        return self._awaiting or due_ms <= now_ms + self._spread_ms

    def unregister(self, root: int) -> bool:
        """The root calls for registrations. Returns: False if it does not know us anyway."""
        if self.registered_root != root:
            return False
        self.registered_root = 0
        return True

    def register_within(self, now_ms: int, spread_ms: int) -> None:
        """Register after a random part of the spread; a fresh cause starts the tries anew.

        Where many register together their answers take time: they wait in proportion.
        """
        self._spread_ms = spread_ms
        self._tries = 0
        self._pause_ms = 0
        at_ms = now_ms + 1 + self._core.rng.randrange(max(1, spread_ms))
        self._core.timers.set_earlier(Timer.REGISTER, at_ms)

    def power_restored(self, now_ms: int) -> None:
        """Let the next registration say that our power is back."""
        self._restored = UpFlag.RESTORED
        if self.registered_root or self._awaiting:
            # An answer under way is to a registration that did not say so.
            self._awaiting = False
            self.register_within(now_ms, self._core.scaled(c.REG_CHANGE_MS))

    def register_due(self, now_ms: int) -> None:
        """Send a registration, and arrange the next: retry, pause, or none while unattached."""
        core = self._core
        if not core.attached:
            self._reg_parent = 0
            return
        if core.flags & TagFlag.COLLECT_ONLY:
            core.timers.set(Timer.REGISTER, now_ms + core.spread(core.scaled(c.OUTAGE_WINDOW_MS)))
            return
        frame = Reg(
            self.head(_REG_PRIORITY | self._restored),
            self.life,
            max(1, c.REG_LIFETIME_S // core.config.timer_divisor),
            self.store.floor,
            self._parents(),
        )
        job = Job(JobKind.UP, frame, now_ms, priority=_REG_PRIORITY, rounds_max=1)
        self._forwarder.submit(job)
        self._reg_fseq = frame.head.fseq
        self._reg_parent = core.parents[0]
        self._reg_sent_ms = now_ms
        self._awaiting = True
        self._tries += 1
        core.timers.set(Timer.REGISTER, now_ms + core.spread(self._retry_ms()))

    def _retry_ms(self) -> int:
        if self._tries <= c.REG_TRIES:
            base = max(self._core.paced(c.REG_RETRY_MS, _ROUND_TRIPS), self._spread_ms)
            return base << (self._tries - 1)
        grown = max(self._core.scaled(c.REG_PAUSE_MS), self._spread_ms, self._pause_ms * 2)
        self._pause_ms = min(grown, self._core.scaled(c.REG_PAUSE_MAX_MS))
        return self._pause_ms

    def _parents(self) -> tuple[tuple[int, int], ...]:
        rows = [self._core.neighbours.get(node) for node in self._core.parents]
        return tuple((row.id, row.etx_128ths) for row in rows if row is not None)

    def acknowledged(self, now_ms: int, ack: RegAck) -> None:
        """Take a registration answer: forget what is safe, send again what is missing."""
        core = self._core
        if ack.life != self.life:
            core.trace("register.foreign_life")
            return
        for oseq in self.store.acknowledge(ack.high_water, ack.bitmap):
            core.emit(ForgetPayload(oseq))
            self.store_changed = True
        margin_ms = core.paced(c.ACK_MARGIN_MS, _ROUND_TRIPS)
        answers_ours = ack.reg_fseq == self._reg_fseq
        missing = self.store.missing(
            ack.high_water,
            ack.bitmap,
            before_ms=self._reg_sent_ms - margin_ms if answers_ours else -1,
            gap_ms=now_ms - margin_ms,
        )
        if missing:
            core.trace("store.missing", len(missing))
            self.store.unsent(missing)
        if ack.head.origin == core.root and answers_ours and self._awaiting:
            self._registered(now_ms, ack.lifetime_s)

    def _registered(self, now_ms: int, lifetime_s: int) -> None:
        core = self._core
        self.registered_root = core.root
        # Later acknowledgements echo the same registration and must not push its refresh back.
        self._awaiting = False
        self._restored = UpFlag.NONE
        self._tries = 0
        self._pause_ms = 0
        if not self.is_known:
            # The parent changed while the answer was on its way: the root has to be told of it.
            self.register_within(now_ms, self._spread_ms)
            return
        refresh_ms = lifetime_s * 10 * c.REG_REFRESH_PERCENT
        # A little early and never late: a storm of joint registrations spreads by itself.
        refresh_ms -= core.rng.randrange(refresh_ms // 16 + 1)
        core.timers.set(Timer.REGISTER, now_ms + max(1_000, refresh_ms))

    def head(self, flags: int) -> UpHead:
        """Return the head of a new frame of ours; its rank is filled in when it is sent."""
        config = self._core.config
        return UpHead(
            origin=config.node,
            fseq=self._core.counter.draw(),
            root=0,
            rank=c.INFINITE_RANK,
            hop_limit=c.HOP_LIMIT,
            age_s=0,
            flags=flags,
        )
